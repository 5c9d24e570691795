"""Which frames of a clip are kept and which are shown, without decoding it.

A source of constant rate is read in order: frame k is its k-th frame. One of variable rate, or one
that is brought to another rate, is sampled: frame k is what a player shows at start + k / fps.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Protocol

from engine.errors import MediaError

# A start is taken from a user or a project file as a float of seconds: slack for its rounding.
_SLACK = Fraction(1, 1_000_000)


class Timed(Protocol):
    """What is asked of a probe here; see `engine.media.probe.Probe`."""

    @property
    def kind(self) -> str:
        """Such as "video"."""

    @property
    def vfr(self) -> bool:
        """Whether the time between frames varies."""

    @property
    def fps(self) -> Fraction:
        """The average rate."""

    @property
    def frames(self) -> int:
        """How many decode."""

    @property
    def duration(self) -> float:
        """Seconds."""


def effective_fps(probe: Timed, fps: Fraction | None = None) -> Fraction:
    """Return the exact rate of the frames that are kept: `fps`, or the source's own average.

    An image has 1 frame a second, which is what trainers expect in its latents.
    """
    if probe.kind == "image":
        return Fraction(1)
    return Fraction(fps) if fps else probe.fps


def exact_rate(fps: float, *, slack: float = 1e-4) -> Fraction:
    """Return the rational rate behind a float: 23.976 is 24000/1001, 26.667 is 80/3.

    Args:
        fps: Frames a second.
        slack: How far from a rate of the kind n · 1000 / 1001 still counts as that rate.
    """
    if fps == round(fps):
        return Fraction(round(fps))
    film = Fraction(round(fps) * 1000, 1001)
    return film if abs(fps - film) < slack else Fraction(fps).limit_denominator(1000)


def in_order(probe: Timed, fps: Fraction | None = None) -> bool:
    """Whether frames are simply taken in order, rather than sampled by presentation time."""
    if probe.kind == "image":
        return True
    return not probe.vfr and (not fps or effective_fps(probe, fps) == probe.fps)


def first_index(probe: Timed, start: float | Fraction) -> int:
    """Return the frame nearest to `start` seconds in a source of constant rate."""
    if not start:
        return 0  # nearly always, and fractions are slow
    return math.floor(Fraction(start) * probe.fps + Fraction(1, 2))


def kept_start(
    probe: Timed, start: float | Fraction = 0.0, fps: Fraction | None = None
) -> Fraction:
    """Return when the kept frames truly start, in seconds after the first frame.

    This is where the sound must be cut: a source read in order starts on a frame, a sampled one
    starts where asked.
    """
    if in_order(probe, fps):
        return first_index(probe, start) / effective_fps(probe, fps)
    return Fraction(start)


def selection_count(
    probe: Timed,
    fps: Fraction | None = None,
    start: float | Fraction = 0.0,
    end: float | Fraction | None = None,
) -> int:
    """Return how many frames the clip offers from `start` on, at `fps` or at its own rate.

    Args:
        probe: The clip.
        fps: The rate to bring it to; None for its own.
        start: Seconds after the first frame.
        end: Seconds after the first frame; None for the clip's end.

    Raises:
        MediaError: The file has no picture.
    """
    if probe.kind == "audio":
        raise MediaError("holds sound and no video", remedy="name a video or an image here")
    if probe.kind == "image":
        return 1
    if in_order(probe, fps):
        last = probe.frames if end is None else min(probe.frames, first_index(probe, end))
        return max(0, last - first_index(probe, start))
    whole = Fraction(probe.duration)
    left = (whole if end is None else min(whole, Fraction(end))) - Fraction(start)
    return max(0, math.floor((left + _SLACK) * effective_fps(probe, fps)))


def evenly(first: int, last: int, count: int) -> list[int]:
    """Return up to `count` different numbers, evenly from `first` to `last`, both among them."""
    if count < 1 or last < first:
        return []
    if count == 1 or first == last:
        return [first]
    count = min(count, last - first + 1)
    return [first + round(step * (last - first) / (count - 1)) for step in range(count)]


def spread(frames: int, kept: tuple[int, int], count: int) -> list[int]:
    """Choose frames that show a clip and above all what is kept of it.

    The first and the last kept frame are among them from two frames on. Frames that are not kept
    get their share, at most a third, or what the kept ones leave over.

    Args:
        frames: How many the clip has.
        kept: The first and the last that are kept; (0, -1) for none.
        count: How many to choose, at most.
    """
    first, last = max(0, kept[0]), min(frames - 1, kept[1])
    if last < first:
        return evenly(0, frames - 1, count)
    before, inside, after = first, last - first + 1, frames - 1 - last
    outside = before + after
    share = min(round(count * outside / frames) or 1, count // 3) if outside else 0
    share = min(outside, max(share, count - inside))
    early = round(share * before / outside) if outside else 0
    late = share - early
    return [
        *(first - round(before * (early - step) / early) for step in range(early)),
        *evenly(first, last, count - share),
        *(last + round(after * (step + 1) / late) for step in range(late)),
    ]
