"""A window that is being picked: its points as frames of the clip, and what would come of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath

import msgspec

from engine.buckets import Bucket, choose, parse_bucket, parse_buckets
from engine.dataset.windows import WHOLE, Span
from engine.errors import UsageError
from engine.media.selection import effective_fps, exact_rate, first_index, in_order, selection_count
from engine.overview.types import Row
from engine.project import Project
from engine.text import plural
from engine.worker.thumbnail_types import Facts

# Seconds are written to the thousandth.
_DIGITS = 3
_IN_NAME = re.compile(r" @ (\d+(?:\.\d+)?)-(\d+(?:\.\d+)?|end) s\Z")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What the length of a window depends on; see `engine.media.selection.Timed`."""

    kind: str
    vfr: bool
    fps: Fraction
    frames: int
    duration: float

    @classmethod
    def of(cls, facts: Facts) -> Timing:
        """Take it from what the child told."""
        return cls(
            kind=facts.kind,
            vfr=facts.vfr,
            fps=Fraction(*facts.rate),
            frames=facts.frames,
            duration=facts.seconds,
        )

    def seconds(self, frame: int) -> float:
        """Return when a frame is shown."""
        return float(frame / self.fps) if self.fps else 0.0


class Points(msgspec.Struct, frozen=True):
    """In and out point as frames.

    Attributes:
        first: The first frame; None for the clip's.
        last: The last frame; None for the clip's.
    """

    first: int | None = None
    last: int | None = None

    def span(self, timing: Timing) -> Span:
        """Return the same in seconds, as the dataset has it."""
        first, last = self.first or 0, self.last
        is_open = last is None or last >= timing.frames - 1
        return Span(
            round(timing.seconds(first), _DIGITS),
            None if is_open or last is None else round(timing.seconds(last + 1), _DIGITS),
        )

    @classmethod
    def of(cls, span: Span, timing: Timing) -> Points:
        """Return the points of a window of the dataset."""
        if not timing.fps:
            return cls()
        end = max(0, timing.frames - 1)
        last = None if span.end is None else first_index(timing, span.end) - 1
        return cls(
            min(end, first_index(timing, span.start)) if span.start else None,
            None if last is None or last >= end else max(0, last),
        )

    def with_first(self, frame: int) -> Points:
        """Return them with another in point; an out point before it goes."""
        last = self.last if self.last is not None and self.last >= frame else None
        return Points(frame or None, last)

    def with_last(self, frame: int, timing: Timing) -> Points:
        """Return them with another out point; an in point behind it goes."""
        first = self.first if self.first is not None and self.first <= frame else None
        return Points(first, frame if frame < timing.frames - 1 else None)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What would come of a window.

    Attributes:
        frames: How many it has, at the rate of the project.
        bucket: The bucket that it would get; None for none.
        short: How many frames it lacks for the shortest bucket, or for the row's own.
        kept: Beginning and end of what the bucket keeps, in seconds; the same for nothing.
        fps: The rate that it is brought to; 0 for the source's own.
    """

    frames: int
    bucket: Bucket | None = None
    short: int = 0
    kept: tuple[float, float] = (0.0, 0.0)
    fps: float = 0.0


def outcome(
    span: Span, timing: Timing, size: tuple[int, int], project: Project, name: str = ""
) -> Outcome:
    """Return what would come of a window, as a plan would have it.

    Args:
        span: The window.
        timing: The clip's.
        size: Its width and height as displayed.
        project: The settings.
        name: The row, for a bucket of its own.
    """
    # People write 29.97 and mean 30000/1001; as in `engine.precompute.survey`.
    fps = exact_rate(project.video.fps, slack=0.005) if project.video.fps else None
    count = selection_count(timing, fps, span.start, span.end)
    own = project.own_buckets.get(name)
    rate = 0.0 if in_order(timing, fps) else project.video.fps
    try:
        buckets: Sequence[Bucket] = parse_buckets(project.video.buckets)
        buckets = [parse_bucket(own)] if own is not None else buckets
    except UsageError:  # the plan says what is wrong with it
        return Outcome(frames=count, fps=rate)
    bucket = choose(count, *size, buckets) if all(size) else None
    if bucket is None:
        short = min(one.frames for one in buckets) - count
        return Outcome(frames=count, short=max(0, short), fps=rate)
    length = float(bucket.frames / effective_fps(timing, fps))
    return Outcome(frames=count, bucket=bucket, kept=(span.start, span.start + length), fps=rate)


def written_span(row: Row) -> Span:
    """Return the window that a row has in the dataset, which stands in its name."""
    found = _IN_NAME.search(row.name)
    if found is None or PurePath(row.media).name == PurePath(row.name).name:
        return WHOLE
    return Span(float(found[1]), None if found[2] == "end" else float(found[2]))


def window_words(span: Span, timing: Timing, what: Outcome, *, is_written: bool) -> list[str]:
    """Return what to say of a window, the most important first."""
    end = timing.duration if span.end is None else span.end
    frames = plural(what.frames, "frame")
    if what.fps:
        frames += f" at {what.fps:g} fps"
    parts = [f"window {span.start:.2f}–{end:.2f} s", frames]
    if what.bucket is not None:
        parts.append(f"bucket {what.bucket}".replace("x", "×"))
    elif what.short:
        parts.append(f"too short by {plural(what.short, 'frame')}")
    else:
        parts.append("no bucket")
    parts.append("written" if is_written else "not written: w")
    return parts


def cursor_labels(frame: int, timing: Timing, points: Points) -> tuple[str, ...]:
    """Return what to write below the frame at the cursor, from long to short."""
    when = f"{timing.seconds(frame):.2f} s"
    first, last = points.first or 0, points.last
    spot = ""
    if frame == first and points.first is not None:
        spot = " · in point"
    elif frame == last:
        spot = " · out point"
    elif frame < first or (last is not None and frame > last):
        spot = " · outside"
    name = f"{frame:,}"
    of = f"frame {name} of {timing.frames:,} · {when}"
    return (
        of + spot,
        f"frame {name} · {when}{spot}",
        f"{name} · {when}{spot}",
        f"{name} · {when}",
        name,
    )
