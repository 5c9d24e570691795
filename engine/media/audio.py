"""The sound of the kept frames: cut by presentation time, two channels, padded with silence."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
import torch
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from engine.errors import MediaError
from engine.media.containers import DamagedDataError, audio_stream, opened, reason
from engine.media.probe import Probe

# Timestamps are rounded to ticks (1 ms in Matroska): frames follow one another without a seam
# unless they are this far from their place, which means that sound is missing.
_GAP = Fraction(1, 20)
# Seek when this many seconds would be decoded for nothing, and come down a second early.
_SEEK_FROM = 10
_SEEK_EARLY = 1

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
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError("holds no sound any more", remedy="probe it again", file=path)
        # None where FFmpeg has no decoder, which PyAV's stubs leave out.
        context: AudioCodecContext | None = stream.codec_context
        rate = context.rate if context else 0
        if rate < 1:
            raise _unreadable(path, "FFmpeg lacks its codec, or its sample rate is missing")
    origin = probe.origin + Fraction(start)
    window = _Window(sample_count(duration, rate), rate, origin)
    late = Fraction(start) > _SEEK_FROM
    if not (late and _fill(path, window, origin - _SEEK_EARLY)):
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

    def place(self, time: Fraction | None) -> int:
        """Return where a frame's first sample belongs: after the last frame, or by its time."""
        follows = self._next
        if time is None:
            return follows if follows is not None else -round(self._origin * self.rate)
        at = round((time - self._origin) * self.rate)
        if follows is not None and abs(at - follows) < _GAP * self.rate:
            return follows
        return at

    def add(self, time: Fraction | None, samples: npt.NDArray[np.float32]) -> None:
        """Take in float32 [2, n] that is heard at `time` seconds."""
        at = self.place(time)
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
    for frame in _frames(path, seek):
        time = None if frame.pts is None else frame.pts * Fraction(frame.time_base or 1)
        if seek is not None and not begun and (time is None or time > seek + _SEEK_EARLY):
            return False
        begun = True
        if frame.sample_rate != window.rate:
            raise _unreadable(path, "its sample rate changes on the way")
        window.add(time, _two_channels(frame))
        if window.full:
            return True
    if not begun and seek is None:
        raise _unreadable(path, "nothing in it decodes")
    return begun


def _frames(path: Path, seek: Fraction | None) -> Generator[AudioFrame]:
    """Yield decoded frames as planar float32."""
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            return
        if seek is not None:
            # A file that cannot seek is read from its beginning.
            with contextlib.suppress(av.FFmpegError):
                container.seek(int(seek / Fraction(stream.time_base or 1)), stream=stream)
        to_float: AudioResampler | None = None
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DamagedDataError("damaged data")
                for frame in packet.decode():
                    if frame.format.name == "fltp":
                        yield frame
                        continue
                    to_float = to_float or AudioResampler(format="fltp")
                    yield from to_float.resample(frame)
        except (av.FFmpegError, DamagedDataError, ValueError) as error:
            raise _unreadable(path, reason(error)) from error


def _unreadable(path: Path, why: str) -> MediaError:
    return MediaError(
        f"has a sound track that cannot be decoded ({why})",
        remedy="export it again, or remove the track to treat the clip as silent",
        file=path,
    )


def _two_channels(frame: AudioFrame) -> npt.NDArray[np.float32]:
    """Return a planar float frame as float32 [2, n]."""
    samples = frame.to_ndarray().astype(np.float32, copy=False)
    if samples.shape[0] == 2:
        return samples
    if samples.shape[0] == 1:
        return np.repeat(samples, 2, axis=0)
    return down_mix_matrix(tuple(c.name for c in frame.layout.channels)) @ samples


def down_mix_matrix(channels: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return float32 [2, channels] that brings a layout to left and right.

    Args:
        channels: FFmpeg's names, such as FL, FR, FC, LFE, BL, BR.
    """
    if not all(name in _DOWN_MIX for name in channels):
        return np.full((2, len(channels)), 1 / len(channels), dtype=np.float32)
    return np.array([_DOWN_MIX[name] for name in channels], dtype=np.float32).T.copy()
