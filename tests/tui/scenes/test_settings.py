"""How scenes are found, changed in the screen of a video: by keys, and typed."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from ltx_tui.app import Workbench
from ltx_tui.screens.choice import Choice
from ltx_tui.screens.scenes import ScenesScreen
from tests.tui.conftest import assert_snapshot, run_app, shown, still
from tests.tui.scenes.studio import (
    Studio,
    book_of,
    listed,
    opened,
    states,
    toasts,
    until,
    wholes,
)


async def typed(pilot: Pilot[Any], screen: ScenesScreen, key: str, value: str) -> None:
    await pilot.press(key)
    line = screen.query_one(Input)
    assert line.has_focus
    line.value = value
    await pilot.press("enter")
    await still(pilot)


def level(screen: ScenesScreen) -> float:
    return screen.video.choices.finding.level


def test_another_threshold_decides_anew_without_looking(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "plus", "equals_sign", "plus")
        assert level(screen) == 30
        await until(pilot, lambda: len(wholes(screen)) == 4)
        await pilot.press("minus")
        await until(pilot, lambda: len(wholes(screen)) == 5)
        await typed(pilot, screen, "t", "45")
        await until(pilot, lambda: wholes(screen) == [(0, 60), (60, 180), (180, 300)])
        await still(pilot)
        assert "content 45" in shown(bench)[1]
        await pilot.press("u", "u", "u", "u", "u")
        await until(pilot, lambda: len(wholes(screen)) == 5)
        assert screen.video.choices.finding.threshold is None
        assert len(studio.asked) == 1

    run_app(bench, steps)


def test_the_threshold_ends_where_it_makes_sense(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        await typed(pilot, screen, "t", "255")
        await pilot.press("plus")
        assert level(screen) == 255
        assert "as far as content goes" in toasts(bench)
        await typed(pilot, screen, "t", "400")
        assert "does not suit" in toasts(bench)
        line = screen.query_one(Input)
        assert (line.display, line.value) == (True, "400")
        line.value = "lots"
        await pilot.press("enter")
        assert "no number" in toasts(bench)
        await pilot.press("escape")
        assert not line.display
        assert screen.list.has_focus
        await typed(pilot, screen, "t", "")
        assert level(screen) == 27

    run_app(bench, steps, toasts=True)


@pytest.mark.parametrize(
    ("keys", "detector", "usual", "step"),
    [
        (["j"], "adaptive", 3.0, 0.25),
        (["j", "j"], "threshold", 12.0, 1.0),
        (["j"] * 3, "histogram", 0.2, 0.01),
        (["j"] * 4, "hash", 0.35, 0.01),
    ],
)
def test_another_detector_looks_anew(
    bench: Workbench, studio: Studio, keys: list[str], detector: str, usual: float, step: float
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "plus", "d")
        assert isinstance(bench.screen, Choice)
        await pilot.press(*keys, "enter")
        await until(pilot, lambda: len(studio.asked) == 2 and screen.video.scenes)
        assert studio.asked[1].finding.detector == detector
        assert level(screen) == usual
        await pilot.press("plus")
        assert level(screen) == pytest.approx(usual + step)
        await pilot.press("u", "u")
        await until(pilot, lambda: level(screen) == 28 and screen.video.is_known)
        assert len(studio.asked) == 2  # what was found is kept

    run_app(bench, steps)


def test_the_choice_of_detectors_looks_as_before(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "d")
        assert_snapshot(bench, "scenes-detector-80x24")

    run_app(bench, steps)


def test_a_detector_that_is_changed_while_it_looks(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        studio.gate.clear()
        await listed(pilot, "enter")
        screen = bench.screen
        assert isinstance(screen, ScenesScreen)
        await until(pilot, lambda: screen.video.scores)
        await pilot.press("d", "j", "j", "j", "j", "enter")
        studio.gate.set()
        await until(pilot, lambda: screen.video.is_known and screen.video.scenes)
        assert [one.finding.detector for one in studio.asked] == ["content", "hash"]

    run_app(bench, steps)


def test_lengths_and_the_guard(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        await typed(pilot, screen, "l", "9")
        await until(pilot, lambda: (180, 190) in wholes(screen))
        await typed(pilot, screen, "l", "")
        await until(pilot, lambda: (180, 190) not in wholes(screen))
        assert screen.video.choices.finding.min_scene_length is None
        await typed(pilot, screen, "f", "2s")
        assert states(screen) == ["kept", "short", "kept", "kept", "kept"]
        assert "shortest 2s" in shown(bench)[1]
        await pilot.press("j", "space")
        assert states(screen)[1] == "kept"
        await pilot.press("k", "space")
        assert states(screen)[1] == "short"
        await typed(pilot, screen, "w", "4")
        assert [tuple(one.part) for one in screen.video.scenes[:2]] == [(0, 56), (64, 96)]
        await typed(pilot, screen, "w", "")
        assert screen.video.choices.choosing.trim == 1
        assert len(studio.asked) == 1

    run_app(bench, steps)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("l", "-1", "no number of frames"), ("w", "x", "no number of frames"), ("f", "soon", "123")],
)
def test_what_is_typed_wrongly_stays_to_be_mended(
    bench: Workbench, key: str, value: str, words: str
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        before = screen.video.choices
        await typed(pilot, screen, key, value)
        assert words in toasts(bench)
        assert screen.query_one(Input).value == value
        assert screen.video.choices == before

    run_app(bench, steps, toasts=True)


def test_the_line_says_what_is_typed(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "f")
        assert "leave out scenes shorter than" in shown(bench)[1]

    run_app(bench, steps)


def test_settings_go_to_the_chosen_videos(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "plus", "a")
        assert "no other video is chosen" in toasts(bench)
        other, third = book_of(bench).videos[1:]
        other.is_picked = True
        await pilot.press("m", "a")
        assert other.choices.finding == screen.video.choices.finding
        assert not other.choices.joined
        assert third.choices.finding.threshold is None
        assert len(studio.asked) == 1  # nobody has asked for its scenes yet

    run_app(bench, steps, toasts=True)
