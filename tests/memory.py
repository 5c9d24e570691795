"""How much memory tensors take at most while something runs, counted op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Count the bytes of the storages that ops made and that are still alive.

    What an op needs only while it runs (a kernel's scratch) is not seen; what existed before is
    left out if it is named in `ignore`, since a view of it would count as new otherwise.
    """

    def __init__(self, ignore: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.peak = 0
        self._ignored = {t.untyped_storage()._cdata for t in ignore}
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf.untyped_storage())
        # A weak reference keeps the storage's address from being used again until it is dropped.
        self._live = {k: v for k, v in self._live.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._ignored and storage._cdata not in self._live:
            self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())


def peak_live_bytes(fn: Callable[[], object], ignore: Iterable[torch.Tensor] = ()) -> int:
    """Run `fn` and return the most bytes of tensors that were alive at once, its result's too."""
    with LiveBytes(ignore) as counter:
        fn()
    return counter.peak
