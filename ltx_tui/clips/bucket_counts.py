"""Which clips go into which bucket, worked out from what is known of them, without the files."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import msgspec

from engine.buckets import Bucket, choose, coverage, parse_bucket, parse_buckets
from engine.errors import LtxError
from engine.overview.file import Table
from engine.overview.types import Overview
from engine.project import Project, load_project
from engine.text import plural
from ltx_tui.config.project_file import file_of, write_settings

# Frames, width, height.
Shape = tuple[int, int, int]


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of a dataset by what decides on their bucket.

    Attributes:
        shapes: Clips that take the nearest bucket, by shape.
        own: Clips with a bucket of their own, by that bucket as project.toml has it.
        blocked: Clips that are blocked for other reasons than their length.
        unknown: Clips that were not looked at yet, or have no picture.
    """

    shapes: Counter[Shape] = msgspec.field(default_factory=Counter)
    own: Counter[str] = msgspec.field(default_factory=Counter)
    blocked: int = 0
    unknown: int = 0

    def counts(self, buckets: Sequence[Bucket]) -> dict[Bucket | None, int]:
        """Return the clips that would go into each bucket, each of these included.

        None counts those that are too short for all; clips with their own bucket are left out.
        """
        found: Counter[Bucket | None] = Counter()
        for (frames, width, height), clips in self.shapes.items():
            found[choose(frames, width, height, buckets)] += clips
        return coverage((), buckets) | found

    def moves(
        self, before: Sequence[Bucket], after: Sequence[Bucket]
    ) -> Counter[tuple[Bucket | None, Bucket | None]]:
        """Return how many clips would move from which bucket to which."""
        found: Counter[tuple[Bucket | None, Bucket | None]] = Counter()
        for (frames, width, height), clips in self.shapes.items():
            old = choose(frames, width, height, before)
            new = choose(frames, width, height, after)
            if old != new:
                found[old, new] += clips
        return found


def take_stock(table: Table, project: Project) -> Stock:
    """Return the clips of a table by what decides on their bucket; some 0.1 s for 100,000.

    Args:
        table: The store's.
        project: The settings.
    """
    rate = project.video.fps
    rows: Counter[tuple[int, int, int, int, float]] = Counter(
        zip(
            table.widths,
            table.heights,
            table.frames,
            table.buckets,
            table.seconds if rate else repeat(0.0, len(table.names)),
            strict=True,
        )
    )
    place = {name: at for at, name in enumerate(table.names)} if project.clips else {}
    own: Counter[str] = Counter()
    for name, bucket in project.own_buckets.items():
        at = place.get(name)
        if at is not None:
            own[bucket] += 1
            seconds = table.seconds[at] if rate else 0.0
            key = (
                table.widths[at],
                table.heights[at],
                table.frames[at],
                table.buckets[at],
                seconds,
            )
            rows[key] -= 1
    known = _planned(table.overview, project)
    shapes: Counter[Shape] = Counter()
    blocked = unknown = 0
    for (width, height, frames, code, seconds), clips in rows.items():
        if not width or not height:
            unknown += clips
            continue
        shape = (_frames(frames, seconds, rate), width, height)
        if known and not table.bucket_names[code] and choose(*shape, known) is not None:
            blocked += clips
        elif clips:
            shapes[shape] += clips
    return Stock(shapes=shapes, own=own, blocked=blocked, unknown=unknown)


def _planned(overview: Overview, project: Project) -> tuple[Bucket, ...]:
    """Return the buckets that an overview was made with; none where it looked at no media."""
    # Those that are there for single clips alone are not for the others.
    own = {str(bucket) for bucket in _parsed(project.own_buckets.values())}
    own -= {str(bucket) for bucket in _parsed(project.video.buckets.split(";"))}
    names = [name for name in overview.coverage if name not in own]
    return tuple(_parsed(names)) if overview.whole else ()


def _parsed(texts: Iterable[str]) -> Iterator[Bucket]:
    """Yield the buckets among some texts."""
    for text in texts:
        with contextlib.suppress(LtxError):
            yield parse_bucket(text)


def _frames(frames: int, seconds: float, rate: float) -> int:
    # About what the plan will find; the plan itself knows the times of all frames.
    return math.floor(seconds * rate + 0.01) if rate and frames > 1 else frames


def changed(
    buckets: Sequence[Bucket], old: Bucket | None, new: Bucket | None
) -> tuple[Bucket, ...]:
    """Return buckets with one replaced (both given), added (`old` is None) or taken out."""
    if old is None or old not in buckets:
        after = [*buckets, new]
    else:
        after = [new if one == old else one for one in buckets]
    return tuple(dict.fromkeys(one for one in after if one is not None))


def check_scale(project: Project, buckets: Sequence[Bucket]) -> str:
    """Return what the references have against these buckets; empty where nothing."""
    scale, slower = project.reference.downscale, project.reference.temporal_scale
    if not project.dataset.reference_column:
        return ""
    if scale > 1 and len(buckets) > 1:
        return f"a reference downscale factor of {scale} needs exactly one bucket"
    for bucket in buckets:
        if bucket.width % (32 * scale) or bucket.height % (32 * scale):
            return f"the references need sides that are multiples of {32 * scale}"
        if (bucket.frames - 1) % (8 * slower):
            return f"the references need a frame count of the form {8 * slower}·k + 1"
    return ""


def save(project: Project, old: Bucket | None, new: Bucket | None) -> Project:
    """Replace, add or take out a bucket in project.toml as it is now; blocks.

    Raises:
        LtxError: The file cannot be read or written, or no bucket would be left.
    """
    file = file_of(project)
    now = load_project(file) if file.exists() else project
    after = changed(parse_buckets(now.video.buckets), old, new)
    text = ";".join(str(one) for one in after)
    parse_buckets(text)
    return write_settings(project, {"video.buckets": text})


def move_words(moves: Counter[tuple[Bucket | None, Bucket | None]], sign: str = "→") -> list[str]:
    """Return "301 clips  960x544x49 → 960x544x25", the most first."""
    return [
        f"{plural(clips, 'clip')}  {named(old)} {sign} {named(new)}"
        for (old, new), clips in moves.most_common()
    ]


def named(bucket: Bucket | None) -> str:
    """Return a bucket's name, or what becomes of a clip without."""
    return str(bucket) if bucket is not None else "too short"
