"""Videos of several shots with known cuts, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame

from tests.media_clips import Sound, Video, make_video, tone

SHOTS = (40, 33, 52, 27)


def shots(
    lengths: Sequence[int] = SHOTS, size: tuple[int, int] = (320, 180), seed: int = 3
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield rgb24 frames: in each shot a texture moves, so that no two frames are alike."""
    width, height = size
    rng = np.random.default_rng(seed)
    for number, length in enumerate(lengths):
        coarse = rng.integers(0, 200, (7, 11, 3)).astype(np.uint8) + np.uint8(25 * (number % 3))
        wide = cv2.resize(coarse, (width + 3 * length, height), interpolation=cv2.INTER_CUBIC)
        for step in range(length):
            yield np.ascontiguousarray(wide[:, 3 * step : 3 * step + width])


def as_frames(pictures: Iterator[npt.NDArray[np.uint8]], pix_fmt: str) -> Iterator[VideoFrame]:
    """Turn rgb24 into frames for an encoder."""
    for picture in pictures:
        yield VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


def make_shots(
    path: Path,
    lengths: Sequence[int] = SHOTS,
    *,
    size: tuple[int, int] = (320, 180),
    video: Video | None = None,
    sound: Sound | None = None,
    seed: int = 3,
) -> Path:
    """Write a video of several shots, without loss."""
    video = video or Video()
    frames = as_frames(shots(lengths, size, seed), video.pix_fmt)
    return make_video(path, frames, video, sound)


def with_tone(lengths: Sequence[int] = SHOTS, fps: Fraction = Fraction(24)) -> Sound:
    """Return a sound as long as the shots, in which no two moments are alike."""
    return Sound(samples=tone(float(sum(lengths) / fps)))


def cuts_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Return the first frame of each shot but the first."""
    return tuple(np.cumsum(lengths)[:-1].tolist())


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    """Return a video's frames as stored: rgb24 [frames, height, width, 3]."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def psnr(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Return how near two pictures are, in dB."""
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def samples(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Return a file's sound as decoded, float32 [channels, n], and when it begins in samples."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_float = AudioResampler(format="fltp")
        frames = [part for frame in container.decode(stream) for part in to_float.resample(frame)]
        start = round(frames[0].pts * frames[0].time_base * frames[0].sample_rate)
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), start
