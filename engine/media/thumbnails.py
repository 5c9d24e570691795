"""Some frames of a clip, exactly those that are asked for, as small pictures. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from PIL import Image

from engine.errors import MediaError
from engine.media import orientation
from engine.media.arrays import Pixels
from engine.media.containers import Check, opened, require_video
from engine.media.geometry import Geometry
from engine.media.images import read_image
from engine.media.pictures import as_bytes, converting, hdr_of, picture
from engine.media.probe import Probe
from engine.media.video_frames import frame_time, numbered_frames

# Where a file has no index, seek when more than so many seconds would be decoded for nothing.
_SEEK_FROM = 10
# So many seconds are decoded without asking the index.
_NEAR = Fraction(1, 2)
# The longest side of a small picture.
MOST_SIDE = 2048
# How bright what is not kept is shown.
_DARKER = 0.35


class Box(NamedTuple):
    """A part of a picture; 0 … 1 from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float


def crop_box(place: Geometry) -> Box:
    """Return which part of the source a bucket keeps."""
    return Box(
        place.left / place.width,
        place.top / place.height,
        (place.left + place.crop_width) / place.width,
        (place.top + place.crop_height) / place.height,
    )


def fitting(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same shape that fits; at least a pixel each way."""
    scale = min(most[0] / width, most[1] / height)
    return max(1, min(most[0], round(width * scale))), max(1, min(most[1], round(height * scale)))


def frames_at(
    path: Path,
    probe: Probe,
    times: Iterable[Fraction],
    *,
    steady: bool = True,
    check: Check | None = None,
) -> Generator[VideoFrame]:
    """Yield for each of some times the frame that is shown then.

    Goes to the key frame before and decodes from there, unless what was decoded last is nearer.

    Args:
        path: A video.
        probe: What `engine.media.probe.probe` says about it.
        times: Seconds after the first frame, rising; the same one may come again. Each is asked
            for when the frame before was taken.
        steady: Frame n is shown at n / fps, whatever its timestamp: for sources that are read in
            order. Otherwise timestamps count.
        check: Called before each decoded frame; what it raises ends the reading.

    Raises:
        MediaError: It cannot be decoded that far.
    """
    run: Generator[_Shown] | None = None
    keys = _Keys(path, probe)
    shown: _Shown | None = None
    ahead: _Shown | None = None
    slack = min(probe.tick, Fraction(1, 2000))
    step = 1 / probe.fps if steady else None
    try:
        for time in times:
            if run is None or keys.is_nearer(time, shown.begins if shown else Fraction(0)):
                if run is not None:
                    run.close()
                run, shown, ahead = _timed(path, probe, time, steady=steady), None, None
            while shown is None or step is None or shown.begins + step <= time + slack:
                if check is not None:
                    check()
                ahead = ahead or next(run, None)
                if ahead is None or (shown is not None and ahead.begins > time + slack):
                    break
                shown, ahead = ahead, None
            if shown is None:
                raise MediaError("no frame of it decodes", remedy="export it again", file=path)
            yield shown.frame
    finally:
        keys.close()
        if run is not None:
            run.close()


class _Shown(NamedTuple):
    """A frame, and when it is first shown: seconds after the first one."""

    begins: Fraction
    frame: VideoFrame


class _Keys:
    """Where a file's key frames are, as far as its index says."""

    def __init__(self, path: Path, probe: Probe) -> None:
        self._probe = probe
        self._path = path
        self._files = contextlib.ExitStack()
        self._stream: VideoStream | None = None

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def is_nearer(self, time: Fraction, position: Fraction) -> bool:
        """Whether a key frame lies between a position and a later time."""
        if time - position < _NEAR:
            return False
        if self._stream is None:
            container = self._files.enter_context(opened(self._path))
            self._stream = require_video(container, self._path)
        index = self._stream.index_entries
        if not len(index):
            return time - position > _SEEK_FROM
        at = index.search_timestamp(self._probe.first_pts + int(time / self._probe.tick))
        if at < 0:
            return False
        return (index[at].timestamp - self._probe.first_pts) * self._probe.tick > position


def _timed(path: Path, probe: Probe, time: Fraction, *, steady: bool) -> Generator[_Shown]:
    """Yield frames from some frame at or before `time` on."""
    with contextlib.closing(numbered_frames(path, probe, time)) as numbered:
        for number, frame in numbered:
            begins = number / probe.fps if steady else frame_time(frame, number, probe)
            yield _Shown(begins, frame)


def small(frame: VideoFrame, probe: Probe, size: tuple[int, int], *, tonemap: bool) -> Pixels:
    """Return a frame upright and scaled down: uint8 [height, width, 3].

    Args:
        frame: A decoded frame.
        probe: Its clip.
        size: Width and height of the result, at most `MOST_SIDE`.
        tonemap: Whether HDR is mapped to SDR; this alone loads torch.

    Raises:
        MediaError: Its pixels cannot be converted.
    """
    size = max(1, min(MOST_SIDE, size[0])), max(1, min(MOST_SIDE, size[1]))
    if tonemap and hdr_of(frame, probe):
        # Scaled before it is mapped, which takes by far the longest.
        width, height = orientation.upright_size(*size, probe.rotation)
        with converting(frame):
            less = frame.reformat(width=width, height=height, interpolation=Interpolation.AREA)
        less.color_trc, less.colorspace = frame.color_trc, frame.colorspace
        return as_bytes(picture(less, probe, tonemap=True))
    # Scaled by Pillow: FFmpeg's scaler is up to two steps of 255 off.
    return shrink(as_bytes(picture(frame, probe, tonemap=False)), size)


def shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return uint8 [h, w, 3] at another size, each pixel the mean of those that it covers."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def marked(pixels: Pixels, kept: Box | None, line: tuple[int, int, int] | None = None) -> Pixels:
    """Return a picture that is darker outside of what is kept.

    Args:
        pixels: uint8 [h, w, 3].
        kept: The part that stays as it is; None for nothing of it.
        line: Colour of a line around that part, on the darker side; None for none.
    """
    dark = (pixels * _DARKER).astype(np.uint8)
    if kept is None:
        return dark
    height, width = pixels.shape[:2]
    left, right = inner(kept.left, kept.right, width)
    top, bottom = inner(kept.top, kept.bottom, height)
    if line is not None:
        if left:
            dark[max(0, top - 1) : bottom + 1, left - 1] = line
        if right < width:
            dark[max(0, top - 1) : bottom + 1, right] = line
        if top:
            dark[top - 1, max(0, left - 1) : right + 1] = line
        if bottom < height:
            dark[bottom, max(0, left - 1) : right + 1] = line
    dark[top:bottom, left:right] = pixels[top:bottom, left:right]
    return dark


def inner(begin: float, end: float, size: int) -> tuple[int, int]:
    """Return which steps of a side a part of it takes, at least one: (first, behind the last)."""
    first = min(size - 1, round(begin * size))
    return first, max(first + 1, round(end * size))


def still(path: Path, size: tuple[int, int]) -> Pixels:
    """Return an image at a size: uint8 [height, width, 3].

    Raises:
        MediaError: It cannot be read.
    """
    return shrink(read_image(path), size)
