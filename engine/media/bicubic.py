"""One direction of torch's antialiased bicubic, equal to the bit and several times quicker.

Torch computes a pixel from the taps of its window one after the other: the first product, then the
following ones four at a time, each rounded before it is added, then up to three that are fused
(one rounding for product and sum). It does so pixel by pixel. Here the same sums are taken over
whole rows at once, by the embedding bag of FBGEMM, which adds weight · row to nothing, in order and
fused. A product that must be rounded first is a bag of its own, added with the weight 1. Weights
are read out of torch. Only the pixels that are asked for are computed.

Torch's order comes from how its compiler met that loop, so every scaling is compared with torch
before it is used; where one bit differs, there is no `Axis` and torch has to do it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import embedding_bag, interpolate

# Taps whose products torch rounds before adding come in groups of so many.
_GROUP = 4
# Products of one step, so that they stay in the processor's cache.
_PRODUCTS = 1 << 20
# Samples to compare with torch: several vectors and a rest.
_SAMPLES = 43

_Ints = npt.NDArray[np.int64]


class Bags(NamedTuple):
    """Weighted sums of a table's rows.

    Attributes:
        rows: int32: the rows of all sums, one after the other.
        starts: int32: where each sum starts in `rows`.
        weights: float32, as many as rows.
    """

    rows: torch.Tensor
    starts: torch.Tensor
    weights: torch.Tensor

    def sums(self, table: torch.Tensor) -> torch.Tensor:
        """Return [len(starts), N] of a table [rows, N], float32."""
        return embedding_bag(
            self.rows, table, self.starts, mode="sum", per_sample_weights=self.weights
        )

    def to(self, device: torch.device) -> Bags:
        """Return the same on a device."""
        return Bags(*(part.to(device) for part in self))


# Returns [len(starts), N] of bags and a table [rows, N], with the bits of `Bags.sums`.
Sums = Callable[[Bags, torch.Tensor], torch.Tensor]


class _Step(NamedTuple):
    """Some consecutive pixels: what is copied or rounded first, and the sums over that."""

    gather: Bags | None
    add: Bags

    def to(self, device: torch.device) -> _Step:
        return _Step(self.gather and self.gather.to(device), self.add.to(device))


class Axis:
    """Scales one direction from one length to another, and gives some of the pixels.

    Attributes:
        low: The first source pixel that is needed.
        high: One behind the last.
    """

    def __init__(self, source: int, target: int, first: int, count: int, width: int) -> None:
        """Prepare for pixels `first` to `first + count` of `target`, in rows `width` long."""
        starts, sizes, weights = _windows(source, target)
        kept = slice(first, first + count)
        starts, sizes, weights = starts[kept], sizes[kept], weights[kept]
        self.low, self.high = int(starts.min()), int((starts + sizes).max())
        step = max(1, _PRODUCTS // (width * int(sizes.max())))
        self._steps = [
            _step(starts[at : at + step] - self.low, sizes[at : at + step], weights[at:])
            for at in range(0, count, step)
        ]

    def scaled(
        self, table: torch.Tensor, sums: Sums = Bags.sums
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number, [n, N]): the kept pixels from that number on, all of them in order.

        Args:
            table: float32 [high − low, N]: the needed source pixels, one a row, contiguous.
            sums: How bags are summed up.
        """
        at = 0
        for gather, add in self._steps:
            part = sums(add, sums(gather, table) if gather else table)
            yield at, part
            at += len(part)

    def to(self, device: torch.device) -> Axis:
        """Return the same for tables on a device."""
        there = copy.copy(self)
        there._steps = [step.to(device) for step in self._steps]
        return there

    @property
    def most_rows(self) -> int:
        """The most rows as long as the table's that `scaled` holds at once, beside the table.

        That is what is copied first, the pixels that are summed up, and those yielded before.
        """
        return max(
            2 * len(add.starts) + (len(gather.starts) if gather else 0)
            for gather, add in self._steps
        )


@functools.lru_cache(maxsize=32)
def axis(source: int, target: int, first: int, count: int, width: int) -> Axis | None:
    """Return how one direction is scaled, or None where that is for torch to do.

    Args:
        source: Pixels before.
        target: Pixels after.
        first: The first one that is wanted.
        count: How many are wanted.
        width: How long the rows of its tables will be, about; it is as right for others.
    """
    return Axis(source, target, first, count, width) if _is_torchs(source, target) else None


@functools.lru_cache(maxsize=32)
def _is_torchs(source: int, target: int) -> bool:
    """Whether noise comes out with the very bits of torch."""
    if source == target or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    noise = torch.rand((source, _SAMPLES), generator=torch.Generator().manual_seed(source))
    ours = [part for _, part in Axis(source, target, 0, target, _SAMPLES).scaled(noise)]
    theirs = interpolate(noise.t()[None, None], (_SAMPLES, target), mode="bicubic", antialias=True)
    return torch.equal(torch.cat(ours).t(), theirs[0, 0])


def _windows(source: int, target: int) -> tuple[_Ints, _Ints, npt.NDArray[np.float32]]:
    """Return, for every output pixel, the first tap, how many there are, and their weights."""
    half = np.float32(0.5)
    scale = np.float32(source) / np.float32(target)
    support = np.float32(2) * max(scale, np.float32(1))
    centres = scale * (np.arange(target, dtype=np.float32) + half)
    starts = np.maximum((centres - support + half).astype(np.int64), 0)
    sizes = np.minimum((centres + support + half).astype(np.int64), source) - starts
    # Scaled, combs of ones give the weights, if no window holds two teeth of one.
    teeth = int(sizes.max())
    combs = torch.zeros((1, teeth, 1, source))
    at = torch.arange(source)
    combs[0, at % teeth, 0, at] = 1
    found = interpolate(combs, (1, target), mode="bicubic", antialias=True)[0, :, 0].t().numpy()
    taps = starts[:, None] + np.arange(teeth)
    return starts, sizes, np.take_along_axis(found, taps % teeth, axis=1)


def _step(starts: _Ints, sizes: _Ints, weights: npt.NDArray[np.float32]) -> _Step:
    """Return the bags for some pixels; `starts` count from the table's first row."""
    number = np.arange(int(sizes.max()))
    weights = weights[: len(starts), : len(number)]
    used = number < sizes[:, None]
    taps = starts[:, None] + number
    rounded = (number >= 1) & (number <= (sizes[:, None] - 1) // _GROUP * _GROUP)
    if not rounded.any():
        return _Step(None, _bags(taps, weights, used))
    copied = np.unique(taps[used & ~rounded])
    single = np.concatenate([copied, taps[rounded]])
    factors = np.concatenate([np.ones(len(copied), np.float32), weights[rounded]])
    places = np.searchsorted(copied, taps)
    places[rounded] = len(copied) + np.arange(int(rounded.sum()))
    return _Step(
        _bags(single[:, None], factors[:, None], np.ones((len(single), 1), bool)),
        _bags(places, np.where(rounded, np.float32(1), weights), used),
    )


def _bags(rows: _Ints, weights: npt.NDArray[np.float32], used: npt.NDArray[np.bool_]) -> Bags:
    """Return a bag for every row of [n, taps]; entries that are not used are left out."""
    counts = used.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return Bags(
        torch.from_numpy(rows[used].astype(np.int32)),
        torch.from_numpy(starts.astype(np.int32)),
        torch.from_numpy(weights[used].astype(np.float32)),
    )
