"""The out-of-memory guard: tries the ways to do a piece of work until one fits the memory.

It begins with the first way that, by the forecast, fits what is free now. One that runs out of
memory all the same is followed by the next. Memory that others took is waited for. Whatever it
learns it remembers, so that the next piece of that shape begins with the way that worked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from engine.memory.peaks import Peak
from engine.memory.ways import (
    CancelledError,
    Finished,
    Memory,
    MemoryShortError,
    Report,
    Way,
)
from engine.memory.words import gib, share

log = logging.getLogger("ltx_tui.encoder")

# Seconds between two looks at the memory while waiting for it.
_POLL = 2.0
# What ran out of memory is tried again when there is so many times as much of it.
_MORE = 1.1
# Waits and fluctuating memory may bring back ways that failed; this often each is enough.
_ROUNDS = 3

R = TypeVar("R")


class _Task(msgspec.Struct, Generic[R]):
    """A piece of work in hand.

    Attributes:
        failed: The way that ran out of memory last.
        free: What was free when it was last looked at, by the memory's id.
    """

    shape: str
    ways: Sequence[Way[R]]
    step: int
    lower: int
    cancelled: Callable[[], bool]
    failed: Way[R] | None = None
    free: dict[int, int] = {}

    def look(self, memory: Memory) -> int:
        """Return what is free, read once until `forget`."""
        if id(memory) not in self.free:
            self.free[id(memory)] = memory.free()
        return self.free[id(memory)]

    def forget(self) -> None:
        self.free = {}


class Guard:
    """Does pieces of work in the first way that fits; one for each stage."""

    def __init__(
        self,
        *,
        wait: float = 0.0,
        report: Report | None = None,
        peaks: Iterable[Peak] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Begin with what is known from before.

        Args:
            wait: Seconds to wait for memory that others hold.
            report: Told what is done about it.
            peaks: What was learned on this device and model before.
            clock: Tells seconds.
            sleep: Waits for seconds.
        """
        self._wait = wait
        self._report = report or Report()
        self._clock = clock
        self._sleep = sleep
        self._seen: dict[tuple[str, str], int] = {}
        self._failed: dict[tuple[str, str], int] = {}
        for peak in peaks:
            (self._seen if peak.fits else self._failed)[peak.shape, peak.rung] = peak.bytes
        self._learned: dict[tuple[str, str, bool], Peak] = {}
        # The way that was told last, by shape and the first way of its ladder.
        self._told: dict[tuple[str, str], str] = {}
        # Not after a wait in vain, until something fits again.
        self._patient = True

    def run(
        self,
        shape: str,
        ways: Sequence[Way[R]],
        *,
        step: int = -1,
        lower: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Finished[R]:
        """Do a piece of work.

        Args:
            shape: What pieces of work that take the same memory have in common.
            ways: From the fastest to the one that takes least memory; fallbacks come last.
            step: Which step it is, for what is told.
            lower: Begin this many ways lower than the first that fits.
            cancelled: Asked while waiting.

        Raises:
            MemoryShortError: No way fits.
            CancelledError: `cancelled` said so.
        """
        task = _Task(shape, ways, step, lower, cancelled)
        at = self._choose(task, 0)
        for _ in range(_ROUNDS * len(ways)):
            way, before = ways[at], task.look(ways[at].memory)
            done = self._attempt(task, at)
            if done is not None:
                return done
            way.memory.release()
            task.forget()
            # Others may have taken memory meanwhile: what was there in the end is what counts.
            self._remember(task, way, min(before, task.look(way.memory)), fits=False)
            task.failed = way
            at = self._choose(task, at + 1)
        raise self._short(task)

    def begins(self, shape: str, ways: Sequence[Way[Any]], lower: int = 0) -> str:
        """Return the name of the way that `run` would begin with now; empty without a choice."""
        if len(ways) < 2:
            return ""
        task = _Task(shape, ways, -1, lower, lambda: False)
        at = self._fitting(task, 0)
        if at is None and not self._may_wait(task):
            at = self._fallback(task)
        return ways[at].name if at is not None else ""

    def take_learned(self) -> tuple[Peak, ...]:
        """Return what was learned since the last call."""
        learned, self._learned = tuple(self._learned.values()), {}
        return learned

    def note(self, shape: str, way: Way[Any], size: int) -> None:
        """Learn that a way takes `size` bytes, be it before it is done."""
        key = (shape, way.name)
        self._seen[key] = max(size, self._seen.get(key, 0))
        self._learned[*key, True] = Peak(shape=shape, rung=way.name, bytes=self._seen[key])
        way.learn(size, True)

    def _attempt(self, task: _Task[R], at: int) -> Finished[R] | None:
        """Do the work in one way; None if memory runs out."""
        way = task.ways[at]
        try:
            with way.memory.loading():
                way.ready()
            with way.memory.measure() as meter:
                result = way.run(meter)
            peak = meter.peak
        except Exception as error:
            if not way.memory.is_shortage(error):
                raise
            log.warning("%s: %s ran out of memory: %s", task.shape, way.name, error)
            return None
        choice = len(task.ways) > 1
        if choice and peak:
            self.note(task.shape, way, peak)
        return Finished(result=result, at=at, rung=way.name if choice else "", peak=peak)

    def _remember(self, task: _Task[R], way: Way[R], size: int, *, fits: bool) -> None:
        key = (task.shape, way.name)
        self._failed[key] = size
        self._learned[*key, fits] = Peak(shape=task.shape, rung=way.name, bytes=size, fits=fits)
        way.learn(size, fits)

    # Choosing

    def _choose(self, task: _Task[R], start: int) -> int:
        """Return the way to take now, waiting for memory if others hold it."""
        since: float | None = None
        while True:
            at = self._fitting(task, start)
            if at is not None:
                self._patient = True
                break
            if not self._may_wait(task):
                at = self._fallback(task)
                break
            now = self._clock()
            if since is None:
                since = now
                self._report.guarded(task.step, "", self._waiting(task), waiting=True)
            elif now - since >= self._wait:
                self._patient = False
                continue
            if task.cancelled():
                raise CancelledError
            self._report.tick()
            self._sleep(_POLL)
            # All ways may be taken again, but those of which it is known that they need more.
            start = 0
            task.forget()
        if at is None:
            raise self._short(task)
        self._announce(task, at, waited=since is not None)
        return at

    def _fitting(self, task: _Task[R], start: int) -> int | None:
        """Return the first way from `start` on that fits the device now; None if there is none."""
        ways = task.ways
        own = [at for at in range(len(ways)) if not ways[at].fallback]
        fits = [at for at in own if at >= start and self._fits(task, at)]
        if not fits:
            return None
        if not task.lower or task.failed is not None:
            return fits[0]
        wanted = fits[0] + task.lower
        lower = next((at for at in fits if at >= wanted), None)
        if lower is None:
            lower = self._fallback(task)
        return fits[-1] if lower is None else lower

    def _fallback(self, task: _Task[R]) -> int | None:
        ways = task.ways
        others = (at for at in range(len(ways)) if ways[at].fallback)
        return next((at for at in others if self._fits(task, at)), None)

    def _fits(self, task: _Task[R], at: int) -> bool:
        way = task.ways[at]
        return self._is_enough(task, way, task.look(way.memory))

    def _is_enough(self, task: _Task[R], way: Way[R], free: int) -> bool:
        failed = self._failed.get((task.shape, way.name))
        if failed is not None and free <= _MORE * failed:
            return False
        return self._need(task, way) <= free

    def _need(self, task: _Task[R], way: Way[R]) -> int:
        """Return what a way takes by its forecast, or by what was seen where that is more."""
        return max(way.need, self._seen.get((task.shape, way.name), 0))

    def _may_wait(self, task: _Task[R]) -> bool:
        """Whether a way would fit the device if others had not taken its memory."""
        if self._wait <= 0 or not self._patient:
            return False
        own = [way for way in task.ways if not way.fallback]
        return any(self._is_enough(task, way, way.memory.most()) for way in own)

    # Words

    def _announce(self, task: _Task[R], at: int, *, waited: bool) -> None:
        """Tell the choice, unless it is as it was for the last piece of this shape."""
        way, key = task.ways[at], (task.shape, task.ways[0].name)
        last = self._told.get(key)
        if at == 0:
            self._told.pop(key, None)
            if waited or last is not None:
                free = gib(task.look(way.memory))
                self._report.guarded(task.step, way.name, f"goes on with {way.name}: {free} free")
        elif waited or task.failed is not None or last != way.name:
            self._told[key] = way.name
            text = f"stepped down to {way.name} ({self._why(task, at)})"
            self._report.guarded(task.step, way.name, text)

    def _why(self, task: _Task[R], at: int) -> str:
        own = [way for way in task.ways if not way.fallback]
        way = task.failed or (own[-1] if task.ways[at].fallback else own[0])
        free = task.look(way.memory)
        if task.failed is None and self._is_enough(task, way, free):
            return "an encoder process ended while it worked on it"
        failed = self._failed.get((task.shape, way.name), -1)
        if self._need(task, way) <= failed:
            return f"{way.name} ran out of memory, {gib(failed)} were free"
        return f"{way.name} needs {gib(self._need(task, way))}, {gib(free)} free"

    def _waiting(self, task: _Task[R]) -> str:
        way = self._smallest(task, fallback=False)
        assert way is not None  # noqa: S101 - there is no ladder without a way on its own device
        free = share(task.look(way.memory), way.memory.total)
        return f"waits for memory that others hold: {self._figure(task, way)}, {free} free"

    def _figure(self, task: _Task[R], way: Way[R]) -> str:
        size = self._at_least(task, way)
        return f"{way.name} needs {gib(size)}" if size else f"{way.name} has too little"

    def _at_least(self, task: _Task[R], way: Way[R]) -> int:
        # What ran out of memory takes more than there was, whatever the forecast says.
        return max(self._need(task, way), self._failed.get((task.shape, way.name), 0))

    def _smallest(self, task: _Task[R], *, fallback: bool) -> Way[R] | None:
        ways = [way for way in task.ways if way.fallback is fallback]
        return min(ways, key=lambda way: self._at_least(task, way), default=None)

    def _short(self, task: _Task[R]) -> MemoryShortError:
        parts = []
        for fallback, where in ((False, "in any way"), (True, "on the CPU")):
            way = self._smallest(task, fallback=fallback)
            if way is not None:
                need = gib(self._at_least(task, way))
                free = share(task.look(way.memory), way.memory.total)
                parts.append(f"at least {need} {where}, {free} free")
        return MemoryShortError(
            f"needs {'; '.join(parts)}",
            remedy="use a smaller bucket, or free memory: close what else uses it",
        )
