"""A decoded clip against what the encoder was given, frame by frame. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from engine.errors import MediaError
from engine.media.arrays import Floats, Pixels
from engine.media.containers import Check
from engine.media.geometry import Geometry
from engine.media.images import read_image
from engine.media.pictures import picture
from engine.media.probe import Probe
from engine.media.selection import effective_fps, in_order, kept_start
from engine.media.thumbnails import frames_at


class Pair(NamedTuple):
    """A kept frame as the encoder gets it, and as it came back.

    Attributes:
        source: float32 [H, W, 3] in 0 … 255.
        decoded: uint8 [H, W, 3].
        error: Mean squared difference; `engine.media.psnr.decibels` makes dB of it.
    """

    source: Floats
    decoded: Pixels
    error: float


def pairs(
    path: Path,
    probe: Probe,
    decoded: Path,
    decoded_probe: Probe,
    place: Geometry,
    *,
    frames: int,
    start: float = 0.0,
    fps: Fraction | None = None,
    tonemap: bool = False,
    check: Check | None = None,
) -> Generator[Pair]:
    """Yield the kept frames of a clip beside those of the decoded clip; two are held at a time.

    The source is scaled and cropped as for the encoder, but in single precision of another
    library and before it is rounded to the encoder's dtype: a hundredth of a step of 8 bits away
    at most.

    Args:
        path: The source: a video or an image.
        probe: What is known about it.
        decoded: The decoded clip: a video, or an image for one frame.
        decoded_probe: What is known about that.
        place: Resize and crop of the source.
        frames: How many are kept.
        start: Seconds after the first frame, where they begin.
        fps: The rate that they were sampled at; None for the source's own.
        tonemap: Whether HDR is mapped to SDR.
        check: Called before each decoded frame; what it raises ends the reading.

    Raises:
        MediaError: One of them cannot be read, or the decoded clip has another size or length.
    """
    _check(decoded, decoded_probe, place, frames)
    sources = _sources(path, probe, frames, start, fps, check, tonemap=tonemap)
    others = _others(decoded, decoded_probe, frames, check)
    with contextlib.closing(sources), contextlib.closing(others):
        for upright_source, other in zip(sources, others, strict=True):
            source = to_bucket(upright_source, place)
            yield Pair(source, other, squared_error(source, other))


def _check(path: Path, probe: Probe, place: Geometry, frames: int) -> None:
    is_size, wanted = (probe.width, probe.height), (place.crop_width, place.crop_height)
    if is_size != wanted or probe.frames != frames:
        raise MediaError(
            f"is {is_size[0]}x{is_size[1]}x{probe.frames}, "
            f"and the bucket is {wanted[0]}x{wanted[1]}x{frames}",
            remedy="encode and decode it again",
            file=path,
        )


def _sources(
    path: Path,
    probe: Probe,
    frames: int,
    start: float,
    fps: Fraction | None,
    check: Check | None,
    *,
    tonemap: bool,
) -> Generator[Floats]:
    if probe.kind == "image":
        yield read_image(path).astype(np.float32)
        return
    steady, rate = in_order(probe, fps), effective_fps(probe, fps)
    begin = kept_start(probe, start, fps)
    times = [begin + number / rate for number in range(frames)]
    done: VideoFrame | None = None
    pixels = np.empty(0, np.float32)
    with contextlib.closing(frames_at(path, probe, times, steady=steady, check=check)) as shown:
        for frame in shown:
            if frame is not done:
                pixels, done = _full(frame, probe, tonemap=tonemap), frame
            yield pixels


def _others(path: Path, probe: Probe, frames: int, check: Check | None) -> Generator[Pixels]:
    if probe.kind == "image":
        yield read_image(path)
        return
    times = [number / probe.fps for number in range(frames)]
    with contextlib.closing(frames_at(path, probe, times, check=check)) as shown:
        for frame in shown:
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _full(frame: VideoFrame, probe: Probe, *, tonemap: bool) -> Floats:
    """Return a frame upright at its own size: float32 [h, w, 3] in 0 … 255."""
    pixels = picture(frame, probe, tonemap=tonemap)
    return pixels.astype(np.float32) if pixels.dtype == np.uint8 else pixels * np.float32(255)


def to_bucket(pixels: Floats, place: Geometry) -> Floats:
    """Scale and crop float32 [h, w, 3] in 0 … 255 as `engine.media.frames` does for the encoder.

    Pillow's bicubic filter in single precision is the antialiased one of torch.
    """
    size = (place.width, place.height)
    right, bottom = place.left + place.crop_width, place.top + place.crop_height
    if (pixels.shape[1], pixels.shape[0]) == size:
        kept = pixels[place.top : bottom, place.left : right]
    else:
        kept = np.empty((place.crop_height, place.crop_width, 3), np.float32)
        for channel in range(3):
            plane = Image.fromarray(np.ascontiguousarray(pixels[:, :, channel]))
            scaled = np.asarray(plane.resize(size, Image.Resampling.BICUBIC))
            kept[:, :, channel] = scaled[place.top : bottom, place.left : right]
    return kept.clip(0, 255)


def squared_error(pixels: Floats | Pixels, other: Floats | Pixels) -> float:
    """Return the mean squared difference of two pictures of one shape."""
    difference = pixels.astype(np.float32) - other.astype(np.float32)
    return float(np.mean(np.square(difference), dtype=np.float64))
