"""How much memory there is and who has it, on the GPUs and on the host, a few times a second."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from engine.memory.cgroup import memory_limit
from engine.memory.nvml import GpuMemory, Gpus

# A driver that hangs does so for good: nobody waits for it longer than this, in seconds.
_PATIENCE = 5.0

# What Linux calls the process namespace of the machine itself.
_WHOLE_MACHINE = "pid:[4026531836]"


class HostMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The host's memory; bytes.

    Attributes:
        total: Of the machine, or the limit of our control group where that is less.
        used: What of `total` is not available.
        available: What can be taken without swapping and within the limit.
        ours: What our processes hold, shared pages counted for each.
        limited_by: The control group whose limit `total` is; empty for the whole machine.
    """

    total: int
    used: int
    available: int
    ours: int
    limited_by: str = ""


class NodeMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a machine that encoders of ours run on, as the encoder of one device sees it.

    Attributes:
        node: The machine.
        device: Which of its devices, such as "cuda:0".
        gpu: None for a CPU.
    """

    node: str
    device: str
    host: HostMemory
    gpu: GpuMemory | None = None


class MemorySample(msgspec.Struct, frozen=True, kw_only=True):
    """The memory at one moment.

    Attributes:
        time: Seconds since 1970.
        gpus: Those that CUDA shows, in its order; see `GpuMemory.index`.
        fault: Why the driver tells nothing; empty where all is well or there is no driver.
        nodes: Other machines that a job runs on now, one for each device.
    """

    time: float
    host: HostMemory
    gpus: tuple[GpuMemory, ...] = ()
    fault: str = ""
    nodes: tuple[NodeMemory, ...] = ()

    def by_uuid(self, uuid: str) -> GpuMemory | None:
        """Return the GPU with that UUID, with or without "GPU-" or "MIG-" before it.

        CUDA puts the fastest GPU first unless CUDA_DEVICE_ORDER says PCI_BUS_ID; with GPUs of
        several models the index alone does not tell which is which.
        """
        wanted = _bare(uuid)
        return next((gpu for gpu in self.gpus if wanted and _bare(gpu.uuid) == wanted), None)

    def free_on(self, device: str) -> int | None:
        """Return the bytes that are free on a device; None where that is not known.

        Args:
            device: "cpu", "cuda", "cuda:1"; "auto" is the GPU with least free, since all take
                clips, and the CPU on a machine without.
        """
        gpus = [gpu for gpu in self.gpus if not gpu.fault]
        if device in ("cpu", "mps") or (device == "auto" and not self.gpus):
            return self.host.available
        if device != "auto":
            number = device.removeprefix("cuda").removeprefix(":") or "0"
            gpus = [gpu for gpu in gpus if str(gpu.index) == number]
        free = [self.host.available if gpu.unified else gpu.free for gpu in gpus]
        known = [size for size in free if size is not None]
        return min(known) if known and len(known) == len(free) else None


def family() -> list[int]:
    """Return the numbers of this process and all its descendants."""
    return [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]


class Monitor:
    """Samples memory; usable from several threads. Holds no CUDA context."""

    def __init__(
        self,
        pids: Callable[[], Iterable[int]] = family,
        *,
        nvml: Any = None,
        environ: Mapping[str, str] = os.environ,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            pids: Tells which processes are ours.
            nvml: Stands in for the module `pynvml`.
            environ: Where CUDA_VISIBLE_DEVICES is looked for.
            root: Where the system's own files lie.
            clock: Seconds, for how often a driver that is away is asked again.
        """
        self._pids = pids
        self._root = root
        self._lock = threading.Lock()
        self._gpus = Gpus(
            _load_nvml() if nvml is None else nvml,
            visible=environ.get("CUDA_VISIBLE_DEVICES"),
            all_pids=_sees_the_machine(root),
            clock=clock,
        )

    def sample(self) -> MemorySample:
        """Look at everything once: some milliseconds, the first time longer."""
        pids = frozenset(self._pids())
        # Another thread may be held by a driver that hangs; the host is told of all the same.
        if self._lock.acquire(timeout=_PATIENCE):
            try:
                gpus, fault = self._gpus.read(pids), self._gpus.fault
            finally:
                self._lock.release()
        else:
            fault = "the NVIDIA driver does not answer"
            gpus = self._gpus.last_known(fault)
        return MemorySample(time=time.time(), host=self._host(pids), gpus=gpus, fault=fault)

    def free_on(self, device: str) -> int | None:
        """Return the bytes that are free on a device now; see `MemorySample.free_on`."""
        if device == "cpu":
            return self._host(frozenset()).available
        return self.sample().free_on(device)

    async def watch(self, interval: float = 0.5) -> AsyncIterator[MemorySample]:
        """Yield a sample now and then every `interval` seconds."""
        while True:
            yield await _aside(self.sample)
            await asyncio.sleep(interval)

    def close(self) -> None:
        """Let go of the driver, unless it hangs."""
        if self._lock.acquire(timeout=0):
            try:
                self._gpus.close()
            finally:
                self._lock.release()

    def _host(self, pids: Iterable[int]) -> HostMemory:
        memory = psutil.virtual_memory()
        total, available, limited_by = int(memory.total), int(memory.available), ""
        limit = memory_limit(self._root)
        if limit is not None:
            available = min(available, limit.available)
            if limit.limit < total:
                total, limited_by = limit.limit, limit.group
        available = min(available, total)
        return HostMemory(
            total=total,
            used=total - available,
            available=available,
            ours=sum(_resident(pid) for pid in pids),
            limited_by=limited_by,
        )


async def _aside(work: Callable[[], MemorySample]) -> MemorySample:
    # A thread that nobody joins, so that a driver that hangs does not keep the worker from ending.
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[MemorySample] = loop.create_future()

    def settle(sample: MemorySample | None, error: BaseException | None) -> None:
        if answer.done():
            return  # whoever asked has gone
        if sample is not None:
            answer.set_result(sample)
        elif error is not None:
            answer.set_exception(error)

    def run() -> None:
        sample, failure = None, None
        try:
            sample = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, sample, failure)

    threading.Thread(target=run, name="memory", daemon=True).start()
    return await answer


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has just ended, or is not ours to look at


def _sees_the_machine(root: Path) -> bool:
    with contextlib.suppress(OSError):
        return str((root / "proc" / "self" / "ns" / "pid").readlink()) == _WHOLE_MACHINE
    return False


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-").removeprefix("MIG-").lower()


def _load_nvml() -> Any:
    try:
        return importlib.import_module("pynvml")
    except Exception:  # whatever a broken installation raises: there are no GPUs to tell of
        return None
