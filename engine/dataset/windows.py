"""Windows: rows that keep a part of their clip, from an in point to an out point.

Two columns of the dataset hold them, `window_start` and `window_end`, in seconds after the clip's
first frame; an empty cell is the clip's beginning or end. Several rows may have windows of one
clip: each is a clip of its own to everything that follows, with its own name and output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from engine.dataset.manifest import cell_text
from engine.text import visible

START_COLUMN, END_COLUMN = "window_start", "window_end"
WINDOW_REMEDY = "write seconds, such as 2.5, or empty the cell"


class Span(msgspec.Struct, frozen=True):
    """A part of a clip.

    Attributes:
        start: Seconds after the first frame.
        end: Seconds after the first frame; None for the clip's end.
    """

    start: float = 0.0
    end: float | None = None

    @property
    def words(self) -> str:
        """The seconds as in "2.5-7" or "2.5-end"."""
        end = "end" if self.end is None else _seconds(self.end)
        return f"{_seconds(self.start)}-{end}"

    def seconds_of(self, duration: float) -> float:
        """Return how long it is of a clip of `duration` seconds; 0 where it lies behind its end."""
        end = duration if self.end is None else min(self.end, duration)
        return max(0.0, end - self.start)


WHOLE = Span()


def read_span(row: Mapping[str, object]) -> Span:
    """Return the window of a row; `WHOLE` where it has none.

    Raises:
        ValueError: A cell is no number of seconds, or the window ends before it starts.
    """
    if row.get(START_COLUMN) is None and row.get(END_COLUMN) is None:
        return WHOLE  # nearly always
    start, end = (_cell(row, column) for column in (START_COLUMN, END_COLUMN))
    span = Span(start or 0.0, end)
    if span.end is not None and span.end <= span.start:
        raise ValueError(f"the window ends at {_seconds(span.end)} s, before it starts")
    return span


def row_name(row: Mapping[str, object], video_column: str, number: int) -> str:
    """Return what a row is called everywhere: its media path, and its window where it has one.

    Args:
        row: Its cells.
        video_column: The column of media paths.
        number: 0-based place in the dataset, for a row without a path.
    """
    cell = cell_text(row.get(video_column))
    if not cell.strip():
        return f"row {number + 1}"
    try:
        span = read_span(row)
    except ValueError:
        span = WHOLE
    return visible(cell) if span == WHOLE else f"{visible(cell)} @ {span.words} s"


def _cell(row: Mapping[str, object], column: str) -> float | None:
    text = cell_text(row.get(column)).strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{column} is {visible(text)}, which is no number of seconds")
    return value


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
