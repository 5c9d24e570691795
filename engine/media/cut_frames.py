"""The frames of a video by number, in one pass, with jumps over what nobody wants."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.containers import Check
from engine.media.scene_types import Found
from engine.media.video_frames import video_frames

# Seek when more than so many seconds would be decoded for nothing.
_SEEK_FROM = 5
# What timestamps are rounded to at most, in seconds: Matroska's milliseconds.
_ROUNDED = Fraction(1, 1000)


class Frames:
    """Reads a video forwards; frames are asked for by rising numbers."""

    def __init__(self, path: Path, found: Found, check: Check | None = None) -> None:
        """Open nothing yet.

        Args:
            path: The video.
            found: What is known of its frames.
            check: Called before each frame; what it raises ends the reading.
        """
        self._path = path
        self._found = found
        self._check = check
        self._times = found.times()
        self._run: Generator[VideoFrame] | None = None
        self._next = 0

    def close(self) -> None:
        """Close the file."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def take(self, first: int, end: int) -> Generator[VideoFrame]:
        """Yield the frames `first` up to, but without, `end`.

        Raises:
            MediaError: The video does not decode that far any more.
        """
        if self._run is None or self._is_far(first):
            self._go_to(first)
        while self._next < end:
            frame = self._step()
            if frame is None:
                raise MediaError(
                    f"ends after {self._next:,} frames, and {end:,} are needed",
                    remedy="it has changed since its scenes were found: find them again",
                    file=self._path,
                )
            if self._next > first:
                yield frame

    def _step(self) -> VideoFrame | None:
        if self._check is not None:
            self._check()
        assert self._run is not None  # noqa: S101 - for the type checker
        frame = next(self._run, None)
        if frame is not None:
            self._next += 1
        return frame

    def _is_far(self, first: int) -> bool:
        return first < self._next or (first - self._next) / self._found.fps > _SEEK_FROM

    def _go_to(self, first: int) -> None:
        """Stand before a frame, or before the first one of the video."""
        forwards = self._run is not None and first >= self._next
        if self._times is not None and first / self._found.fps > _SEEK_FROM:
            ticks = int(self._times[first])
            run = video_frames(self._path, self._found, ticks)
            head = next(run, None)
            number = None if head is None else _number_of(head, self._times)
            if head is not None and number is not None and number <= first:
                self.close()
                self._run, self._next = _chain(head, run), number
                return
            run.close()
        if not forwards:  # otherwise what lies between is decoded
            self.close()
            self._run, self._next = video_frames(self._path, self._found), 0


def _chain(head: VideoFrame, rest: Generator[VideoFrame]) -> Generator[VideoFrame]:
    with contextlib.closing(rest):
        yield head
        yield from rest


def _number_of(frame: VideoFrame, times: npt.NDArray[np.int64]) -> int | None:
    """Return a frame's number by its presentation time; None where no frame has that time."""
    if frame.pts is None:
        return None
    number = int(np.searchsorted(times, frame.pts))
    return number if number < len(times) and int(times[number]) == frame.pts else None


def begins(found: Found, times: npt.NDArray[np.int64] | None, frame: int) -> Fraction:
    """Return when a frame is shown on the container's own clock, in seconds.

    At a constant rate this is exact where the file's timestamps are rounded to its ticks.
    """
    if times is None:
        return found.seconds(frame, times)
    steady = int(times[0]) * found.tick + found.seconds(frame, times)
    stamped = int(times[frame]) * found.tick
    return steady if abs(steady - stamped) <= min(found.tick, _ROUNDED) else stamped
