"""The outline of a sound over time: lowest, highest and effective values. Loads no torch."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.media.containers import Check
from engine.media.probe import Probe
from engine.media.sound_parts import sound_parts

MOST_COLUMNS = 4096


class Envelope(NamedTuple):
    """A sound in columns of equal time; full scale is ±1, all channels together.

    Attributes:
        low: float32 [columns]: the lowest sample; 0 where there is no sound.
        high: float32 [columns]: the highest.
        rms: float32 [columns]: the root of the mean square.
    """

    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    rms: npt.NDArray[np.float32]

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return float(max(-self.low.min(), self.high.max(), 0))


def envelope(
    path: Path, probe: Probe, columns: int, *, seconds: float = 0.0, check: Check | None = None
) -> Envelope | None:
    """Return the outline of a file's first sound track, from the first frame of the picture on.

    Decoded packet by packet: memory does not grow with the length.

    Args:
        path: A video or a sound.
        probe: What `engine.media.probe.probe` says about it.
        columns: How many columns, at most `MOST_COLUMNS`.
        seconds: What they cover; by default the whole clip.
        check: Called before each packet's samples; what it raises ends the reading.

    Returns:
        The outline, or None where there is no sound track.

    Raises:
        MediaError: The track cannot be decoded.
        ValueError: Too few or too many columns.
    """
    if not 0 < columns <= MOST_COLUMNS:
        raise ValueError(f"between 1 and {MOST_COLUMNS} columns")
    whole = Fraction(seconds or probe.duration)
    if not probe.audio or whole <= 0:
        return None
    bins = _Bins(columns)
    end = Fraction(0)
    for part in sound_parts(path):
        if check is not None:
            check()
        begin = end if part.time is None else part.time - probe.origin
        end = begin + Fraction(part.samples.shape[1], part.rate)
        if begin >= whole:
            break
        bins.add(part.samples, begin / whole, Fraction(1, part.rate) / whole)
    return bins.result()


class _Bins:
    """Gathers samples into columns."""

    def __init__(self, columns: int) -> None:
        self._low = np.zeros(columns, np.float32)
        self._high = np.zeros(columns, np.float32)
        self._power = np.zeros(columns, np.float64)
        self._count = np.zeros(columns, np.int64)

    def add(self, samples: npt.NDArray[np.float32], begin: Fraction, step: Fraction) -> None:
        """Take in [channels, n] whose first sample is at `begin` of the whole, 0 … 1."""
        columns = len(self._low)
        first, width = float(begin * columns), float(step * columns)
        at = np.floor(first + width * np.arange(samples.shape[1])).astype(np.int64)
        inside = (at >= 0) & (at < columns)
        if not inside.any():
            return
        at, samples = at[inside], samples[:, inside]
        starts = np.flatnonzero(np.diff(at, prepend=at[0] - 1))
        where = at[starts]
        low = np.minimum.reduceat(samples.min(axis=0), starts)
        high = np.maximum.reduceat(samples.max(axis=0), starts)
        self._low[where] = np.minimum(self._low[where], low)
        self._high[where] = np.maximum(self._high[where], high)
        power = np.mean(np.square(samples, dtype=np.float64), axis=0)
        self._power[where] += np.add.reduceat(power, starts)
        self._count[where] += np.diff(starts, append=len(at))

    def result(self) -> Envelope:
        """Return what was gathered."""
        rms = np.sqrt(self._power / np.maximum(self._count, 1)).astype(np.float32)
        return Envelope(self._low, self._high, rms)
