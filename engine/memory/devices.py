"""The memory of the devices that encoders run on, as torch sees it."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterable, Iterator

import torch

from engine.memory.allocator import give_back
from engine.memory.budget import LiveBytes
from engine.memory.host import HostRoom, host_room
from engine.memory.ways import Meter

# What a CUDA context and the libraries' own buffers take beside torch's tensors, about.
_CONTEXT = 600 << 20

# How libraries below torch say that memory ran out.
_WORDS = (
    "out of memory",
    "ALLOC_FAILED",
    "can't allocate memory",
    "not enough memory",
    "cudaErrorMemoryAllocation",
)

Tick = Callable[[], None]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, means that the memory of a device or the host ran out.

    torch has an exception for it, but cuDNN, cuBLAS and the CPU's allocator raise plain
    RuntimeErrors.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(cause, RuntimeError) and any(words in str(cause) for words in _WORDS):
            return True
        cause = cause.__cause__
    return False


def cuda_in_use() -> bool:
    """Whether this process has begun to use CUDA; asking does not begin it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


class _DeviceMemory:
    """What all devices share.

    Weights are told with `hold`, since the limit covers them and a measurement leaves them out.
    """

    def __init__(self, limit: int, tick: Tick) -> None:
        self._limit = limit
        self._tick = tick
        self._held: dict[int, list[torch.Tensor]] = {}

    def hold(self, owner: object, tensors: Iterable[torch.Tensor]) -> None:
        """Count the weights of `owner`."""
        self._held[id(owner)] = list(tensors)

    def drop(self, owner: object) -> None:
        """Count them no more."""
        self._held.pop(id(owner), None)

    @property
    def weights(self) -> list[torch.Tensor]:
        """All weights that are held."""
        return [tensor for tensors in self._held.values() for tensor in tensors]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that are held; storages that tensors share count once."""
        storages = (tensor.untyped_storage() for tensor in self.weights)
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def is_shortage(self, error: Exception) -> bool:
        """Whether an error means that memory ran out."""
        return is_out_of_memory(error)


class HostDeviceMemory(_DeviceMemory):
    """The memory of the CPU, or of a GPU that shares the host's.

    Tensors are counted op by op; a limit is enforced by that count, as it would be on a GPU.
    """

    def __init__(
        self,
        *,
        limit: int = 0,
        reserve: int = 0,
        tick: Tick = lambda: None,
        look: Callable[[], HostRoom] = host_room,
    ) -> None:
        """Look at nothing yet.

        Args:
            limit: Bytes of weights and tensors together; 0 for all there is.
            reserve: Bytes of the host's memory to leave free.
            tick: Called after each op.
            look: Reads the host's memory.
        """
        super().__init__(limit, tick)
        self._reserve = reserve
        self._look = look
        self._counter: LiveBytes | None = None

    @property
    def total(self) -> int:
        """Bytes that the job may use."""
        total = self._look().total
        return min(self._limit, total) if self._limit else total

    @property
    def _budget(self) -> int | None:
        return max(0, self._limit - self.weight_bytes) if self._limit else None

    def _capped(self, size: int) -> int:
        budget = self._budget
        return size if budget is None else min(size, budget)

    def free(self) -> int:
        """Return the bytes that tensors may take now."""
        return self._capped(self._look().beside(self._reserve))

    def most(self) -> int:
        """Return the bytes that tensors could take if no other program held any."""
        total = self._look().total
        return self._capped(HostRoom(total - self.weight_bytes, total).beside(self._reserve))

    @contextlib.contextmanager
    def loading(self) -> Iterator[LiveBytes]:
        """Surround the loading of a model: its weights count."""
        with LiveBytes(self.weights, limit=self._budget, tick=self._tick) as counter:
            self._counter = counter
            try:
                yield counter
            finally:
                self._counter = None

    def drop(self, owner: object) -> None:
        """Count the weights of `owner` no more: what is being loaded may take their place."""
        super().drop(owner)
        if self._counter is not None:
            self._counter.limit = self._budget

    def measure(self) -> contextlib.AbstractContextManager[Meter]:
        """Count what tensors take beside the weights."""
        return self.loading()

    def release(self) -> None:
        """Free what only cycles hold, and give what is free back to the system."""
        gc.collect()
        give_back()


class _CudaMeter:
    """Reads the peak that torch's allocator keeps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._instead: int | None = None
        torch.cuda.reset_peak_memory_stats(device)
        self._before = torch.cuda.memory_allocated(device)

    @property
    def peak(self) -> int:
        """Most bytes of tensors since the start, those that were there before left out."""
        if self._instead is not None:
            return self._instead
        return int(torch.cuda.max_memory_allocated(self._device)) - self._before

    def ignore(self, tensors: Iterable[torch.Tensor]) -> None:
        """Do nothing: tensors that were there before are left out."""

    def instead(self, peak: int) -> None:
        """Tell this peak from now on; 0: none is known."""
        self._instead = peak


