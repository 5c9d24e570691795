"""NVIDIA GPUs in the words of their driver: no CUDA context, and any figure may be missing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

# A driver that is away is asked again this often; it may take a while to answer.
_RETRY_SECONDS = 30.0

# NVML's codes, by number, since they are all that an injected module need not define.
_NOT_SUPPORTED, _NO_PERMISSION = 3, 4
_NO_DRIVER = {9, 12}  # the driver is not loaded, there is no library
_AWAY = {1, 9, 15, 16}  # NVML not initialised, the driver unloaded, the GPU lost or to be reset
_NO_HANDLE = {2, 6, 28}  # what MIG instances leave behind that were taken down


class GpuMemory(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU now; None where the driver does not tell.

    Attributes:
        index: Its place among the visible GPUs: `cuda:index` where CUDA numbers them by bus, as
            it does for GPUs of one model. See `MemorySample.by_uuid` for the others.
        title: The model's name.
        uuid: As NVML writes it, without "GPU-"; that of a MIG instance begins with "MIG-".
        total: Bytes.
        used: Bytes that are not free, whoever has them.
        ours: Bytes that our processes have; unknown in most containers.
        utilisation: Per cent of the time that something ran on it.
        temperature: °C.
        power: W; of the whole board for a MIG instance, as is the temperature.
        unified: It has no memory of its own but shares the host's.
        fault: Why it cannot be used; empty for a GPU that is there.
    """

    index: int
    title: str
    uuid: str
    total: int | None = None
    used: int | None = None
    ours: int | None = None
    utilisation: int | None = None
    temperature: int | None = None
    power: float | None = None
    unified: bool = False
    fault: str = ""

    @property
    def free(self) -> int | None:
        """Bytes that are free."""
        return None if self.total is None or self.used is None else self.total - self.used


@dataclass(frozen=True, kw_only=True)
class _Gpu:
    """A GPU or a MIG instance; `board` is the GPU that it is on."""

    handle: Any
    board: Any
    title: str
    uuid: str
    is_slice: bool = False
    unified: bool = False
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class _Board:
    """A GPU in its slot, with its MIG instances if that mode is on."""

    gpu: _Gpu
    divided: bool
    slices: tuple[_Gpu, ...]


class _AwayError(Exception):
    """The GPU or the driver is gone."""


