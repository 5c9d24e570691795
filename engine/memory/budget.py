"""Counts the memory that tensors take, op by op, and ends an op that goes over a budget."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.memory.words import gib


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of the storages that ops made and that are still alive.

    What an op needs only while it runs (a kernel's scratch) is not seen; what existed before is
    left out if it is named in `ignore`, since a view of it would count as new otherwise. Ops of
    other threads are not seen.

    Attributes:
        live: Bytes alive now.
        peak: The most bytes that were alive at once.
        limit: Bytes that may be alive at once; None for any number. May be changed at any time.
    """

    def __init__(
        self,
        ignore: Iterable[torch.Tensor] = (),
        *,
        limit: int | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        """Count nothing yet.

        Args:
            ignore: What existed before and does not count.
            limit: As in the attributes.
            tick: Called after each op, as a sign that the work moves on.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.limit = limit
        self._tick = tick
        self._exceeded = ""
        self._measures = True
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self.ignore(ignore)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch asks this of every such class. By default each op would first see that it is not
        # compiled, and the first one would import torch's whole compiler for that: three seconds.
        return False

    def ignore(self, tensors: Iterable[torch.Tensor]) -> None:
        """Leave more tensors out of the count."""
        for tensor in tensors:
            self._note(tensor.untyped_storage(), counts=False)

    def instead(self, peak: int) -> None:
        """Tell this peak from now on, whatever is made; 0: none is known."""
        self.peak = peak
        self._measures = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an op and count what it made.

        Raises:
            torch.OutOfMemoryError: That went over the limit; the op's result is freed.
        """
        result = func(*args, **(kwargs or {}))
        before = self.live
        # Nearly all ops return one tensor; walking a tree takes longer than many of them.
        for leaf in (result,) if isinstance(result, torch.Tensor) else tree_leaves(result):
            # What has no memory ("meta") is counted as if it had, but cannot use up a limit.
            if isinstance(leaf, torch.Tensor) and not (leaf.is_meta and self.limit is not None):
                self._note(leaf.untyped_storage())
        if self._tick is not None:
            self._tick()
        if self.limit is not None and self.live > max(before, self.limit):
            wanted = self.live - before
            leaf = result = None
            self._exceeded = (
                f"allocation budget of {gib(self.limit)} exceeded: {gib(before)} in use, "
                f"{gib(wanted)} more asked for"
            )
            raise torch.OutOfMemoryError(self._exceeded)
        if self._measures:
            self.peak = max(self.peak, self.live)
        return result

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop counting.

        Raises:
            torch.OutOfMemoryError: An op went over the limit, and what called it (such as
                `torch.asarray`) made another error of that.
        """
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        swallowed = isinstance(error, Exception) and not isinstance(error, torch.OutOfMemoryError)
        if self._exceeded and swallowed:
            raise torch.OutOfMemoryError(self._exceeded) from error

    def _note(self, storage: torch.UntypedStorage, *, counts: bool = True) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if counts else 0
        # A storage's Python object lives as long as the storage itself, so this is told at once.
        gone = functools.partial(self._forget, key, size)
        self._known[key] = weakref.ref(storage, gone)
        self.live += size

    def _forget(self, key: int, size: int, _: object) -> None:
        del self._known[key]
        self.live -= size
