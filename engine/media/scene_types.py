"""The scenes of a video, and the pieces that are cut of them: plain data, light to import."""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Container, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.errors import UsageError
from engine.media.scene_options import Choosing, Length, parse_length

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt  # imported where needed: it takes long, and clients do without

    # When each frame is shown, in ticks; None where that is unknown.
    Times = npt.NDArray[np.int64] | Sequence[int] | None


class Range(NamedTuple):
    """Frames by number, from 0 in the whole video: `first` up to, but without, `end`."""

    first: int
    end: int

    @property
    def frames(self) -> int:
        """How many."""
        return self.end - self.first


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The scenes of a video, and the clock by which its frames are told apart.

    Attributes:
        frames: Frames that decode, as far as was looked: up to the end of the span.
        rate: The exact average rate, as numerator and denominator.
        vfr: Whether the time between frames varies.
        time_base: Seconds a tick of the timestamps, as numerator and denominator.
        pixel_aspect: Sample aspect ratio; (1, 1) for square pixels.
        span: The frames that were looked at.
        cuts: The first frame of each scene but the first one, rising, inside the span.
        damaged: Whether decoding stopped at damaged data.
        last_ticks: What the last frame is shown for; 0 where unknown.
        clock: The presentation time of every frame in ticks, packed by `pack_times`; empty where
            the file has no times that tell frames apart.
    """

    frames: int
    rate: tuple[int, int]
    vfr: bool
    time_base: tuple[int, int]
    pixel_aspect: tuple[int, int] = (1, 1)
    span: Range
    cuts: tuple[int, ...] = ()
    damaged: bool = False
    last_ticks: int = 0
    clock: bytes = b""

    @property
    def fps(self) -> Fraction:
        """The exact average rate."""
        return Fraction(*self.rate)

    @property
    def tick(self) -> Fraction:
        """Seconds a tick of the timestamps."""
        return Fraction(*self.time_base)

    @property
    def scenes(self) -> list[Range]:
        """The scenes: they partition the span. A video without a cut is one scene."""
        if self.span.frames < 1:
            return []
        edges = [self.span.first, *self.cuts, self.span.end]
        return [Range(first, end) for first, end in pairwise(edges)]

    def times(self) -> npt.NDArray[np.int64] | None:
        """Return int64 [frames]: when each is shown, in ticks; None where that is unknown."""
        return unpack_times(self.clock) if self.clock else None

    def ticks(self) -> Sequence[int] | None:
        """Return what `times` does, without NumPy."""
        if not self.clock:
            return None
        steps = array("q", zlib.decompress(self.clock))
        if sys.byteorder == "big":
            steps.byteswap()
        return array("q", accumulate(steps))

    def seconds(self, frame: int, times: Times) -> Fraction:
        """Return when a frame begins, in seconds after the first one.

        Args:
            frame: Its number; the number behind the last frame gives the end.
            times: What `times` or `ticks` returns.
        """
        if times is None or not self.vfr:
            return frame / self.fps
        if frame < len(times):
            return Fraction(int(times[frame] - times[0])) * self.tick
        last = self.last_ticks * self.tick or 1 / self.fps
        return Fraction(int(times[-1] - times[0])) * self.tick + last


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a video that becomes a file of its own.

    Attributes:
        number: From 1.
        kept: The frames that are written.
        scene: The scene that they are of.
        start: Seconds after the first frame of the video.
        seconds: How long it is.
    """

    number: int
    kept: Range
    scene: Range
    start: float
    seconds: float


def pieces(found: Found, choosing: Choosing) -> list[Piece]:
    """Choose from the scenes of a video.

    Raises:
        UsageError: The length to filter by cannot be read.
    """
    times = found.times()
    shortest = parse_length(choosing.filter_shorter_than, "--filter-shorter-than")
    kept: list[Piece] = []
    for scene in found.scenes:
        if choosing.max_scenes and len(kept) >= choosing.max_scenes:
            break
        part = trimmed(scene, found.span, choosing.trim)
        piece = piece_of(found, times, len(kept) + 1, part, scene)
        if shortest is None or not is_shorter(piece, shortest, found):
            kept.append(piece)
    return kept


def pieces_of(found: Found, ranges: list[Range]) -> list[Piece]:
    """Return pieces for ranges that a person chose: taken as they are.

    Raises:
        UsageError: One is empty, outside of the video, or overlaps the one before.
    """
    times, end = found.times(), 0
    made: list[Piece] = []
    for number, part in enumerate(ranges, 1):
        if part.first < end or part.frames < 1 or part.end > found.frames:
            raise UsageError(
                f"scene {number}, frames {part.first} to {part.end}, is empty, overlaps the one "
                f"before or lies outside of the {found.frames} frames"
            )
        end = part.end
        made.append(piece_of(found, times, number, part, part))
    return made


def trimmed(scene: Range, span: Range, trim: int, exact: Container[int] = ()) -> Range:
    """Return a scene without `trim` frames at each end that is a cut; one frame always stays.

    Args:
        scene: The scene.
        span: The frames that were looked at: its ends are no cuts.
        trim: The guard.
        exact: Cuts that need no guard, for a person chose the frame.
    """
    before = trim if scene.first > span.first and scene.first not in exact else 0
    after = trim if scene.end < span.end and scene.end not in exact else 0
    spare = scene.frames - 1
    if before + after > spare:
        before = min(before, spare // 2 if after else spare)
        after = min(after, spare - before)
    return Range(scene.first + before, scene.end - after)


def piece_of(found: Found, times: Times, number: int, part: Range, scene: Range) -> Piece:
    """Return a piece of a video, with its place in time."""
    start = found.seconds(part.first, times)
    length = found.seconds(part.end, times) - start
    return Piece(number=number, kept=part, scene=scene, start=float(start), seconds=float(length))


def is_shorter(piece: Piece, shortest: Length, found: Found) -> bool:
    """Whether a piece is shorter than a length that pieces must have."""
    if shortest.seconds is not None and found.vfr:
        return piece.seconds < shortest.seconds
    return piece.kept.frames < shortest.frames_at(found.fps)


def pack_times(times: npt.NDArray[np.int64]) -> bytes:
    """Pack int64 ticks; those of a constant rate shrink to next to nothing."""
    import numpy as np

    steps = np.diff(times, prepend=np.int64(0)).astype("<i8")
    return zlib.compress(steps.tobytes(), 6)


def unpack_times(packed: bytes) -> npt.NDArray[np.int64]:
    """Undo `pack_times`."""
    import numpy as np

    return np.cumsum(np.frombuffer(zlib.decompress(packed), "<i8")).astype(np.int64)


class CutPiece(msgspec.Struct, frozen=True, kw_only=True):
    """What to make of a piece.

    Attributes:
        piece: The part of the video.
        target: The video file to write; None for images alone.
        images: Frames by number in the whole video, rising, and the image file of each.
    """

    piece: Piece
    target: Path | None
    images: tuple[tuple[int, Path], ...] = ()
