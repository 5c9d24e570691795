"""Scores drawn over time, and the line of the scenes."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.scene_types import Range
from engine.scenes.choices import Scene, State
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.scenes.score_plot import Curve, View, plot, timeline


def curve(scores: list[float], level: float = 10.0, first: int = 0, step: int = 1) -> Curve:
    return Curve(array("f", scores), first, step, level, "content")


def scene(number: int, first: int, end: int, state: State = "kept") -> Scene:
    whole = Range(first, end)
    return Scene(number=number, whole=whole, part=whole, start=0.0, seconds=1.0, state=state)


def test_a_column_has_the_highest_of_its_scores() -> None:
    scores = [1.0, 9.0, 2.0, math.nan, 3.0, 4.0, 8.0, 0.0]
    assert curve(scores).peaks(View(0, 8), 4) == [9.0, 2.0, 4.0, 8.0]
    assert curve(scores).peaks(View(4, 8), 4) == [3.0, 4.0, 8.0, 0.0]
    # What is not known yet has none.
    assert curve(scores).peaks(View(0, 16), 4) == [9.0, 8.0, None, None]


def test_frames_wider_than_a_column_have_several() -> None:
    assert curve([1.0, 5.0]).peaks(View(0, 2), 6) == [1.0, 1.0, 1.0, 5.0, 5.0, 5.0]


def test_skipped_frames_count() -> None:
    assert curve([7.0, 3.0], first=10, step=5).peaks(View(10, 20), 2) == [7.0, 3.0]


@pytest.mark.parametrize(("peak", "top"), [(4.0, 12.5), (20.0, 20.0), (200.0, 30.0)])
def test_the_threshold_is_neither_at_the_top_nor_at_the_bottom(peak: float, top: float) -> None:
    assert curve([]).top([None, peak]) == top


@given(st.integers(0, 50), st.integers(1, 400), st.integers(1, 200))
def test_a_score_stands_where_its_frame_does(first: int, frames: int, count: int) -> None:
    view = View(first, first + frames)
    edges = view.edges(count)
    for frame in range(first, first + frames):
        column = view.column(frame, count)
        assert edges[column] <= frame < max(edges[column + 1], edges[column] + 1)


def test_the_plot_has_scores_and_a_dashed_line() -> None:
    rows, top = plot(curve([2.0, 30.0, 2.0, 2.0]), View(0, 4), 4, 4, ASCII)
    assert top == 30.0
    assert ["".join(letter for letter, _ in row) for row in rows] == [
        *(" #  ", " #  ", "-#  ", ":#::"),
    ]
    assert rows[0][1] == ("#", "above")
    dots, _ = plot(curve([2.0, 30.0, 2.0, 2.0]), View(0, 4), 4, 4, UNICODE)
    assert {len(row) for row in dots} == {4}
    assert dots[0][1][1] == "above"


def test_the_line_tells_scenes_apart_without_colour() -> None:
    scenes = [scene(1, 0, 10), scene(2, 10, 20, "dropped"), scene(3, 20, 40, "short")]
    line = timeline(scenes, 1, View(0, 40), 20, 30, ASCII)
    assert "".join(letter for letter, _ in line) == "=====|....|....^...."
    assert [kind for _, kind in line[4:12]] == [
        *("kept", "chosen", "chosen", "chosen", "chosen", "chosen", "chosen", "short"),
    ]
    near = timeline(scenes, 1, View(8, 22), 14, None, UNICODE)
    assert "".join(letter for letter, _ in near) == "━━┃╌╌╌╌╌╌╌╌╌┃╌"