class CudaMemory(_DeviceMemory):
    """The memory of an NVIDIA GPU. Makes a CUDA context there when it is first asked."""

    def __init__(
        self, device: torch.device, *, limit: int = 0, reserve: int = 0, tick: Tick = lambda: None
    ) -> None:
        """Look at nothing yet.

        Args:
            device: Which GPU.
            limit: Bytes that torch may hold of it; 0 for all there is.
            reserve: Bytes to leave free for others.
            tick: Called after each op of loading a model.
        """
        super().__init__(limit, tick)
        self._device = device
        self._reserve = reserve

    @functools.cached_property
    def _size(self) -> int:
        # First of all: whatever torch does without naming a device is then done on this one, and
        # no context is made on the first GPU beside it.
        torch.cuda.set_device(self._device)
        total = int(torch.cuda.mem_get_info(self._device)[1])
        fraction = min(1.0, self._limit / total) if self._limit else 1.0
        torch.cuda.set_per_process_memory_fraction(fraction, self._device)
        return total

    @property
    def total(self) -> int:
        """Bytes that the job may use."""
        return min(self._limit, self._size) if self._limit else self._size

    def free(self) -> int:
        """Return the bytes that tensors may take now: what is free, and what torch keeps unused."""
        size = self._size
        free = int(torch.cuda.mem_get_info(self._device)[0])
        allocated = int(torch.cuda.memory_allocated(self._device))
        unused = int(torch.cuda.memory_reserved(self._device)) - allocated
        return self._capped(min(free + unused, size), allocated)

    def most(self) -> int:
        """Return the bytes that tensors could take if no other program held any."""
        allocated = int(torch.cuda.memory_allocated(self._device))
        return self._capped(self._size - _CONTEXT - allocated, allocated)

    def _capped(self, size: int, allocated: int) -> int:
        size -= self._reserve
        return max(0, min(size, self._limit - allocated) if self._limit else size)

    @contextlib.contextmanager
    def loading(self) -> Iterator[LiveBytes]:
        """Surround the loading of a model, to see that it moves on."""
        _ = self._size
        with LiveBytes(tick=self._tick) as counter:
            yield counter

    @contextlib.contextmanager
    def measure(self) -> Iterator[Meter]:
        """Read what torch's allocator counts."""
        _ = self._size
        yield _CudaMeter(self._device)

    def release(self) -> None:
        """Give cached memory back to the device."""
        gc.collect()
        torch.cuda.empty_cache()


AnyMemory = HostDeviceMemory | CudaMemory


def memory_of(
    device: torch.device,
    *,
    limit: int = 0,
    reserve: int = 0,
    host_reserve: int = 0,
    tick: Tick = lambda: None,
) -> AnyMemory:
    """Return the memory of a device; arguments as those of the classes."""
    if device.type == "cuda":
        return CudaMemory(device, limit=limit, reserve=reserve, tick=tick)
    return HostDeviceMemory(limit=limit, reserve=host_reserve, tick=tick)
