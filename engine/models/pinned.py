"""Host memory that clips are read into; pinned where a GPU copies from it.

From pinned memory a GPU copies by itself, while both processors go on. Torch hands it out in blocks
of a power of two bytes and keeps those that are given back for the next clip of about that size.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger("ltx_tui.encoder")

Shape = tuple[int, ...]


def _pin(shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Threads begin with the first GPU, on which this would else make a context.
    with torch.cuda.device(device):
        return torch.empty(shape, dtype=dtype, pin_memory=True)


def _give_back() -> None:
    """Let the system have what torch keeps of pinned memory that nobody uses."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch._C._host_emptyCache()


class HostMemory:
    """Makes room for clips; usable from several threads."""

    def __init__(
        self,
        device: torch.device,
        limit: int,
        *,
        pin: Callable[[Shape, torch.dtype, torch.device], Tensor] = _pin,
        give_back: Callable[[], object] = _give_back,
    ) -> None:
        """Take nothing yet.

        Args:
            device: Where the clips are going: only for a GPU memory is pinned.
            limit: Most bytes to pin at a time, counted as torch takes them.
            pin: Makes a pinned tensor, given its shape, its dtype and the device.
            give_back: Frees pinned memory that nobody uses.
        """
        self._device = device
        self._limit = limit if device.type == "cuda" else 0
        self._pin = pin
        self._give_back = give_back
        self._lock = threading.Lock()
        # Blocks by their size: all that torch has, and those that a clip is in.
        self._made: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        # Sizes of blocks whose clip has gone; from whatever thread drops it, so without the lock.
        self._gone: deque[int] = deque()
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @property
    def pinned_bytes(self) -> int:
        """Bytes of all pinned blocks, those that nobody uses included."""
        return sum(size * count for size, count in self._made.items())

    def bytes_for(self, size: int) -> int:
        """Return the bytes of host memory that `size` bytes take."""
        block = _block(size)
        return block if block <= self._limit else size

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        """Return a tensor with anything in it; pinned, as long as the limit and the system allow.

        Raises:
            RuntimeError: There is no memory at all.
        """
        size = _block(torch.Size(shape).numel() * dtype.itemsize)
        if self._take(size):
            try:
                found = self._pin(shape, dtype, self._device)
            except RuntimeError as error:
                # Copies from ordinary memory wait by themselves: slower, and no less right.
                self._refused(size, error)
            else:
                self._watch(found, size)
                return found
        return torch.empty(shape, dtype=dtype)

    def release(self) -> None:
        """Give back what nobody uses."""
        with self._lock:
            self._settle()
            if self._made != self._used:
                self._give_back()
                self._made = Counter(self._used)

    def _take(self, size: int) -> bool:
        """Count a block as used; False where that would be too much."""
        if size > self._limit:
            return False
        with self._lock:
            self._settle()
            if self._used[size] >= self._made[size]:
                if self.pinned_bytes + size > self._limit:
                    self._give_back()
                    self._made = Counter(self._used)
                if self.pinned_bytes + size > self._limit:
                    return False
                self._made[size] += 1
            self._used[size] += 1
            return True

    def _refused(self, size: int, error: RuntimeError) -> None:
        with self._lock:
            self._made[size] -= 1
            self._used[size] -= 1
            # Nobody asks again for more than there is.
            self._limit = self.pinned_bytes
        log.warning("memory cannot be pinned, copies to %s are slower: %s", self._device, error)

    def _watch(self, found: Tensor, size: int) -> None:
        storage = found.untyped_storage()
        key = storage._cdata

        def gone(_: object) -> None:
            self._watched.pop(key, None)
            self._gone.append(size)

        self._watched[key] = weakref.ref(storage, gone)

    def _settle(self) -> None:
        while self._gone:
            self._used[self._gone.popleft()] -= 1


def _block(size: int) -> int:
    """Return what torch takes for `size` bytes of pinned memory."""
    return 1 << max(0, size - 1).bit_length()
