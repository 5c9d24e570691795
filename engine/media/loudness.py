"""How loud a clip's sound is, and whether it sounds like speech. Loads no torch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from engine.media.arrays import Samples
from engine.media.containers import Check
from engine.media.loudness_types import FLOOR, NO_SOUND, SILENCE, Loudness, dbfs
from engine.media.sound_parts import decoding, frame_begin, sound_frames

# Samples a second of what is looked at: speech lies well below 8 kHz.
RATE = 16_000
# Silence that is put in front of a track that starts late ends here, whatever its header says.
_LATEST_START = 600

_WINDOW, _STEP = 512, 256
_LOUDNESS_WINDOW = RATE // 10
# Hz: where most of a voice's energy lies, and how low and high voices are.
_BAND = (250, 4000)
_PITCH = (70, 400)
# A second sounds like speech when its energy lies in the band, its level moves as syllables do,
# and enough of it is voiced.
_IN_BAND, _MOVES, _VOICED, _LOUD = 0.5, 5.0, 0.2, -45.0
# A window is voiced when it is this like itself a period later (1: exactly).
_ALIKE = 0.55
_SHORTEST = RATE // 4


def measure(
    path: Path, *, start: float = 0.0, seconds: float = math.inf, check: Check | None = None
) -> Loudness:
    """Listen to a clip once, a second at a time: memory does not grow with its length.

    Args:
        path: A video or a sound.
        start: Seconds of the track to leave out.
        seconds: How much to listen to, at most.
        check: Called before each packet's samples; what it raises ends the reading.

    Returns:
        The measure; `NO_SOUND` where there is no sound track.

    Raises:
        MediaError: The track cannot be decoded.
    """
    sums = _Sums()
    with contextlib.closing(mono(path, check=check)) as parts:
        for second in _by_the_second(parts, start, seconds):
            sums.add(second)
    return sums.result()


def mono(
    path: Path, *, origin: Fraction | None = None, check: Check | None = None
) -> Generator[Samples]:
    """Yield the first sound track as float32 [n] at `RATE`, all channels mixed into one.

    Args:
        path: A video or a sound.
        origin: Presentation time of the first frame of the picture: a track that starts later gets
            silence in front, of one that starts earlier the beginning is left out. None takes it
            as it is.
        check: Called before each packet's samples.

    Raises:
        MediaError: The track cannot be decoded.
    """
    to_mono = AudioResampler(format="flt", layout="mono", rate=RATE)
    early: int | None = None
    with contextlib.closing(sound_frames(path)) as frames, decoding(path):
        for frame in frames:
            if check is not None:
                check()
            if early is None:
                begins = frame_begin(frame) or Fraction(0)
                early = 0 if origin is None else round((origin - begins) * RATE)
                if early < 0:
                    yield np.zeros(min(-early, _LATEST_START * RATE), np.float32)
            for part in to_mono.resample(frame):
                samples = _samples(part)
                yield samples[max(0, early) :]
                early -= min(max(0, early), len(samples))
        if early is not None:
            for part in to_mono.resample(None):
                yield _samples(part)[max(0, early) :]


def _samples(frame: AudioFrame) -> Samples:
    return np.asarray(frame.to_ndarray(), np.float32).reshape(-1)


def _by_the_second(parts: Iterator[Samples], start: float, seconds: float) -> Iterator[Samples]:
    """Yield [RATE] at a time, and at last what is left."""
    skip = round(start * RATE)
    left = math.inf if math.isinf(seconds) else round(seconds * RATE)
    held = np.zeros(0, np.float32)
    for part in parts:
        skipped = min(skip, len(part))
        skip -= skipped
        part = part[skipped:]
        part = part[: int(min(left, len(part)))]
        left -= len(part)
        held = np.concatenate([held, part])
        while len(held) >= RATE:
            yield held[:RATE]
            held = held[RATE:]
        if left <= 0:
            break
    if len(held):
        yield held


class _Sums:
    """What was heard so far."""

    def __init__(self) -> None:
        self._samples = 0
        self._peak = 0.0
        self._power = 0.0
        self._loud = 0
        self._speech = 0

    def add(self, samples: Samples) -> None:
        """Take in a second or less: float32 [n]."""
        samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        self._samples += len(samples)
        self._peak = max(self._peak, float(np.abs(samples).max()))
        self._power += float(np.square(samples, dtype=np.float64).sum())
        for at in range(0, len(samples), _LOUDNESS_WINDOW):
            part = samples[at : at + _LOUDNESS_WINDOW]
            if _decibels(float(np.sqrt(np.mean(np.square(part, dtype=np.float64))))) > SILENCE:
                self._loud += len(part)
        if len(samples) >= _SHORTEST and sounds_like_speech(samples):
            self._speech += len(samples)

    def result(self) -> Loudness:
        """Return the measure."""
        if not self._samples:
            return NO_SOUND
        return Loudness(
            seconds=self._samples / RATE,
            peak=_decibels(self._peak),
            rms=_decibels(math.sqrt(self._power / self._samples)),
            heard=self._loud / self._samples,
            speech=self._speech / self._samples,
        )


def sounds_like_speech(samples: Samples) -> bool:
    """Return whether about a second of sound, float32 [n] at `RATE`, sounds like a voice."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_STEP]
    level = 10 * np.log10(np.mean(np.square(windows, dtype=np.float64), axis=1) + 1e-12)
    loudest = float(np.percentile(level, 90))
    if loudest < _LOUD:
        return False
    if float(np.std(np.maximum(level, loudest - 40))) < _MOVES:
        return False
    # Twice the length, so that the end of a window does not run into its beginning.
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), 2 * _WINDOW)))
    hertz = np.fft.rfftfreq(2 * _WINDOW, 1 / RATE)
    total = power.sum()
    band = power[:, (hertz >= _BAND[0]) & (hertz <= _BAND[1])].sum()
    if band < _IN_BAND * total:
        return False
    voiced = (_periodicity(power) > _ALIKE) & (level > loudest - 25)
    return float(np.mean(voiced)) >= _VOICED


def _periodicity(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each window how like itself it is a period of a voice later: [windows]."""
    window = np.square(np.abs(np.fft.rfft(np.hanning(_WINDOW), 2 * _WINDOW)))
    own = np.fft.irfft(power, axis=1)
    taper = np.fft.irfft(window)
    lags = slice(RATE // _PITCH[1], RATE // _PITCH[0])
    alike = (own[:, lags] / np.maximum(own[:, :1], 1e-12)) / (taper[lags] / taper[0])
    return np.asarray(alike.max(axis=1), np.float64)


def _decibels(value: float) -> float:
    return max(FLOOR, dbfs(value))
