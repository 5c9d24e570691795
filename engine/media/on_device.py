"""Scales frames where they are encoded, with the bits of the CPU.

The sums are those of `engine.media.bicubic`, over rows of several frames at once. On a GPU they are
the device's own embedding bag, whose products and sums are fused as those of FBGEMM are; where they
are not, `engine.media.fused` adds them up out of plain operations. Bytes become floats by a table
of 256 that the CPU has computed, as a GPU divides by multiplying.

Nothing of this is believed: before frames of one size are scaled to another, a picture of noise has
to come out with the very bits that the CPU gives it. Else those frames are left to the CPU.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from engine.media import fused
from engine.media.arrays import Pixels
from engine.media.bicubic import Axis, Bags, Sums
from engine.media.geometry import Geometry
from engine.media.source_frames import Scaling, scaling
from engine.media.to_bucket import ToBucket

log = logging.getLogger("ltx_tui.encoder")

# Samples of the source that are turned into floats at a time, about, and frames at most.
_SAMPLES = 1 << 24
_FRAMES = 8
# A step of `bicubic` takes so many times as many products here as in a processor's cache.
_WIDER = 16
# What an embedding bag returns beside its sums, in values for each of its rows, about.
_ASIDE = 4
# Ways to add up, the quickest first.
_WAYS: tuple[Sums, ...] = (Bags.sums, fused.fused_sums)

Verdict = Literal["unknown", "yes", "no"]


def _frames_at_once(width: int, height: int) -> int:
    """Return how many source frames of that size are scaled at a time."""
    return max(1, min(_FRAMES, _SAMPLES // (3 * width * height)))


@functools.lru_cache(maxsize=32)
def plan(width: int, height: int, place: Geometry) -> Scaling | None:
    """Return how source frames are scaled on a device; None where they cannot be."""
    rows = 3 * _frames_at_once(width, height) * max(height, place.crop_width)
    return scaling(width, height, place, max(1, rows // _WIDER))


class OnDevice:
    """Scales source frames on one device; usable from one thread at a time, `verdict` from all."""

    def __init__(self, device: torch.device) -> None:
        """Put nothing there yet."""
        self._device = device
        self._lock = threading.Lock()
        # What adds up rightly, by (source size, size after scaling).
        self._sums: dict[tuple[int, int, int, int], Sums | None] = {}
        # What each byte is in the end, where nothing is scaled.
        self._finished: dict[torch.dtype, torch.Tensor] = {}

    @staticmethod
    def frames(how: Scaling) -> int:
        """Return how many source frames are scaled at a time."""
        return _frames_at_once(how.size[1], how.size[0])

    def verdict(self, how: Scaling) -> Verdict:
        """Return what is known of scaling in this way; nothing has to be known of a mere copy."""
        if how.is_copy:
            return "yes"
        with self._lock:
            if (key := _key(how)) not in self._sums:
                return "unknown"
            return "no" if self._sums[key] is None else "yes"

    def can(self, how: Scaling) -> bool:
        """Find out whether the device scales in this way with the bits of the CPU.

        Raises:
            torch.OutOfMemoryError: It has no memory to try.
        """
        known = self.verdict(how)
        if known == "unknown":
            sums = self._exact(how)
            with self._lock:
                self._sums[_key(how)] = sums
            if sums is None:
                (height, width), place = how.size, how.place
                log.warning(
                    "%s: scaling %dx%d to %dx%d has other bits there; it is left to the CPU",
                    *(self._device, width, height, place.width, place.height),
                )
            return sums is not None
        return known == "yes"

    def scale(self, frames: torch.Tensor, how: Scaling, out: torch.Tensor) -> None:
        """Scale some frames, in a way that `can` has said yes to.

        Args:
            frames: uint8 [n, h, w, 3] on the device, the needed part; at most `frames` of them.
            how: What is to be done.
            out: Takes [3, n, H, W] in −1 … 1, on the device.
        """
        if how.is_copy:
            # By way of the finished values: no more than a table is looked up.
            out.copy_(_looked_up(frames.permute(3, 0, 1, 2), self._table(out.dtype)))
            return
        sums = self._sums[_key(how)]
        assert sums is not None  # noqa: S101 - see `can`
        for at, part in self._scaled(frames, how, sums):
            out[:, :, at : at + part.shape[2]] = part

    def most_bytes(self, how: Scaling) -> int:
        """Return the bytes that `scale` takes at most, beside its arguments."""
        (top, bottom), (left, right), place = how.rows, how.columns, how.place
        count = self.frames(how)
        source = 3 * count * (bottom - top) * (right - left)
        if how.is_copy:
            # Indices of 32 bits, and values of 32 at most.
            return source * 8
        slow = 0 if self._sums.get(_key(how), Bags.sums) is Bags.sums else 1
        columns = 3 * count * (bottom - top) * place.crop_width
        floats, most = 4 * source, 2 * 4 * source
        if how.across is not None:
            length = 3 * count * (bottom - top)
            rows = how.across.most_rows * (length + _ASIDE)
            most = max(most, floats + 4 * (columns + rows) + slow * _slow(rows), 2 * 4 * columns)
        if how.down is not None:
            rows = how.down.most_rows * (3 * count * place.crop_width + _ASIDE)
            most = max(most, 4 * (columns + rows) + slow * _slow(rows))
        return most

    def _scaled(
        self, frames: torch.Tensor, how: Scaling, sums: Sums
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (first row, float32 [3, n, rows, W] in −1 … 1), all rows in order."""
        count, height, width, _ = frames.shape
        if how.across is None:
            rows = _looked_up(frames.permute(1, 0, 3, 2), self._unit)
        else:
            table = _looked_up(frames.permute(2, 0, 1, 3), self._unit).view(width, -1)
            width = how.place.crop_width
            columns = table.new_empty((width, table.shape[1]))
            for at, part in _axis_on(self._device, how.across).scaled(table, sums):
                columns[at : at + len(part)] = part
            del table, part
            rows = columns.view(width, count, height, 3).permute(2, 1, 3, 0).contiguous()
            del columns
        flat = rows.view(height, -1)
        del rows
        parts = (
            iter([(0, flat)])
            if how.down is None
            else _axis_on(self._device, how.down).scaled(flat, sums)
        )
        for at, part in parts:
            done = part.clamp_(0, 1).mul_(2).sub_(1)
            yield at, done.view(-1, count, 3, width).permute(2, 1, 0, 3)

    @functools.cached_property
    def _unit(self) -> torch.Tensor:
        """float32 [256]: what each byte is between 0 and 1."""
        return _unit().to(self._device)

    def _table(self, dtype: torch.dtype) -> torch.Tensor:
        if dtype not in self._finished:
            values = _unit().mul_(2).sub_(1).to(dtype)
            self._finished[dtype] = values.to(self._device)
        return self._finished[dtype]

    def _exact(self, how: Scaling) -> Sums | None:
        """Return what gives noise the bits of the CPU, uncropped; None where nothing does."""
        (height, width), place = how.size, how.place
        whole = Geometry(place.width, place.height, 0, 0, place.width, place.height)
        same = plan(width, height, whole)
        if same is None:
            return None
        noise = _noise(height, width)
        wanted = torch.empty((3, place.height, place.width))
        ToBucket(width, height, whole)(noise, wanted)
        frames = torch.from_numpy(noise)[None].to(self._device)
        for sums in _WAYS:
            found = torch.empty((3, 1, place.height, place.width), device=self._device)
            # Not all devices have all operations, or numbers of 64 bits.
            with contextlib.suppress(NotImplementedError, TypeError):
                for at, part in self._scaled(frames, same, sums):
                    found[:, :, at : at + part.shape[2]] = part
                if torch.equal(found[:, 0].cpu(), wanted):
                    return sums
        return None


@functools.lru_cache(maxsize=16)
def _axis_on(device: torch.device, axis: Axis) -> Axis:
    return axis.to(device)


def _key(how: Scaling) -> tuple[int, int, int, int]:
    return (*how.size, how.place.height, how.place.width)


def _slow(rows: int) -> int:
    return fused.BYTES * min(rows, fused.MOST_ELEMENTS)


def _looked_up(samples: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the table's values for bytes, contiguous."""
    places = samples.to(torch.int32, memory_format=torch.contiguous_format).flatten()
    return table.index_select(0, places).view(samples.shape)


def _unit() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).float().div_(255)


def _noise(height: int, width: int) -> Pixels:
    """Return uint8 [height, width, 3]: noise, whose half is either black or white."""
    source = np.random.default_rng(0)
    noise = source.integers(-128, 384, (height, width, 3), dtype=np.int16)
    return noise.clip(0, 255).astype(np.uint8)
