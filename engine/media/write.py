"""Write videos, images and sounds, each whole or not at all."""

from __future__ import annotations

import itertools
import os
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.errors import MediaError
from engine.files.safe import atomic_path
from engine.media import images
from engine.media.aac import sound_frame
from engine.media.audio import Waveform
from engine.media.sink import SoundFormat, video_sink

Pixels = npt.NDArray[np.uint8] | torch.Tensor

_PRESET = "medium"  # x264's own


def write_video(
    path: Path,
    frames: Iterable[Pixels],
    fps: Fraction,
    audio: Waveform | None = None,
    crf: int = 18,
) -> int:
    """Write an MP4: H.264 in yuv420p at an exact rate, BT.709 limited range, AAC sound.

    An odd width or height loses its last column or row, which yuv420p cannot hold.

    Args:
        path: The file to make or replace, an .mp4.
        frames: uint8 [H, W, 3] each, all of one size; taken one at a time.
        fps: Frames a second, exactly.
        audio: Sound that starts with the first frame.
        crf: x264's quality, 0 (lossless) … 51.

    Returns:
        The number of frames written.

    Raises:
        MediaError: There is no frame, sizes differ, or encoding failed.
    """
    arrays = (_array(frame, path) for frame in frames)
    first = next(arrays, None)
    if first is None:
        raise MediaError("there is no frame to write", file=path)
    height, width = (side - side % 2 for side in first.shape[:2])
    sound = SoundFormat(audio.rate, "stereo") if audio is not None else None
    with video_sink(path, (width, height), fps, sound=sound, crf=crf, preset=_PRESET) as sink:
        for array in itertools.chain([first], arrays):
            if array.shape != first.shape:
                raise MediaError(
                    f"frames of {first.shape[:2]} and {array.shape[:2]} cannot mix", file=path
                )
            sink.write(array[:height, :width])
        sink.end_picture()
        if audio is not None:
            samples = audio.samples.detach().cpu().float().numpy()
            sink.write_sound(sound_frame(samples, "stereo", audio.rate, 0))
    return sink.frames


def write_png(path: Path, pixels: Pixels) -> None:
    """Write uint8 [H, W, 3] as a PNG.

    Raises:
        MediaError: It is no such array.
    """
    images.write_png(path, _array(pixels, path))


def write_wav(path: Path, audio: Waveform) -> None:
    """Write a waveform as 16-bit WAV; samples beyond ±1 are clipped.

    Raises:
        MediaError: It is too long for the format (4 GiB).
    """
    samples = (audio.samples.detach().cpu().float().numpy().T * 32768).round()
    data = np.clip(samples, -32768, 32767).astype("<i2")
    if data.nbytes >= 2**32 - 64:
        raise MediaError("is too long for a WAV file", file=path)
    with atomic_path(path) as part, wave.open(os.fspath(part), "wb") as file:
        file.setnchannels(data.shape[1])
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(data.tobytes())


def _array(pixels: Pixels, path: Path) -> npt.NDArray[np.uint8]:
    array = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise MediaError(
            f"cannot be written from {array.dtype} {list(array.shape)}: uint8 [H, W, 3] is needed",
            file=path,
        )
    return np.ascontiguousarray(array)
