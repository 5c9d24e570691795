"""The sound of the kept frames: cut by presentation time, two channels, padded with silence."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from engine.media.arrays import Samples
from engine.media.probe import Probe
from engine.media.sound_parts import (
    NO_DECODER,
    SEEK_EARLY,
    SEEK_FROM,
    Part,
    SoundError,
    place_of,
    sound_parts,
)

_HALF = math.sqrt(0.5)
# ITU-R BS.775-4, table 2: left, right, or both, and how much. LFE is left out, as there.
_DOWN_MIX = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_HALF, _HALF), "LFE": (0.0, 0.0),
    "LFE2": (0.0, 0.0), "BL": (_HALF, 0.0), "BR": (0.0, _HALF), "SL": (_HALF, 0.0),
    "SR": (0.0, _HALF), "BC": (0.5, 0.5), "FLC": (1.0, 0.0), "FRC": (0.0, 1.0),
    "DL": (1.0, 0.0), "DR": (0.0, 1.0),
}  # fmt: skip


class Waveform(NamedTuple):
    """Two channels of sound.

    Attributes:
        samples: float32 [2, N], full scale at ±1.
        rate: Samples a second.
        heard: How many of the N come from the file; the rest is the silence around them. 0 means
            that the file has a sound track, but nothing in this window.
    """

    samples: torch.Tensor
    rate: int
    heard: int = 0


def sample_count(duration: float | Fraction, rate: int) -> int:
    """Return how many samples a duration has, rounded down as in the official preprocessing."""
    return int(Fraction(duration) * rate)


def silence(duration: float | Fraction, rate: int) -> Waveform:
    """Return silence of `duration` seconds."""
    return Waveform(torch.zeros(2, sample_count(duration, rate)), rate)


def read_audio(
    path: Path,
    probe: Probe,
    *,
    start: float | Fraction = 0,
    duration: float | Fraction,
) -> Waveform | None:
    """Read a window of a file's first sound track, at its own rate.

    Sound is placed by presentation time against the first frame of the picture: a track that
    starts late begins with silence, one that starts early is cut, one that ends early is padded.
    Mono goes to both channels. More than two channels are down-mixed with the coefficients of
    ITU-R BS.775 (centre and surrounds at 1/√2, no LFE, not scaled down: float samples may pass
    ±1); a layout of unknown channels gives their mean.

    Args:
        path: A video, or a sound file.
        probe: What `engine.media.probe.probe` says about it.
        start: Seconds after the first frame of the picture (of the sound, in a sound file): for
            kept frames this is `engine.media.selection.kept_start`.
        duration: Seconds: frames / fps.

    Returns:
        The window, or None where the file has no sound track.

    Raises:
        MediaError: There is a track, and it cannot be decoded as far as the window needs.
    """
    if not probe.audio:
        return None
    rate = probe.audio[0].rate
    if rate < 1:
        raise SoundError(path, NO_DECODER)
    origin = probe.origin + Fraction(start)
    window = _Window(sample_count(duration, rate), rate, origin)
    late = Fraction(start) > SEEK_FROM
    if not (late and _fill(path, window, origin - SEEK_EARLY)):
        _fill(path, window, None)
    return Waveform(torch.from_numpy(window.samples), rate, window.heard)


class _Window:
    """Receives decoded frames and keeps what lies inside."""

    def __init__(self, count: int, rate: int, origin: Fraction) -> None:
        self.samples = np.zeros((2, count), dtype=np.float32)
        self.rate = rate
        self.heard = 0
        self._origin = origin
        self._next: int | None = None

    @property
    def full(self) -> bool:
        """Whether what follows cannot matter."""
        return self._next is not None and self._next >= self.samples.shape[1]

    def add(self, part: Part) -> None:
        """Take in some sound."""
        at, samples = place_of(part, self._origin, self._next), _two_channels(part)
        self._next = at + samples.shape[1]
        first, last = max(at, 0), min(self._next, self.samples.shape[1])
        if first < last:
            self.samples[:, first:last] = samples[:, first - at : last - at]
            self.heard = min(self.heard + last - first, self.samples.shape[1])


def _fill(path: Path, window: _Window, seek: Fraction | None) -> bool:
    """Decode into the window, from `seek` seconds or from the beginning.

    Returns:
        False when seeking came down too late and nothing was taken in.
    """
    begun = False
    for part in sound_parts(path, seek=seek):
        late = part.time is None or (seek is not None and part.time > seek + SEEK_EARLY)
        if seek is not None and not begun and late:
            return False
        begun = True
        if part.rate != window.rate:
            raise SoundError(path, "its sample rate changes on the way")
        window.add(part)
        if window.full:
            return True
    if not begun and seek is None:
        raise SoundError(path, "nothing in it decodes")
    return begun


def _two_channels(part: Part) -> Samples:
    """Return float32 [2, n]."""
    samples = part.samples
    if samples.shape[0] == 2:
        return samples
    if samples.shape[0] == 1:
        return np.repeat(samples, 2, axis=0)
    return down_mix_matrix(tuple(c.name for c in part.layout.channels)) @ samples


def down_mix_matrix(channels: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return float32 [2, channels] that brings a layout to left and right.

    Args:
        channels: FFmpeg's names, such as FL, FR, FC, LFE, BL, BR.
    """
    if not all(name in _DOWN_MIX for name in channels):
        return np.full((2, len(channels)), 1 / len(channels), dtype=np.float32)
    return np.array([_DOWN_MIX[name] for name in channels], dtype=np.float32).T.copy()
