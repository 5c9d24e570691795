"""What a service is sent of a clip: small pictures, a small video, its sound. Loads no torch.

Of a clip with a window, all of these are of that part alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import math
import threading
import wave
from collections.abc import Callable, Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from PIL import Image

from engine.captioners.base import CaptionError
from engine.dataset.windows import WHOLE, Span
from engine.errors import MediaError
from engine.media.arrays import Pixels, Samples
from engine.media.containers import Check, faults
from engine.media.loudness import RATE, mono
from engine.media.probe import Probe, probe
from engine.media.thumbnails import fitting, frames_at, small, still

Result = TypeVar("Result")

LONGEST_SIDE = 768
MOST_FRAMES = 64
# Ten minutes at 16 kHz are 19 MB, about what services take.
MOST_SECONDS = 600
# Bytes of one picture: the quality goes down until it fits.
MOST_BYTES = 400_000
_QUALITIES = (85, 70, 55, 40)


class _AbandonedError(Exception):
    """Nobody waits for the result any more."""


@contextlib.contextmanager
def as_caption_error(path: Path) -> Iterator[None]:
    """Let a fault of a clip be one of captioning it."""
    try:
        yield
    except MediaError as error:
        raise CaptionError(error.message, remedy=error.remedy, file=path) from error


async def in_thread(work: Callable[[Check], Result]) -> Result:
    """Run blocking work beside the event loop; cancelling the call stops the work soon after.

    Args:
        work: Is given a function to call now and then, which raises once nobody waits any more.
    """
    abandoned = threading.Event()

    def check() -> None:
        if abandoned.is_set():
            raise _AbandonedError

    try:
        return await asyncio.to_thread(work, check)
    finally:
        abandoned.set()


def frame_times(seconds: Fraction, fps: float, most: int = MOST_FRAMES) -> list[Fraction]:
    """Return when frames are looked at, in seconds after the first one.

    Args:
        seconds: How long the clip is.
        fps: Frames a second.
        most: At most so many; of a longer clip they are further apart.
    """
    rate = Fraction(fps).limit_denominator(1000)
    count = max(1, math.ceil(seconds * rate))
    if count <= most:
        return [index / rate for index in range(count)]
    return [index * seconds / most for index in range(most)]


def pictures(path: Path, fps: float, most: int, check: Check, span: Span = WHOLE) -> list[bytes]:
    """Return frames of a video, or an image, as JPEG files with sides up to `LONGEST_SIDE`.

    Args:
        path: A video or an image.
        fps: Frames a second.
        most: At most so many.
        check: Called before each decoded frame; what it raises ends the reading.
        span: Which part of a video.

    Raises:
        MediaError: It cannot be read.
    """
    found = probe(path)
    size = _size(found, path)
    if found.kind == "image":
        return [_jpeg(still(path, size))]
    times = _times(found, fps, most, span)
    with contextlib.closing(
        frames_at(path, found, times, steady=not found.vfr, check=check)
    ) as frames:
        return [_jpeg(small(frame, found, size, tonemap=False)) for frame in frames]


def small_video(
    path: Path,
    fps: float,
    most: int,
    check: Check,
    span: Span = WHOLE,
    *,
    with_sound: bool = False,
) -> bytes:
    """Return a video as a small MP4 file.

    Args:
        path: A video.
        fps: Frames a second.
        most: At most so many.
        check: Called before each decoded frame; what it raises ends the reading.
        span: Which part of it.
        with_sound: Whether its sound goes along, where there is any.

    Raises:
        MediaError: It cannot be read.
    """
    found = probe(path)
    width, height = (max(2, side - side % 2) for side in _size(found, path))
    times = _times(found, fps, most, span)
    rate = Fraction(fps) if len(times) < 2 else 1 / (times[1] - times[0])
    rate = rate.limit_denominator(1000)
    file = io.BytesIO()
    with (
        faults(path, "cannot be made small"),
        av.open(file, "w", format="mp4") as container,
        contextlib.closing(
            frames_at(path, found, times, steady=not found.vfr, check=check)
        ) as frames,
        contextlib.closing(_heard(path, found, check, span)) as heard,
    ):
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        samples = next(heard, None) if with_sound else None
        track = None if samples is None else container.add_stream("aac", rate=RATE, layout="mono")
        for index, frame in enumerate(frames):
            shown = VideoFrame.from_ndarray(
                small(frame, found, (width, height), tonemap=False), format="rgb24"
            )
            shown.pts, shown.time_base = index, 1 / rate
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
        if track is not None and samples is not None:
            for packet in _encoded(track, itertools.chain([samples], heard)):
                container.mux(packet)
    return file.getvalue()


def _encoded(track: AudioStream, heard: Iterable[Samples]) -> Iterator[Packet[AudioStream]]:
    """Yield the packets of a sound, float32 [n] at a time."""
    at = 0
    for samples in heard:
        frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        at += len(samples)
        yield from track.encode(frame)
    yield from track.encode(None)


def sound(path: Path, check: Check, span: Span = WHOLE) -> bytes | None:
    """Return a video's sound as a WAV file: 16 kHz, mono, 16 bits, in step with the picture.

    Args:
        path: A video.
        check: Called before each packet; what it raises ends the reading.
        span: Which part of it.

    Returns:
        The file, of at most `MOST_SECONDS`, or None where there is no sound.

    Raises:
        MediaError: The track cannot be decoded.
    """
    file = io.BytesIO()
    most = left = MOST_SECONDS * RATE
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        with contextlib.closing(_heard(path, probe(path), check, span)) as parts:
            for part in parts:
                whole = np.rint(part[:left] * 32767).astype("<i2")
                writer.writeframes(whole.tobytes())
                left -= len(whole)
                if left <= 0:
                    break
    return file.getvalue() if left < most else None


def _heard(path: Path, found: Probe, check: Check, span: Span) -> Generator[Samples]:
    """Yield the sound of a part: float32 [n] at `RATE` in −1 … 1, in step with the picture."""
    if not found.audio:
        return
    first, at = round(span.start * RATE), 0
    behind = None if span.end is None else round(span.end * RATE)
    with contextlib.closing(mono(path, origin=found.origin, check=check)) as parts:
        for part in parts:
            kept = part[max(0, first - at) : None if behind is None else max(0, behind - at)]
            if len(kept):
                yield np.clip(kept, -1, 1)
            at += len(part)
            if behind is not None and at >= behind:
                return


def _times(found: Probe, fps: float, most: int, span: Span) -> list[Fraction]:
    """Return when frames of a part are looked at, in seconds after the first one of all."""
    seconds = Fraction(span.seconds_of(found.duration))
    return [Fraction(span.start) + time for time in frame_times(seconds, fps, most)]


def _size(found: Probe, path: Path) -> tuple[int, int]:
    if found.kind == "audio":
        raise MediaError(
            "holds no picture", remedy="captioners look at videos and images", file=path
        )
    if max(found.width, found.height) <= LONGEST_SIDE:
        return found.width, found.height
    return fitting(found.width, found.height, (LONGEST_SIDE, LONGEST_SIDE))


def _jpeg(pixels: Pixels) -> bytes:
    image = Image.fromarray(pixels)
    for quality in _QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
