"""The Canny preview: its keys, its words, and what is asked of the child."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from engine.media import canny
from engine.project import Project
from engine.worker.thumbnail_types import Shot
from ltx_tui.app import Workbench
from ltx_tui.children.frames import FramesChild, ask_of
from ltx_tui.cli.compute_reference import command
from ltx_tui.screens.canny_view import HIGH, LOW, command_line
from tests.media_clips import make_video
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, run_app, shown, still
from tests.tui.frames.reading import Reader, clip_row, opened, text

LINE = "Canny {0:g}–{1:g} · ltx-tui compute-reference --low {0:g} --high {1:g}"


def test_edges_look_as_before(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "c")
        assert_snapshot(bench, "frames-canny-120x40")

    run_app(bench, steps, size=WIDE)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (200, 60)])
def test_edges_stand_beside_their_frames(
    bench: Workbench, reader: Reader, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "c")
        assert reader.asks[-1].canny == (100.0, 200.0)
        assert screen.strip.grid.parts == 2
        lines = shown(bench)
        said = LINE.format(100, 200)
        assert said in lines[1] if size[0] >= 80 else lines[1].strip() == "Canny 100–200"
        assert "keeps frames 0–120 of 149" in lines[2]
        await pilot.press("c")
        await still(pilot)
        assert reader.asks[-1].canny is None
        assert screen.strip.grid.parts == 1
        assert "1920×1080" in shown(bench)[1]

    run_app(bench, steps, size=size)


@pytest.mark.parametrize(
    ("keys", "thresholds"),
    [
        (["less_than_sign"], (90.0, 200.0)),
        (["greater_than_sign"], (110.0, 200.0)),
        (["left_curly_bracket"], (100.0, 190.0)),
        (["right_curly_bracket"], (100.0, 210.0)),
        (["less_than_sign"] * 12, (0.0, 200.0)),
        (["left_curly_bracket"] * 12, (100.0, 100.0)),
        (["greater_than_sign"] * 12, (200.0, 200.0)),
    ],
)
def test_keys_turn_the_thresholds(
    bench: Workbench, reader: Reader, keys: list[str], thresholds: tuple[float, float]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "c")
        await pilot.press(*keys)
        assert LINE.format(*thresholds) in text(bench)
        await still(pilot)
        assert reader.asks[-1].canny == thresholds
        assert screen.thresholds == thresholds

    run_app(bench, steps)


def test_a_threshold_key_shows_the_edges(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "greater_than_sign")
        assert screen.canny
        assert reader.asks[-1].canny == (110.0, 200.0)

    run_app(bench, steps)


def test_thresholds_are_remembered_for_the_session(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "c", "less_than_sign")
        await pilot.press("j")
        await still(pilot)
        assert LINE.format(90, 200) in text(bench)
        await pilot.press("escape", "v", "c")
        await still(pilot)
        assert reader.asks[-1].canny == (90.0, 200.0)

    run_app(bench, steps)


def test_edges_and_decoded_take_turns(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "d", "c")
        assert (screen.canny, screen.compare) == (True, False)
        assert reader.asks[-1].decoded is None
        await pilot.press("d")
        await still(pilot)
        assert (screen.canny, screen.compare) == (False, True)
        assert reader.asks[-1].canny is None

    run_app(bench, steps)


def test_the_frame_at_the_cursor_has_edges_too(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "c")
        await pilot.press("right")
        await still(pilot)
        assert [ask.canny for ask in reader.asks if ask.at == 1] == [(100.0, 200.0)]
        assert {(-1, 0), (-1, 1)} <= set(screen.strip._shots)
        await pilot.press("greater_than_sign")
        await still(pilot)
        assert [ask.canny for ask in reader.asks if ask.at == 1][-1] == (110.0, 200.0)

    run_app(bench, steps)


def test_the_line_that_is_told_is_one_that_the_command_takes() -> None:
    assert (LOW, HIGH) == (canny.LOW, canny.HIGH)
    words = command_line(70.0, 155.5).split()
    assert words[:2] == ["ltx-tui", command.name]
    with command.make_context("x", words[2:]) as context:
        assert (context.params["low"], context.params["high"]) == (70.0, 155.5)


def test_a_real_child_draws_the_edges(project: Project, tmp_path: Path) -> None:
    frame = np.full((96, 128), 40, np.uint8)
    frame[30:60, 30:90] = 200
    media = make_video(tmp_path / "a.mp4", [frame] * 5)
    row = clip_row(0, media=str(media), bucket="32x32x1", kept=(0.0, 0.04))

    async def told(child: FramesChild, **how: Any) -> list[Shot]:
        ask = ask_of(row, project, count=2, size=(64, 48), columns=0, **how)
        return [tell async for tell in child.show(ask) if isinstance(tell, Shot)]

    async def run() -> None:
        child = FramesChild()
        try:
            few = await told(child, canny=(2000.0, 2040.0))
            many = await told(child, canny=(50.0, 100.0))
            [picture, drawn] = await told(child, canny=(50.0, 100.0), at=3)
        finally:
            await child.close()
        assert [(one.place, one.is_right) for one in many] == [
            (0, False), (0, True), (1, False), (1, True)
        ]  # fmt: skip
        assert not any(few[1].pixels)
        assert max(many[1].pixels) > 60
        assert (picture.number, picture.is_right, drawn.is_right) == (3, False, True)
        assert drawn.pixels == many[1].pixels

    asyncio.run(run())
