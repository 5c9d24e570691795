"""Cutting from the workbench: asked, followed, stopped; pieces come into the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import MediaError
from engine.media.scene_types import Range
from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.clips.store import Store
from ltx_tui.screens.confirm import Confirm
from tests.tui.conftest import SMALL, assert_snapshot, run_app, screen_of, shown, still
from tests.tui.scenes.studio import Studio, book_of, listed, opened, rows, text, toasts, until

PIECES = [f"clips/film-Scene-{number:03}.mp4" for number in range(1, 5)]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, quiet: None) -> list[int]:
    """Count how often the dataset is read again."""
    counted: list[int] = []

    async def load(_store: Store) -> None:
        counted.append(1)

    monkeypatch.setattr(Store, "load", load)
    return counted


def test_the_question_looks_as_before(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "c")
        await still(pilot)
        assert_snapshot(bench, "scenes-cut-80x24")

    run_app(bench, steps, size=SMALL)


def test_a_video_that_is_a_clip_keeps_its_row(bench: Workbench) -> None:
    def last() -> str:
        return " ".join(text(bench).split("→")[-1].replace("│", "").split())

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot, "end")
        await pilot.press("c")
        await still(pilot)
        assert "the video is a clip itself, and its row stays: d in the clip" in last()
        await pilot.press("escape", "a", "c")
        await still(pilot)
        assert "1 video is a clip as well, whose row stays: d in the clip list" in last()
        await pilot.press("escape", "A", "home", "c")
        await still(pilot)
        assert "so does the video" in last()
        assert screen.book.clips_among(screen.book.videos) == 1

    run_app(bench, steps, size=SMALL)


def test_what_a_person_chose_is_cut_and_comes_into_the_dataset(
    bench: Workbench, studio: Studio, project: Project, loads: list[int]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "space", "m", "c")
        before = len(loads)
        assert isinstance(bench.screen, Confirm)
        await pilot.press("enter")
        await until(pilot, lambda: book_of(bench).cutting is None)
        wanted = studio.asked[-1]
        assert wanted.out == project.root / "clips"
        [video] = wanted.videos
        assert video.ranges == (Range(61, 179), Range(181, 249), Range(251, 300))
        assert video.found is not None
        assert video.found.cuts == (60, 180, 250)
        assert rows(project.dataset_path) == ["scene-0000.mp4", *PIECES[:3]]
        await until(pilot, lambda: len(loads) > before)
        await still(pilot)
        assert "3 pieces cut, 3 rows added" in toasts(bench)
        await pilot.press("escape")
        await still(pilot)
        assert "✓ 4 scenes, 3 kept, 3 cut" in text(bench)
        # Pieces that are there are not listed as videos.
        await pilot.press("f5")
        await until(pilot, lambda: not book_of(bench).is_listing)

    run_app(bench, steps, toasts=True)


def test_a_second_cut_adds_no_row_twice_and_touches_no_other(
    bench: Workbench, project: Project
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "c", "enter")
        await until(pilot, lambda: book_of(bench).cutting is None)
        data = json.loads(project.dataset_path.read_text())
        data[1]["caption"] = "Mine."
        project.dataset_path.write_text(json.dumps(data))
        await pilot.press("c", "enter")
        await until(pilot, lambda: "0 rows added" in toasts(bench))
        assert json.loads(project.dataset_path.read_text()) == data
        assert "5 there already" in toasts(bench)

    run_app(bench, steps, toasts=True)


def test_cutting_is_followed_and_can_be_stopped(
    bench: Workbench, studio: Studio, project: Project
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        studio.gate.clear()
        await pilot.press("c", "enter")
        await until(pilot, lambda: screen.video.making and screen.video.making.made == 1)
        await pilot.pause(0.6)
        await still(pilot)
        assert "▶ cutting 40%" in shown(bench)[0]
        await pilot.press("c")  # one run at a time
        assert "x stops that" in toasts(bench)
        await pilot.press("x")
        await until(pilot, lambda: book_of(bench).cutting is None)
        assert "stopped: 1 of 5 pieces cut; c goes on from there" in toasts(bench)
        assert rows(project.dataset_path) == ["scene-0000.mp4"]
        studio.gate.set()
        await pilot.press("c", "enter")
        await until(pilot, lambda: book_of(bench).cutting is None)
        assert "there already" in toasts(bench)
        assert len(rows(project.dataset_path)) == 6

    run_app(bench, steps, toasts=True)


def test_cutting_goes_on_when_the_screens_are_left(
    bench: Workbench, studio: Studio, project: Project
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        studio.gate.clear()
        await pilot.press("c", "enter")
        await until(pilot, lambda: screen.video.making and screen.video.making.made == 1)
        await pilot.press("escape", "escape")
        assert "cutting goes on" in toasts(bench)
        assert bench.screen is screen_of(bench)
        studio.gate.set()
        await until(pilot, lambda: "5 pieces cut, 5 rows added" in toasts(bench))
        assert len(rows(project.dataset_path)) == 6

    run_app(bench, steps, toasts=True)


def test_leaving_the_workbench_stops_it_and_says_so(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        studio.gate.clear()
        await pilot.press("c", "enter")
        await until(pilot, lambda: screen.video.making and screen.video.making.made == 1)
        await pilot.press("ctrl+q")

    run_app(bench, steps)
    assert "cutting scenes was stopped" in bench.farewell
    assert studio.ended == 1


def test_what_fails_is_listed_with_its_remedy(
    bench: Workbench, studio: Studio, project: Project
) -> None:
    studio.lost = {2}
    studio.faults["tall.mov"] = MediaError("is not a video", remedy="export it again")

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "space", "space", "c", "enter")
        await until(pilot, lambda: studio.asked and book_of(bench).cutting is None)
        await still(pilot)
        assert "4 pieces cut, 4 rows added" in toasts(bench)
        assert "failed: film, scene 2: has no key frame (and 1 more)" in toasts(bench)
        assert len(rows(project.dataset_path)) == 5
        await pilot.press("g")
        await still(pilot)
        lines = text(bench)
        assert "✗ 5 scenes, 1 failed" in lines
        assert "✗ film, scene 2: has no key frame" in lines
        assert "→ cut it without copying" in lines
        assert "✗ is not a video" in lines

    run_app(bench, steps, toasts=True)


def test_nothing_that_can_be_read_cuts_nothing(
    bench: Workbench, studio: Studio, project: Project
) -> None:
    studio.faults["film.mp4"] = MediaError("is not a video", remedy="export it again")

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "c", "enter")
        await until(pilot, lambda: "is not a video" in toasts(bench))
        assert "export it again" in toasts(bench)
        assert not (project.root / "clips").exists()

    run_app(bench, steps, toasts=True)


def test_a_dataset_that_cannot_be_written_is_said(
    bench: Workbench, studio: Studio, project: Project
) -> None:
    project.dataset_path.chmod(0o444)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "c", "enter")
        await until(pilot, lambda: "have no rows yet: the file is read-only" in toasts(bench))
        assert len(list((project.root / "clips").iterdir())) == 5

    run_app(bench, steps, toasts=True)


def test_notes_of_a_video_are_shown(bench: Workbench, studio: Studio) -> None:
    studio.note = "damaged: 300 frames decode"

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "f")
        await until(pilot, lambda: book_of(bench).videos[0].is_known)
        await still(pilot)
        assert "⚠ damaged: 300 frames decode; export it again" in text(bench)

    run_app(bench, steps)


def test_an_empty_workspace_says_how_to_begin(project: Project, quiet: None) -> None:
    from engine.overview.file import FILE, write_overview
    from tests.tui.rows import make_overview

    write_overview(project.state_dir / FILE, make_overview(0))
    bench = Workbench(project.root, project)

    async def steps(pilot: Pilot[Any]) -> None:
        await still(pilot)
        assert "X cuts long videos into clips" in text(bench)

    run_app(bench, steps)


def test_pieces_of_another_folder(project: Project, bench: Workbench, tmp_path: Path) -> None:
    assert project.file is not None
    project.file.write_text(f'[scenes]\noutput_dir = "{tmp_path}/far"\n')

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        screen_of(bench).read_again()
        await until(pilot, lambda: book_of(bench).project.scenes.output_dir != "clips")
        await pilot.press("c", "enter")
        await until(pilot, lambda: "5 rows added" in toasts(bench))
        assert rows(project.dataset_path)[1] == str(tmp_path / "far" / "film-Scene-001.mp4")

    run_app(bench, steps, toasts=True)
