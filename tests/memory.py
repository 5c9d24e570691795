"""How much memory tensors take at most while something runs, counted op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from engine.memory.budget import LiveBytes


def peak_live_bytes(fn: Callable[[], object], ignore: Iterable[torch.Tensor] = ()) -> int:
    """Run `fn` and return the most bytes of tensors that were alive at once, its result's too."""
    with LiveBytes(ignore) as counter:
        fn()
    return counter.peak
