"""Find the scenes of a video with PySceneDetect, in one pass over reduced frames. Loads no torch.

Frames are counted as they decode and keep their own presentation times, so that a video of
variable rate is cut at the frames that were meant. They are reduced exactly as PySceneDetect does
it (its width, its interpolation, FFmpeg's conversion with OpenCV's flags), so that scores and cuts
are equal to those of its own command line; decoding, reducing and detecting run side by side.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media.arrays import Pixels
from engine.media.containers import (
    Check,
    DamagedDataError,
    decode,
    opened,
    reason,
    require_video,
    salvage,
)
from engine.media.scene_detectors import Watch
from engine.media.scene_options import Finding, Length, parse_length
from engine.media.scene_reduce import Reducer
from engine.media.scene_types import Found, Range, pack_times
from engine.media.timing import Timing, measure, rate_and_regularity

Progress = Callable[[int, int, Watch], None]

# Threads that reduce frames, and frames that are in their hands.
_REDUCERS = max(1, min(4, os.cpu_count() or 1))
_AHEAD = 2 * _REDUCERS


class Looked(NamedTuple):
    """A video that was looked at.

    Attributes:
        found: Its scenes.
        watch: The detector, with the scores of all frames.
    """

    found: Found
    watch: Watch


def find(
    path: Path,
    finding: Finding,
    *,
    whole: bool = False,
    threads: int = 0,
    progress: Progress | None = None,
    check: Check | None = None,
) -> Looked:
    """Find the scenes of a video.

    Memory holds a few frames, and about 50 bytes for each frame of the video.

    Args:
        path: A video.
        finding: How.
        whole: Measure all that PySceneDetect writes into its CSV.
        threads: That decode; 0 for as many as there are cores. One does the least work in all,
            for several videos side by side.
        progress: Called after each frame with how many there were, how many there will be about
            (0 where unknown), and the detector.
        check: Called before each frame; what it raises ends the search.

    Raises:
        MediaError: It cannot be read, or nothing is left after the frames that are skipped.
        UsageError: An option makes no sense.
    """
    finding.check(with_stats=whole and bool(finding.frame_skip))
    total = measure(path).frames if finding.skip_end else None

    def search() -> _Search:
        return _Search(path, finding, whole, total, threads, progress, check)

    try:
        return search().run(decode)
    except _DamagedError:
        # Threads lose frames that were still in flight when one failed: again, in one thread.
        return search().run(salvage, damaged=True)


class _DamagedError(Exception):
    """Decoding stopped at damaged data."""


class _Search:
    """One pass over a video."""

    def __init__(
        self,
        path: Path,
        finding: Finding,
        whole: bool,
        total: int | None,
        threads: int,
        progress: Progress | None,
        check: Check | None,
    ) -> None:
        self._path = path
        self._finding = finding
        self._whole = whole
        self._total = total
        self._threads = threads
        self._progress = progress
        self._check = check
        self._clock = _Clock()
        self._duration = parse_length(finding.duration, "--duration")
        self._end: int | None = None

    def run(self, read: _Read, *, damaged: bool = False) -> Looked:
        """Look at all frames.

        Raises:
            _DamagedError: Decoding failed on the way.
        """
        finding = self._finding
        with opened(self._path) as container:
            stream = require_video(container, self._path)
            if self._threads:
                stream.codec_context.thread_count = self._threads
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self._end = self._bound()
            watch = Watch(finding, rate, finding.skip_start, whole=self._whole)
            about = self._about(stream, rate)
            frames = self._numbered(read(container, stream))
            with contextlib.closing(_reduced(frames, finding)) as reduced:
                for number, pixels in reduced:
                    watch.take(number, pixels)
                    if self._progress is not None:
                        self._progress(number + 1, about, watch)
            facts = _Facts(
                Fraction(stream.time_base or 1),
                stream.average_rate or stream.guessed_rate,
                stream.sample_aspect_ratio or Fraction(1),
            )
        return Looked(self._found(watch, facts, damaged), watch)

    def _bound(self) -> int | None:
        """Return the number behind the last frame that is wanted, as far as it is known."""
        ends = [] if self._total is None else [max(0, self._total - self._finding.skip_end)]
        if self._duration is not None and self._duration.frames is not None:
            ends.append(self._finding.skip_start + self._duration.frames)
        return min(ends, default=None)

    def _about(self, stream: VideoStream, rate: Fraction) -> int:
        about = stream.frames or int(
            (stream.duration or 0) * Fraction(stream.time_base or 1) * rate
        )
        if self._duration is not None:
            about = min(about, self._finding.skip_start + self._duration.frames_at(rate))
        return about if self._end is None else min(about or self._end, self._end)

    def _numbered(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the wanted frames with their numbers, and note the time of every frame."""
        number = 0
        try:
            for frame in frames:
                if self._end is not None and number >= self._end:
                    return
                if self._check is not None:
                    self._check()
                self._clock.add(frame)
                if self._is_over(self._duration, number):
                    self._clock.drop_last()
                    return
                past = number - self._finding.skip_start
                if past >= 0 and past % (self._finding.frame_skip + 1) == 0:
                    yield number, frame
                number += 1
        except (av.FFmpegError, DamagedDataError) as error:
            raise _DamagedError(reason(error)) from error

    def _is_over(self, duration: Length | None, number: int) -> bool:
        """Whether a frame begins after a duration in seconds."""
        first = self._finding.skip_start
        if duration is None or duration.seconds is None or number <= first:
            return False
        return self._clock.between(first, number) >= duration.seconds

    def _found(self, watch: Watch, facts: _Facts, damaged: bool) -> Found:
        frames, first = self._clock.count, self._finding.skip_start
        if frames == 0:
            raise MediaError(
                "no frame of it decodes", remedy="copy or export it again", file=self._path
            )
        if frames <= first:
            raise MediaError(
                f"has no frame left: {frames:,} decode, and {first:,} are skipped",
                remedy="lower --skip-start or --skip-end",
                file=self._path,
            )
        watch.finish(frames - 1)
        times = self._clock.times()
        timing = self._clock.timing(times)
        fps, vfr = rate_and_regularity(timing, facts.tick, facts.declared)
        return Found(
            frames=frames,
            rate=fps.as_integer_ratio(),
            vfr=vfr,
            time_base=facts.tick.as_integer_ratio(),
            pixel_aspect=facts.aspect.as_integer_ratio(),
            span=Range(first, frames),
            cuts=watch.cuts(frames),
            damaged=damaged,
            last_ticks=self._clock.last_duration,
            clock=b"" if times is None else pack_times(times),
        )


