"""Frames as they are in the source, cut to what a bucket needs of them, to be scaled later.

One byte a sample: as long as a source is not much larger than its bucket, that is less to hold and
to move than the scaled frames. `engine.media.on_device` scales them where they are encoded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from engine.media.arrays import Floats, Pixels
from engine.media.bicubic import Axis, axis
from engine.media.frames import FrameRequest, brought_frames, plain_memory
from engine.media.geometry import Geometry
from engine.media.probe import Probe
from engine.media.to_bucket import ToBucket
from engine.media.video_frames import Source

# (shape, dtype) -> memory for it, with anything in it.
Empty = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]


class Scaling(NamedTuple):
    """How pictures of one size are brought to a bucket's.

    Attributes:
        size: (height, width) of the pictures.
        place: Where they go.
        across: Scales rows; None where they are as long as they shall be.
        down: Scales columns; None likewise.
    """

    size: tuple[int, int]
    place: Geometry
    across: Axis | None
    down: Axis | None

    @property
    def rows(self) -> tuple[int, int]:
        """The first source row that is needed, and one behind the last."""
        if self.down is not None:
            return self.down.low, self.down.high
        return self.place.top, self.place.top + self.place.crop_height

    @property
    def columns(self) -> tuple[int, int]:
        """The first source column that is needed, and one behind the last."""
        if self.across is not None:
            return self.across.low, self.across.high
        return self.place.left, self.place.left + self.place.crop_width

    @property
    def frame_bytes(self) -> int:
        """Bytes of what is kept of a picture."""
        (top, bottom), (left, right) = self.rows, self.columns
        return 3 * (bottom - top) * (right - left)

    @property
    def is_copy(self) -> bool:
        """Whether nothing is scaled."""
        return self.across is None and self.down is None


def scaling(width: int, height: int, place: Geometry, row_length: int) -> Scaling | None:
    """Return how pictures of `width` x `height` go where they are to.

    Args:
        width: Of the pictures, upright.
        height: Likewise.
        place: Where they go.
        row_length: As `width` in `engine.media.bicubic.axis`.

    Returns:
        None where only torch itself can scale with its own bits on this processor.
    """
    across = axis(width, place.width, place.left, place.crop_width, row_length)
    down = axis(height, place.height, place.top, place.crop_height, row_length)
    if (across is None and width != place.width) or (down is None and height != place.height):
        return None
    return Scaling((height, width), place, across, down)


class SourceFrames(NamedTuple):
    """A clip that is still to be scaled.

    Attributes:
        frames: uint8 [F, h, w, 3], RGB, upright: the rows and columns that are needed.
        scaling: What is to be done with them.
        dtype: What the scaled clip is wanted in.
    """

    frames: torch.Tensor
    scaling: Scaling
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[3, F, H, W] of the scaled clip."""
        place = self.scaling.place
        return (3, len(self.frames), place.crop_height, place.crop_width)

    def scaled(self, start: int, end: int) -> torch.Tensor:
        """Scale frames `start` to `end` on the CPU: [3, n, H, W] in −1 … 1."""
        scaling = self.scaling
        (top, bottom), (left, right) = scaling.rows, scaling.columns
        whole = np.zeros((*scaling.size, 3), np.uint8)
        to_bucket = ToBucket(scaling.size[1], scaling.size[0], scaling.place)
        _, _, height, width = self.shape
        clip = torch.empty((3, end - start, height, width), dtype=self.dtype)
        for number, frame in enumerate(self.frames[start:end]):
            whole[top:bottom, left:right] = frame.numpy()
            to_bucket(whole, clip[:, number])
        return clip


def read_source(
    path: Path,
    probe: Probe,
    request: FrameRequest,
    scaling: Scaling,
    dtype: torch.dtype,
    empty: Empty = plain_memory,
    source: Source | None = None,
) -> SourceFrames | None:
    """Read a clip's frames without scaling them.

    Args:
        path: A video or an image.
        probe: What is known of it.
        request: Which frames.
        scaling: How they will be scaled.
        dtype: What the scaled clip is wanted in.
        empty: Makes room for them.
        source: What decodes a video; see `engine.media.frames.read_frames`.

    Returns:
        None where a frame is none of bytes or has another size, so that each has to be scaled as
        it comes.

    Raises:
        MediaError: As for `engine.media.frames.read_frames`.
    """
    (top, bottom), (left, right) = scaling.rows, scaling.columns
    frames = empty((request.frames, bottom - top, right - left, 3), torch.uint8)

    def cut(pixels: Pixels | Floats, _: FrameRequest) -> _Cut:
        return _Cut(pixels, scaling)

    try:
        brought = brought_frames(path, probe, request, frames.__getitem__, cut, source)
        with contextlib.closing(brought):
            for number, frame in enumerate(brought):
                if frame.data_ptr() != frames[number].data_ptr():  # one that is shown again
                    frames[number] = frame
    except _OtherPixelsError:
        return None
    return SourceFrames(frames, scaling, dtype)


class _OtherPixelsError(Exception):
    """A frame is not as the others are."""


class _Cut:
    """Copies what is needed of a picture; stands where a `ToBucket` does."""

    def __init__(self, pixels: Pixels | Floats, scaling: Scaling) -> None:
        self.size = scaling.size
        self._scaling = scaling
        if pixels.shape[:2] != self.size:
            raise _OtherPixelsError

    def __call__(self, pixels: Pixels | Floats, result: torch.Tensor) -> None:
        if pixels.dtype != np.uint8:
            raise _OtherPixelsError
        (top, bottom), (left, right) = self._scaling.rows, self._scaling.columns
        np.copyto(result.numpy(), pixels[top:bottom, left:right], casting="no")