class Gpus:
    """The GPUs that CUDA would show to a process with our environment."""

    def __init__(
        self,
        nvml: Any,
        *,
        visible: str | None = None,
        all_pids: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            nvml: The module `pynvml`; None where it cannot be imported.
            visible: CUDA_VISIBLE_DEVICES; None where it is not set.
            all_pids: We see processes under the numbers that the driver knows them by.
            clock: Seconds.
        """
        self._nvml = nvml
        self._visible = visible
        self._all_pids = all_pids
        self._clock = clock
        self._known: list[_Gpu] = []
        self._open = False
        self._ask_again = -1e9
        self.fault = ""

    def read(self, pids: frozenset[int]) -> tuple[GpuMemory, ...]:
        """Return all visible GPUs as they are now.

        Args:
            pids: Our own processes.
        """
        broken = not self._open or any(gpu.fault for gpu in self._known)
        if broken and self._nvml is not None and self._clock() >= self._ask_again:
            self._ask_again = self._clock() + _RETRY_SECONDS
            self.close()
            self._start()
        return tuple(self._read(index, gpu, pids) for index, gpu in enumerate(self._known))

    def last_known(self, fault: str) -> tuple[GpuMemory, ...]:
        """Return the GPUs that were there last, without asking the driver."""
        return tuple(_missing(i, gpu, gpu.fault or fault) for i, gpu in enumerate(self._known))

    def close(self) -> None:
        """Let go of the driver."""
        if self._open:
            self._open = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                return

    def _start(self) -> None:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            # A machine without a driver has no GPUs, and that is no fault.
            self.fault = "" if error.value in _NO_DRIVER and not self._known else str(error)
            self._known = [replace(gpu, fault=self.fault) for gpu in self._known]
            return
        self._open = True
        try:
            found = _visible(self._visible, list(self._boards()))
        except (self._nvml.NVMLError, _AwayError) as error:
            self.fault = str(error)
            self.close()
            return
        self.fault = ""
        self._known = _merged(self._known, found)

    def _boards(self) -> Iterator[_Board]:
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                board = self._gpu(handle, handle)
            except (self._nvml.NVMLError, _AwayError) as error:
                if getattr(error, "value", 0) == _NO_PERMISSION:
                    continue  # another container's
                lost = _Gpu(handle=None, board=None, title="", uuid="", fault=str(error))
                yield _Board(gpu=lost, divided=False, slices=())
                continue
            mode = self._ask("nvmlDeviceGetMigMode", handle)
            divided = bool(mode and mode[0])
            yield _Board(
                gpu=board, divided=divided, slices=tuple(self._slices(handle)) if divided else ()
            )

    def _slices(self, board: Any) -> Iterator[_Gpu]:
        for index in range(self._ask("nvmlDeviceGetMaxMigDeviceCount", board) or 0):
            handle = self._ask("nvmlDeviceGetMigDeviceHandleByIndex", board, index)
            if handle is not None:
                yield self._gpu(handle, board)

    def _gpu(self, handle: Any, board: Any) -> _Gpu:
        unified = False
        try:
            self._nvml.nvmlDeviceGetMemoryInfo(handle)
        except self._nvml.NVMLError as error:
            unified = error.value == _NOT_SUPPORTED
        return _Gpu(
            handle=handle,
            board=board,
            title=self._ask("nvmlDeviceGetName", handle) or "",
            uuid=(self._ask("nvmlDeviceGetUUID", handle) or "").removeprefix("GPU-"),
            is_slice=handle is not board,
            unified=unified,
        )

    def _read(self, index: int, gpu: _Gpu, pids: frozenset[int]) -> GpuMemory:
        if gpu.fault or not self._open:
            return _missing(index, gpu, gpu.fault or self.fault)
        try:
            memory = self._ask("nvmlDeviceGetMemoryInfo", gpu.handle, away=_AWAY | _NO_HANDLE)
            rates = self._ask("nvmlDeviceGetUtilizationRates", gpu.handle)
            temperature = self._ask("nvmlDeviceGetTemperature", gpu.board, 0)
            power = self._ask("nvmlDeviceGetPowerUsage", gpu.board)
            ours = self._ours(gpu.handle, pids)
        except _AwayError as error:
            # A driver that was reset knows none of our handles: they are asked for again.
            self._known[index] = replace(gpu, fault=str(error))
            return _missing(index, gpu, str(error))
        told = memory is not None and memory.total > 0
        return GpuMemory(
            index=index,
            title=gpu.title,
            uuid=gpu.uuid,
            total=int(memory.total) if told else None,
            used=int(memory.used) if told else None,
            ours=ours,
            utilisation=None if rates is None else int(rates.gpu),
            temperature=None if temperature is None else int(temperature),
            power=None if power is None else power / 1000,
            unified=gpu.unified,
        )

    def _ours(self, handle: Any, pids: frozenset[int]) -> int | None:
        running = self._ask("nvmlDeviceGetComputeRunningProcesses", handle)
        if running is None:
            return None
        sizes = [process.usedGpuMemory for process in running if process.pid in pids]
        if not sizes and not self._all_pids:
            return None  # in a container: ours may be there under other numbers, or not be told
        return None if None in sizes else sum(sizes)

    def _ask(self, name: str, *arguments: Any, away: set[int] = _AWAY) -> Any:
        """Return the driver's answer, or None where it has none.

        Raises:
            _AwayError: It is no longer there.
        """
        try:
            return getattr(self._nvml, name)(*arguments)
        except UnicodeDecodeError:
            return None
        except self._nvml.NVMLError as error:
            if error.value in away:
                raise _AwayError(str(error)) from error
            return None


def _visible(variable: str | None, boards: Sequence[_Board]) -> list[_Gpu]:
    """Return what CUDA shows for a value of CUDA_VISIBLE_DEVICES; None: it is not set.

    A number or UUID that there is none of ends the list, one that comes twice empties it. CUDA
    uses one MIG instance, and no whole GPU beside it.
    """
    if variable is None:
        chosen = [board.gpu for board in boards if not board.divided]
        chosen += [part for board in boards for part in board.slices]
    else:
        chosen = _named(variable, boards)
    slices = [gpu for gpu in chosen if gpu.is_slice]
    return slices[:1] or chosen


def _named(variable: str, boards: Sequence[_Board]) -> list[_Gpu]:
    kind = next((p for p in ("GPU-", "MIG-") if variable.strip().startswith(p)), "")
    chosen: list[_Gpu] = []
    for word in variable.split(","):
        gpu = _by_uuid(word.strip(), boards) if kind else _by_number(word, boards)
        if gpu is None or (kind and not word.strip().startswith(kind)):
            break
        if any(gpu is other for other in chosen):
            return []
        chosen.append(gpu)
    return chosen


def _by_number(word: str, boards: Sequence[_Board]) -> _Gpu | None:
    # As C's strtoul reads it: "1gpu" is 1.
    match = re.match(r"\s*\+?(\d+)", word, re.ASCII)
    if match is None or int(match[1]) >= len(boards):
        return None
    return _usable(boards[int(match[1])])


def _by_uuid(word: str, boards: Sequence[_Board]) -> _Gpu | None:
    if word.startswith("MIG-"):
        parts = [part for board in boards for part in board.slices]
        found = [part for part in parts if part.uuid.startswith(word)]
    else:
        start = word.removeprefix("GPU-")
        found = [
            gpu
            for board in boards
            if board.gpu.uuid.startswith(start) and (gpu := _usable(board)) is not None
        ]
    return found[0] if len(found) == 1 else None


def _usable(board: _Board) -> _Gpu | None:
    if board.divided:
        return board.slices[0] if board.slices else None
    return board.gpu


def _merged(known: Sequence[_Gpu], found: Sequence[_Gpu]) -> list[_Gpu]:
    # A GPU keeps its place when another is lost: the processes that run count from before.
    if not known:
        return list(found)
    now = {gpu.uuid: gpu for gpu in found if gpu.uuid}
    gone = "the driver lists it no more"
    kept = [
        now.pop(gpu.uuid, replace(gpu, fault=gone if gpu.is_slice else gpu.fault or gone))
        for gpu in known
    ]
    return [*kept, *now.values()]


def _missing(index: int, gpu: _Gpu, fault: str) -> GpuMemory:
    return GpuMemory(index=index, title=gpu.title, uuid=gpu.uuid, unified=gpu.unified, fault=fault)
