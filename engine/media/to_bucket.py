"""Bring pictures to a bucket's size: scale, crop and normalise, with the bits of torch.

The arithmetic is that of the official preprocessing: bytes divided by 255, torch's antialiased
bicubic in float32 (first along the rows, then down the columns), crop, clamp to 0 … 1, times 2
minus 1. Only what the crop keeps is computed, a few source rows at a time. Rows are turned on their
side first, so that both directions add up whole rows of memory: see `engine.media.bicubic`.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from engine.media.arrays import Floats, Pixels
from engine.media.bicubic import Axis, axis
from engine.media.geometry import Geometry

# Source rows that are scaled at a time: what is made of them stays in the processor's cache.
_ROWS = 64


class _Both(NamedTuple):
    """How the two directions are scaled."""

    across: Axis
    down: Axis


class ToBucket:
    """Brings upright pictures of one size to the bucket's; one thread at a time.

    Beside a picture and its result it holds the scaled columns of the picture's height in float32,
    and a few of its rows.

    Attributes:
        size: (height, width) of the pictures.
    """

    def __init__(self, width: int, height: int, place: Geometry) -> None:
        """Prepare for pictures of `height` x `width` pixels."""
        self.size = (height, width)
        self._place = place
        across = axis(width, place.width, place.left, place.crop_width, 3 * _ROWS)
        down = axis(height, place.height, place.top, place.crop_height, place.crop_width)
        self._both = _Both(across, down) if across and down else None
        if self._both is not None:
            rows, columns = self._both.down, self._both.across
            wide = 3 * (columns.high - columns.low) * min(_ROWS, rows.high - rows.low)
            self._bytes = np.empty(wide, np.uint8)
            self._turned = np.empty(wide, np.float32)
            self._columns = np.empty((3, rows.high - rows.low, place.crop_width), np.float32)

    def __call__(self, pixels: Pixels | Floats, result: torch.Tensor) -> None:
        """Bring a picture to the bucket's size.

        Args:
            pixels: [H, W, 3] of the size that this was made for: bytes, or floats in 0 … 1.
            result: Takes [3, H, W] in −1 … 1. Arithmetic is in float32 and rounded once.
        """
        if self._both is None:
            result.copy_(self._by_torch(pixels))
            return
        self._scale_across(pixels, self._both)
        for colour, columns in zip(result, self._columns, strict=True):
            for at, part in self._both.down.scaled(torch.from_numpy(columns)):
                colour[at : at + len(part)] = part.clamp_(0, 1).mul_(2).sub_(1)

    def _scale_across(self, pixels: Pixels | Floats, both: _Both) -> None:
        """Fill `_columns` with the rows that are needed, scaled along themselves."""
        low, high = both.across.low, both.across.high
        needed = pixels[both.down.low : both.down.high, low:high]
        for top in range(0, len(needed), _ROWS):
            rows = needed[top : top + _ROWS]
            count = len(rows)
            table = self._on_its_side(rows.reshape(count, -1)).reshape(high - low, -1)
            for at, part in both.across.scaled(torch.from_numpy(table)):
                scaled = part.numpy()
                for colour, columns in enumerate(self._columns):
                    cv2.transpose(
                        scaled[:, colour * count : (colour + 1) * count],
                        columns[top : top + count, at : at + len(scaled)],
                    )

    def _on_its_side(self, rows: Pixels | Floats) -> Floats:
        """Return [n, N] as float32 [N, n] in 0 … 1; overwritten by the next call."""
        turned = self._turned[: rows.size].reshape(rows.shape[::-1])
        if rows.dtype != np.uint8:
            cv2.transpose(rows, turned)
            return turned
        small = self._bytes[: rows.size].reshape(turned.shape)
        cv2.transpose(rows, small)
        torch.from_numpy(turned).copy_(torch.from_numpy(small)).div_(255)
        return turned

    def _by_torch(self, pixels: Pixels | Floats) -> torch.Tensor:
        """Do it the plain way, where only that has the right bits or nothing is scaled."""
        place = self._place
        top, left = place.top, place.left
        same = (place.height, place.width) == self.size
        if same:
            pixels = pixels[top : top + place.crop_height, left : left + place.crop_width]
        planes = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        planes = planes.float().div_(255) if planes.dtype == torch.uint8 else planes
        if not same:
            planes = torch.nn.functional.interpolate(
                planes[None], (place.height, place.width), mode="bicubic", antialias=True
            )[0, :, top : top + place.crop_height, left : left + place.crop_width]
        return planes.clamp(0, 1).mul_(2).sub_(1)
