"""Clips of several shapes in three buckets, for the tests of buckets."""

from __future__ import annotations

from collections.abc import Sequence

from engine.overview.types import Row
from engine.project import Project
from ltx_tui.clips.store import Store
from tests.tui.rows import make_row, store_of

THREE = "960x544x121;960x544x49;544x960x121"


def clip(number: int, frames: int, size: tuple[int, int], bucket: str = "") -> Row:
    return make_row(number, frames=frames, size=size, bucket=bucket, seconds=frames / 24)


def rows() -> list[Row]:
    shapes = [(149, (1920, 1080))] * 8 + [(75, (1920, 1080))] * 3 + [(130, (1080, 1920))] * 2
    known = [clip(number, *shape) for number, shape in enumerate(shapes)]
    return [*known, clip(13, 20, (1920, 1080)), make_row(14, size=(0, 0), frames=0, bucket="")]


def stored(project: Project, made: Sequence[Row] | None = None, **changes: object) -> Store:
    return store_of(list(made) if made is not None else rows(), project=project, **changes)
