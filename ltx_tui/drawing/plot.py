"""A small plot of memory over time, drawn in braille dots or in plain characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ltx_tui.drawing import braille
from ltx_tui.drawing.braille import Cell
from ltx_tui.drawing.signs import Signs

# What wins where two things meet in a cell, the first over all others.
ORDER = ("used", "forecast", "limit", "ours")
_PLAIN = {"used": "*", "forecast": ".", "limit": "-", "ours": "#"}


class Level(msgspec.Struct, frozen=True):
    """What there was at one moment; bytes, None where it is not known."""

    used: int
    ours: int | None = None


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """What to hold the history against; bytes, 0 for a line that is not drawn.

    Attributes:
        total: The top of the plot.
        limit: More may not be taken.
        forecast: So much is expected to be used.
    """

    total: int
    limit: int = 0
    forecast: int = 0


def columns(
    samples: Iterable[tuple[float, Level]], count: int, span: float, together: int = 1
) -> list[Level | None]:
    """Return the highest level in each of `count` steps of time, the latest last.

    Steps begin at fixed times and are left out until they are over, so that a plot changes only
    now and then.

    Args:
        samples: (time in seconds, level), in order.
        count: How many steps.
        span: Seconds that all of them cover.
        together: How many steps move on at once: those of a character.
    """
    step = span / count
    found: dict[int, Level] = {}
    last = None
    for time, level in samples:
        last = int(time // step)
        before = found.get(last)
        if before is None or level.used >= before.used:
            found[last] = level
    if last is None:
        return [None] * count
    end = last // together * together
    return [found.get(at) for at in range(end - count, end)]


def draw(
    history: Sequence[Level | None], levels: Levels, width: int, height: int, signs: Signs
) -> list[list[Cell]]:
    """Return the rows of a plot, each a list of (character, what it shows).

    Args:
        history: From `columns`, `across(signs)` for each of the plot's columns.
        levels: What it is held against.
        width: Columns of the plot.
        height: Its rows.
        signs: Whether there are dots to draw with.
    """
    down = braille.DOWN if signs.dots else 1
    points: dict[tuple[int, int], set[str]] = {}
    rows = height * down

    def at(value: int) -> int:
        share = min(1.0, value / levels.total) if levels.total > 0 else 0.0
        return rows - 1 - min(rows - 1, round(share * (rows - 1)))

    def put(x: int, y: int, what: str) -> None:
        points.setdefault((x, y), set()).add(what)

    for x in range(width * across(signs)):
        # Dashes and dots differ in shape from the line, which has no gaps.
        if levels.limit and x % 4 < 2:
            put(x, at(levels.limit), "limit")
        if levels.forecast and x % 2 == 0:
            put(x, at(levels.forecast), "forecast")
    previous: int | None = None
    for x, level in enumerate(history):
        if level is None:
            previous = None
            continue
        if level.ours:
            for y in range(at(level.ours), rows):
                put(x, y, "ours")
        y = at(level.used)
        if previous is not None:
            for between in range(min(y, previous) + 1, max(y, previous)):
                put(x, between, "used")
        put(x, y, "used")
        previous = y
    return braille.cells(points, width, height, ORDER, None if signs.dots else _PLAIN)


def across(signs: Signs) -> int:
    """Return how many steps of time a character shows."""
    return braille.ACROSS if signs.dots else 1
