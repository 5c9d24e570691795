"""Write videos, images and sounds, each whole or not at all."""

from __future__ import annotations

import contextlib
import os
import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from PIL import Image

from engine.errors import MediaError
from engine.files import atomic_path
from engine.media.audio import Waveform

Pixels = npt.NDArray[np.uint8] | torch.Tensor

# FFmpeg's own AAC encoder smears pure tones at less than this.
_AUDIO_BITS = 320_000
# Rates that AAC knows; others are resampled to the last.
_AAC_RATES = (96000, 88200, 64000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 48000)


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
        path: The file to make or replace.
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
    with (
        atomic_path(path) as part,
        _writing(path),
        av.open(
            str(part.absolute()), "w", format="mp4", options={"movflags": "+faststart"}
        ) as container,
    ):
        video = _add_video(container, first, fps, crf)
        sound = _add_audio(container, audio)
        count = _encode_video(container, video, _chain(first, arrays), fps, path)
        if audio is not None and sound is not None:
            _encode_audio(container, sound, audio)
    return count


def write_png(path: Path, pixels: Pixels) -> None:
    """Write uint8 [H, W, 3] as a PNG.

    Raises:
        MediaError: It is no such array.
    """
    image = Image.fromarray(_array(pixels, path))
    with atomic_path(path) as part:
        image.save(part, format="PNG")


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


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into one about the file that is being made."""
    try:
        yield
    except av.FFmpegError as error:
        raise MediaError(
            f"cannot be written: {error.strerror}", remedy="check the disk", file=path
        ) from error


def _chain(
    first: npt.NDArray[np.uint8], rest: Iterable[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.uint8]]:
    yield first
    yield from rest


def _array(pixels: Pixels, path: Path) -> npt.NDArray[np.uint8]:
    array = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise MediaError(
            f"cannot be written from {array.dtype} {list(array.shape)}: uint8 [H, W, 3] is needed",
            file=path,
        )
    return np.ascontiguousarray(array)


def _add_video(
    container: OutputContainer, first: npt.NDArray[np.uint8], fps: Fraction, crf: int
) -> VideoStream:
    height, width = (side - side % 2 for side in first.shape[:2])
    stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = 1 / fps
    context = stream.codec_context
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    return stream


def _add_audio(container: OutputContainer, audio: Waveform | None) -> AudioStream | None:
    if audio is None:
        return None
    rate = audio.rate if audio.rate in _AAC_RATES else _AAC_RATES[-1]
    stream = container.add_stream("aac", rate=rate, layout="stereo")
    stream.bit_rate = min(_AUDIO_BITS, 12 * rate)  # 6144 bits a channel and 1024 samples at most
    return stream


def _encode_video(
    container: OutputContainer,
    stream: VideoStream,
    frames: Iterable[npt.NDArray[np.uint8]],
    fps: Fraction,
    path: Path,
) -> int:
    count, shape = 0, None
    for array in frames:
        if shape is not None and array.shape != shape:
            raise MediaError(f"frames of {shape[:2]} and {array.shape[:2]} cannot mix", file=path)
        shape = array.shape
        container.mux(stream.encode(_to_yuv(array, count, fps)))
        count += 1
    container.mux(stream.encode(None))
    return count


def _to_yuv(array: npt.NDArray[np.uint8], index: int, fps: Fraction) -> VideoFrame:
    height, width = (side - side % 2 for side in array.shape[:2])
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(array[:height, :width]), format="rgb24")
    frame = frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
    frame.pts, frame.time_base = index, 1 / fps
    return frame


def _encode_audio(container: OutputContainer, stream: AudioStream, audio: Waveform) -> None:
    samples = np.ascontiguousarray(audio.samples.detach().cpu().float().numpy())
    frame = AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base, frame.pts = audio.rate, Fraction(1, audio.rate), 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
