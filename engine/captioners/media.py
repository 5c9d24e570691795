"""What a service is sent of a clip: small pictures, a small video, its sound. Loads no torch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import threading
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from engine.errors import MediaError
from engine.media.containers import faults
from engine.media.loudness import RATE, mono
from engine.media.probe import Probe, probe
from engine.media.thumbnails import Check, Pixels, fitting, frames_at, small, still

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


def pictures(path: Path, fps: float, most: int, check: Check) -> list[bytes]:
    """Return frames of a video, or an image, as JPEG files with sides up to `LONGEST_SIDE`.

    Args:
        path: A video or an image.
        fps: Frames a second.
        most: At most so many.
        check: Called before each decoded frame; what it raises ends the reading.

    Raises:
        MediaError: It cannot be read.
    """
    found = probe(path)
    size = _size(found, path)
    if found.kind == "image":
        return [_jpeg(still(path, size))]
    times = frame_times(Fraction(found.duration), fps, most)
    with contextlib.closing(
        frames_at(path, found, times, steady=not found.vfr, check=check)
    ) as frames:
        return [_jpeg(small(frame, found, size, tonemap=False)) for frame in frames]


def small_video(path: Path, fps: float, most: int, check: Check) -> bytes:
    """Return a video as a small MP4 file without sound; the arguments are those of `pictures`.

    Raises:
        MediaError: It cannot be read.
    """
    found = probe(path)
    width, height = (max(2, side - side % 2) for side in _size(found, path))
    seconds = Fraction(found.duration)
    times = frame_times(seconds, fps, most)
    rate = Fraction(fps) if len(times) < 2 else 1 / (times[1] - times[0])
    rate = rate.limit_denominator(1000)
    file = io.BytesIO()
    with (
        faults(path, "cannot be made small"),
        av.open(file, "w", format="mp4") as container,
        contextlib.closing(
            frames_at(path, found, times, steady=not found.vfr, check=check)
        ) as frames,
    ):
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for index, frame in enumerate(frames):
            shown = VideoFrame.from_ndarray(
                small(frame, found, (width, height), tonemap=False), format="rgb24"
            )
            shown.pts, shown.time_base = index, 1 / rate
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return file.getvalue()


def sound(path: Path, check: Check) -> bytes | None:
    """Return a video's sound as a WAV file: 16 kHz, mono, 16 bits, in step with the picture.

    Args:
        path: A video.
        check: Called before each packet; what it raises ends the reading.

    Returns:
        The file, of at most `MOST_SECONDS`, or None where there is no sound track.

    Raises:
        MediaError: The track cannot be decoded.
    """
    found = probe(path)
    if not found.audio:
        return None
    file = io.BytesIO()
    left = MOST_SECONDS * RATE
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        with contextlib.closing(mono(path, origin=found.origin, check=check)) as parts:
            for part in parts:
                whole = np.rint(np.clip(part[:left], -1, 1) * 32767).astype("<i2")
                writer.writeframes(whole.tobytes())
                left -= len(whole)
                if left <= 0:
                    break
    return file.getvalue()


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