class _Facts(NamedTuple):
    """What a stream's header says."""

    tick: Fraction
    declared: Fraction | None
    aspect: Fraction


_Read = Callable[[av.container.InputContainer, VideoStream], Iterator[VideoFrame]]


class _Clock:
    """When each frame is shown: 8 bytes a frame."""

    def __init__(self) -> None:
        self._ticks = array("q")
        self._is_known = True
        self._tick = Fraction(1)
        self.last_duration = 0

    def add(self, frame: VideoFrame) -> None:
        """Note a frame."""
        pts = frame.pts
        if pts is None:
            self._is_known = False
        self._ticks.append(pts if pts is not None else 0)
        self._tick = Fraction(frame.time_base or 1)
        self.last_duration = frame.duration or 0

    def drop_last(self) -> None:
        """Forget the last frame again."""
        self.last_duration = self._ticks.pop() - self._ticks[-1]

    @property
    def count(self) -> int:
        """How many frames were noted."""
        return len(self._ticks)

    def between(self, first: int, number: int) -> Fraction:
        """Return the seconds from one frame to another, a tick's rounding up."""
        slack = min(self._tick, Fraction(1, 2000))
        return (self._ticks[number] - self._ticks[first]) * self._tick + slack

    def times(self) -> npt.NDArray[np.int64] | None:
        """Return int64 [count] in ticks; None where they do not rise from frame to frame."""
        times = np.array(self._ticks, np.int64)
        return times if self._is_known and bool((np.diff(times) > 0).all()) else None

    def timing(self, times: npt.NDArray[np.int64] | None) -> Timing:
        """Return what tells whether the rate is constant."""
        return Timing(
            frames=self.count,
            declared=self.count,
            source="decoded",
            damaged=False,
            pts=[] if times is None else times.tolist(),
            last_duration=self.last_duration,
            first=None,
        )


def _reduced(
    frames: Iterator[tuple[int, VideoFrame]], finding: Finding
) -> Generator[tuple[int, Pixels]]:
    """Yield frames reduced: BGR uint8 [h, w, 3]; a few are worked on ahead, in threads."""
    reducer: Reducer | None = None
    ahead: deque[tuple[int, Future[Pixels]]] = deque()
    with ThreadPoolExecutor(_REDUCERS, "reduce") as pool:
        try:
            for number, frame in frames:
                reducer = reducer or Reducer(frame, finding.downscale)
                ahead.append((number, pool.submit(reducer, frame)))
                if len(ahead) > _AHEAD:
                    done, pixels = ahead.popleft()
                    yield done, pixels.result()
            for done, pixels in ahead:
                yield done, pixels.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
