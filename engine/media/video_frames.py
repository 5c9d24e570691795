"""The decoded frames of a video: all of them, or from some moment on. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.containers import DamagedDataError, decode, opened, reason, require_video, salvage
from engine.media.probe import Probe
from engine.text import plural

# A seek can come down after the frame; the next try aims so many seconds earlier.
_EARLIER = (0, 2)


class Known(Protocol):
    """What is asked of an earlier look: a probe, or `engine.media.scene_types.Found`."""

    @property
    def damaged(self) -> bool:
        """Whether decoding stops at damaged data."""


# Opens a file for decoding, and closes it.
Opening = Callable[[Path], AbstractContextManager[InputContainer]]
# Gives the frames of a video as `video_frames` does, from the same arguments.
Source = Callable[[Path, Known, int | None, int], Generator[VideoFrame]]


def video_frames(
    path: Path,
    known: Known,
    ticks: int | None = None,
    threads: int = 0,
    opening: Opening = opened,
) -> Generator[VideoFrame]:
    """Yield the frames of a video in order; of a damaged one, those before the damage.

    Args:
        path: The video.
        known: What is known about it.
        ticks: Begin at the key frame before this time; None, and in a file that cannot seek: at
            the beginning.
        threads: That decode; 0 for as many as there are cores. Damaged ones have one.
        opening: Opens the file.

    Raises:
        MediaError: It cannot be decoded.
    """
    got = 0
    with opening(path) as container:
        stream = require_video(container, path)
        if ticks is not None:
            with contextlib.suppress(av.FFmpegError):
                container.seek(ticks, stream=stream)
        whole = salvage(container, stream) if known.damaged else decode(container, stream, threads)
        try:
            for frame in whole:
                yield frame
                got += 1
        except (av.FFmpegError, DamagedDataError) as error:
            raise MediaError(
                f"damaged: decoding stops after {plural(got, 'frame')} ({reason(error)})",
                remedy="copy or export it again, or leave it out",
                file=path,
            ) from error


def numbered_frames(
    path: Path, probe: Probe, start: Fraction, threads: int = 0, source: Source | None = None
) -> Generator[tuple[int, VideoFrame]]:
    """Yield (number, frame) from some frame at or before `start` on.

    Begins at the key frame before `start`, or with the first one where seeking does not work. In a
    source of variable rate numbers are those of its average rate.

    Args:
        path: The video.
        probe: What `engine.media.probe.probe` says about it.
        start: Seconds after the first frame.
        threads: As of `video_frames`.
        source: What decodes; None for `video_frames`.

    Raises:
        MediaError: It cannot be decoded.
    """
    decoded = source or video_frames
    ticks = probe.first_pts + int(start / probe.tick)
    for earlier in _EARLIER:
        target = ticks - int(earlier / probe.tick)
        if target <= probe.first_pts:
            break
        with contextlib.closing(decoded(path, probe, target, threads)) as frames:
            head = next(frames, None)
            if head is not None and head.pts is not None and head.pts <= ticks:
                number = int(frame_time(head, 0, probe) * probe.fps + Fraction(1, 2))
                yield number, head
                yield from enumerate(frames, number + 1)
                return
    with contextlib.closing(decoded(path, probe, None, threads)) as frames:
        yield from enumerate(frames)


def frame_time(frame: VideoFrame, number: int, probe: Probe) -> Fraction:
    """Return when a frame is shown, in seconds after the first; by its number if it has no time."""
    if frame.pts is None:
        return number / probe.fps
    return (frame.pts - probe.first_pts) * probe.tick
