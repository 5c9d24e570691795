"""Scores of a video over time as dots, and its scenes as a line below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from engine.media.scene_options import DetectorName
from engine.scenes.choices import Scene
from ltx_tui.drawing import braille
from ltx_tui.drawing.braille import Cell
from ltx_tui.drawing.signs import Signs

# Higher peaks are cut off, so that the threshold is well above the bottom.
_MOST_LEVELS = 3.0
_ORDER = ("above", "score", "line")
_PLAIN = {"above": "#", "score": ":", "line": "-"}


class View(msgspec.Struct, frozen=True):
    """The frames that are seen: `first` up to, but without, `end`."""

    first: int
    end: int

    @property
    def frames(self) -> int:
        """How many."""
        return max(1, self.end - self.first)

    def column(self, frame: int, width: int) -> int:
        """Return the column in which a frame lies, of `width`; outside of them for other frames."""
        return math.floor((frame - self.first) * width / self.frames)

    def edges(self, count: int) -> list[int]:
        """Return the frames at which each of `count` columns begins, and the end.

        As `column` has it: a column's first frame is the first that lies in it, or, where frames
        are wider than columns, the one that it lies in.
        """
        if count <= self.frames:
            return [self.first - (-self.frames * at // count) for at in range(count + 1)]
        return [self.first - (-self.frames * (at + 1) // count) - 1 for at in range(count + 1)]


class Curve(msgspec.Struct, frozen=True):
    """Scores, as they are held against a threshold.

    Attributes:
        scores: Of each frame that was looked at; NaN where there is none.
        first: The number of the first of these frames.
        step: From one frame to the next.
        level: The threshold.
        detector: What the scores are of.
    """

    scores: Sequence[float]
    first: int
    step: int
    level: float
    detector: DetectorName

    def peaks(self, view: View, count: int) -> list[float | None]:
        """Return the highest score in each of `count` columns; None where there is none."""
        scores = self.scores
        peaks: list[float | None] = []
        rows = [max(0, (frame - self.first) // self.step) for frame in view.edges(count)]
        for begin, end in pairwise(rows):
            # Where a frame is wider than a column, all of its columns have its score.
            part = scores[begin : max(end, begin + 1)]
            known = [one for one in part if not math.isnan(one)]
            peaks.append(max(known, default=0.0) if len(part) else None)
        return peaks

    def top(self, peaks: Sequence[float | None]) -> float:
        """Return the score that the top of a plot stands for."""
        highest = max((one for one in peaks if one is not None), default=0.0)
        if self.detector != "threshold":
            highest = min(highest, _MOST_LEVELS * self.level)
        return max(highest, 1.25 * self.level) or 1.0


def plot(
    curve: Curve, view: View, width: int, height: int, signs: Signs
) -> tuple[list[list[Cell]], float]:
    """Return the rows of the plot, and the score at its top.

    What is drawn: "score", "above" where it reaches the threshold, "line" for the threshold.
    """
    across, down = (braille.ACROSS, braille.DOWN) if signs.dots else (1, 1)
    columns, rows = width * across, height * down
    peaks = curve.peaks(view, columns)
    top = curve.top(peaks)
    points: dict[tuple[int, int], set[str]] = {}

    def row_of(value: float) -> int:
        return rows - 1 - min(rows - 1, round(value / top * (rows - 1)))

    line = row_of(curve.level)
    for x, peak in enumerate(peaks):
        if x % 4 < 2:
            points.setdefault((x, line), set()).add("line")
        if peak is None or peak <= 0:
            continue
        kind = "above" if peak >= curve.level else "score"
        for y in range(row_of(peak), rows):
            points.setdefault((x, y), set()).add(kind)
    return braille.cells(points, width, height, _ORDER, None if signs.dots else _PLAIN), top


_LINE = {"kept": "━", "dropped": "╌", "short": "╌", "cut": "┃", "cursor": "▲"}
_PLAIN_LINE = {"kept": "=", "dropped": ".", "short": ".", "cut": "|", "cursor": "^"}


def timeline(
    scenes: Sequence[Scene], chosen: int, view: View, width: int, cursor: int | None, signs: Signs
) -> list[Cell]:
    """Return a line of the scenes: thick where they are kept, a stroke where one begins.

    Args:
        scenes: All scenes.
        chosen: The place of the one in hand among them.
        view: The frames that are seen.
        width: Columns.
        cursor: A frame to point at; None for none.
        signs: What the terminal can write.
    """
    letters = _LINE if signs.dots else _PLAIN_LINE
    line: list[Cell] = [(" ", "")] * width
    for place, scene in enumerate(scenes):
        if scene.whole.end <= view.first or scene.whole.first >= view.end:
            continue
        begin = view.column(scene.whole.first, width)
        kind = "chosen" if place == chosen else scene.state
        for column in range(max(0, begin), min(width, view.column(scene.whole.end, width) + 1)):
            line[column] = (letters[scene.state], kind)
        if place and 0 <= begin < width:
            line[begin] = (letters["cut"], "chosen" if place in (chosen, chosen + 1) else "cut")
    if cursor is not None and 0 <= (at := view.column(cursor, width)) < width:
        line[at] = (letters["cursor"], "cursor")
    return line
