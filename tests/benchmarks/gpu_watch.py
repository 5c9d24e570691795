"""A GPU watched while something else uses it: how busy it is, its energy, its memory.

All by NVIDIA's management library, ten times a second from a thread, without any CUDA context.
"""

from __future__ import annotations

import importlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

EVERY = 0.1
Span = tuple[float, float]


class Moment(NamedTuple):
    """A GPU at one moment; None where the driver does not tell.

    Attributes:
        time: Seconds since 1970.
        busy: Per cent of the time just past in which a kernel ran.
        watts: Of the whole board.
        joules: Since the driver was loaded, of the whole board.
        used: Bytes, whoever has them.
    """

    time: float
    busy: float | None
    watts: float | None
    joules: float | None
    used: int | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What some stretches of time come to; None where it is not known.

    Attributes:
        seconds: All stretches together.
        busy: Per cent of them.
        joules: Of them all.
    """

    seconds: float
    busy: float | None
    joules: float | None


class Watch:
    """Watches one GPU between `__enter__` and `__exit__`.

    Attributes:
        moments: What was seen, in order.
        fault: Why nothing was; empty where all went well.
    """

    def __init__(
        self,
        nvml: Any = None,
        *,
        uuid: str = "",
        every: float = EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet.

        Args:
            nvml: Stands in for the module `pynvml`.
            uuid: Of the GPU, as torch or the driver writes it; empty, or one that the driver does
                not list, for the first GPU.
            every: Seconds from one look to the next.
            clock: Seconds since 1970, as files have them.
        """
        self._nvml = nvml
        self._uuid = uuid
        self._every = every
        self._clock = clock
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.moments: list[Moment] = []
        self.fault = ""

    def __enter__(self) -> Watch:
        try:
            self._nvml = self._nvml or importlib.import_module("pynvml")
            self._nvml.nvmlInit()
            handle = self._handle()
        except Exception as error:  # no driver, no GPU, a broken library: there is just no figure
            self.fault = f"NVML tells nothing: {error}"
            return self
        self.moments.append(self._look(handle))
        self._thread = threading.Thread(target=self._watch, args=(handle,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def peak(self) -> int | None:
        """Most bytes that were in use above what was at the start."""
        used = [moment.used for moment in self.moments if moment.used is not None]
        return max(used) - used[0] if used else None

    def over(self, spans: Sequence[Span]) -> Figures:
        """Return what some stretches of time come to."""
        return figures(self.moments, spans)

    def _handle(self) -> Any:
        handles = [
            self._nvml.nvmlDeviceGetHandleByIndex(index)
            for index in range(self._nvml.nvmlDeviceGetCount())
        ]
        if not handles:
            raise LookupError("it lists no GPU")
        wanted = self._uuid.lower().removeprefix("gpu-")
        names = [str(self._ask("nvmlDeviceGetUUID", one)).lower() for one in handles]
        known = [name.removeprefix("gpu-") for name in names]
        return handles[known.index(wanted) if wanted in known else 0]

    def _watch(self, handle: Any) -> None:
        while not self._end.wait(self._every):
            self.moments.append(self._look(handle))
        self.moments.append(self._look(handle))

    def _look(self, handle: Any) -> Moment:
        rates = self._ask("nvmlDeviceGetUtilizationRates", handle)
        power = self._ask("nvmlDeviceGetPowerUsage", handle)
        energy = self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        return Moment(
            time=self._clock(),
            busy=None if rates is None else float(rates.gpu),
            watts=None if power is None else power / 1000,
            joules=None if energy is None else energy / 1000,
            used=None if memory is None else int(memory.used),
        )

    def _ask(self, name: str, handle: Any) -> Any:
        """Return the driver's answer, or None where it has none."""
        try:
            return getattr(self._nvml, name)(handle)
        except (self._nvml.NVMLError, AttributeError, UnicodeDecodeError):
            return None


def figures(moments: Sequence[Moment], spans: Sequence[Span]) -> Figures:
    """Return what some stretches of time come to.

    How busy the GPU is stands for the time since the look before. Energy between two looks is
    taken as even.
    """
    spans = [(begin, end) for begin, end in spans if end > begin]
    busy = [(a.time, b.time, b.busy) for a, b in itertools.pairwise(moments) if b.busy is not None]
    lit = [
        (max(0.0, min(end, b) - max(begin, a)), share)
        for begin, end in spans
        for a, b, share in busy
    ]
    watched = sum(seconds for seconds, _ in lit)
    energy = _energy(moments)
    return Figures(
        seconds=sum(end - begin for begin, end in spans),
        busy=sum(seconds * share for seconds, share in lit) / watched if watched else None,
        joules=sum(_at(energy, end) - _at(energy, begin) for begin, end in spans)
        if spans and len(energy) > 1
        else None,
    )


def is_counted(moments: Sequence[Moment]) -> bool:
    """Whether the driver counts the energy itself; some virtual ones have a counter that rests."""
    return len({moment.joules for moment in moments if moment.joules is not None}) > 1


def _energy(moments: Sequence[Moment]) -> list[tuple[float, float]]:
    """Return (time, joules so far), from the driver's counter, else from the power."""
    if is_counted(moments):
        return [(moment.time, moment.joules) for moment in moments if moment.joules is not None]
    told = [moment for moment in moments if moment.watts is not None]
    found, so_far = [], 0.0
    for before, now in zip(told[:1] + told, told, strict=False):
        so_far += (now.time - before.time) * ((now.watts or 0) + (before.watts or 0)) / 2
        found.append((now.time, so_far))
    return found


def _at(energy: Sequence[tuple[float, float]], when: float) -> float:
    """Return the joules at a moment, between those of the looks before and after it."""
    for (begin, low), (end, high) in itertools.pairwise(energy):
        if when <= end:
            share = (when - begin) / (end - begin) if end > begin else 1.0
            return low + (high - low) * max(0.0, share)
    return energy[-1][1]
