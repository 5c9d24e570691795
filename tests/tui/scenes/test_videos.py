"""The list of videos: every command, and what is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import MediaError
from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.screens.confirm import Confirm
from ltx_tui.screens.scenes import ScenesScreen
from ltx_tui.screens.videos import VideosScreen
from ltx_tui.widgets.path_suggester import PathSuggester
from ltx_tui.widgets.scene_lines import clock, fitted, size_words
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    run_app,
    screen_of,
    shown,
    still,
)
from tests.tui.scenes.studio import Studio, book_of, listed, text, toasts, until


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_the_list_looks_as_before(
    bench: Workbench, studio: Studio, project: Project, size: tuple[int, int]
) -> None:
    studio.faults["tall.mov"] = MediaError("is not a video", remedy="export it again")

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "a", "f", "j")
        await until(pilot, lambda: book_of(bench).videos[0].is_known)
        await until(pilot, lambda: book_of(bench).videos[1].fault)
        await still(pilot)
        screen = bench.screen
        assert isinstance(screen, VideosScreen)
        lines = shown(bench)
        assert "Scenes  bunny-lora · 3 videos · 3 chosen" in lines[0]
        assert lines[1].split()[:4] == ["◆", "film.mp4", "18.4", "MB"]
        assert lines[1].endswith("5 scenes")
        assert lines[2].rstrip().endswith("✗ is not a video")
        screen._about.display = False  # it names the folder of the test
        await still(pilot)
        assert_snapshot(bench, f"videos-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
def test_all_is_readable_at_any_size(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        assert "film.mp4" in text(bench)
        assert "content 27 · guard 1 · held 15 frames" in text(bench)
        assert all(len(line) <= size[0] for line in shown(bench))

    run_app(bench, steps, size=size)


def test_moving_choosing_and_back(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot, "j", "down", "k")
        assert screen.list.cursor == 1
        await pilot.press("up", "space")
        videos = book_of(bench).videos
        assert [one.is_picked for one in videos] == [True, False, False]
        assert screen.list.cursor == 1
        await pilot.press("a")
        assert all(one.is_picked for one in videos)
        await pilot.press("A")
        assert not any(one.is_picked for one in videos)
        await pilot.press("X")
        assert bench.screen is screen_of(bench)

    run_app(bench, steps)


def test_clips_of_the_dataset_come_last(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        assert "scene-0000.mp4" in shown(bench)[3]
        assert "a clip of the dataset" in shown(bench)[3]

    run_app(bench, steps)


def test_scenes_of_several_are_found_at_once(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        studio.gate.clear()
        await listed(pilot, "space", "space", "f")
        await until(pilot, lambda: len(studio.asked) == 2)
        await pilot.pause(0.6)
        assert "▶ looking 50%, 2 cuts" in shown(bench)[1]
        assert "▶ looking 50%, 2 cuts" in shown(bench)[2]
        studio.gate.set()
        await until(pilot, lambda: all(one.is_known for one in book_of(bench).videos[:2]))
        await still(pilot)
        assert shown(bench)[1].endswith("5 scenes")
        await pilot.press("f")
        assert "are known" in toasts(bench)
        assert len(studio.asked) == 2

    run_app(bench, steps, toasts=True)


def test_looking_can_be_stopped_and_goes_on_when_left(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        studio.gate.clear()
        await listed(pilot, "f")
        await until(pilot, lambda: book_of(bench).videos[0].scores)
        await pilot.press("escape")
        assert "looking goes on" in toasts(bench)
        assert book_of(bench).videos[0].progress is not None
        await pilot.press("X", "x")
        await until(pilot, lambda: studio.ended == 1)
        assert "stopped looking at 1 video" in toasts(bench)
        await pilot.press("x")
        assert "nothing is being done" in toasts(bench)

    run_app(bench, steps, toasts=True)


def test_what_a_cut_would_do_is_said_before(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "space", "f", "space", "c")
        assert isinstance(bench.screen, Confirm)
        await still(pilot)
        said = " ".join(" ".join(shown(bench)).split())
        assert "Cut film.mp4, tall.mov" in said
        assert "find the scenes of 1 video first" in said
        assert "into clips/ (H.264, crf 18, veryfast" in said
        assert "dataset.json" in said
        await pilot.press("escape")
        assert all(one.cutting is None for one in studio.asked)

    run_app(bench, steps, size=WIDE)


def test_enter_opens_and_the_cursor_follows(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot, "enter")
        assert isinstance(bench.screen, ScenesScreen)
        await pilot.press("n", "escape")
        assert bench.screen is screen
        assert screen.list.cursor == 1
        await pilot.press("v")
        assert isinstance(bench.screen, ScenesScreen)
        assert bench.screen.video.path.name == "tall.mov"

    run_app(bench, steps)


def test_the_folder_is_read_again(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "space")
        (project.root / "a new.mkv").touch()
        await pilot.press("f5")
        await until(pilot, lambda: len(book_of(bench).videos) == 4)
        assert [one.path.name for one in book_of(bench).videos[:2]] == ["a new.mkv", "film.mp4"]
        assert book_of(bench).videos[1].is_picked

    run_app(bench, steps)


# A path


def test_a_video_from_elsewhere(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "far.webm").touch()

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot, "o")
        line = screen.query_one(Input)
        assert line.has_focus
        line.value = str(tmp_path / "none.mp4")
        await pilot.press("enter")
        await until(pilot, lambda: "no such file" in toasts(bench))
        assert line.display  # to be mended
        line.value = str(tmp_path / "else" / "far.webm")
        await pilot.press("enter")
        await until(pilot, lambda: len(book_of(bench).videos) == 4)
        await still(pilot)
        assert screen.list.chosen is book_of(bench).videos[3]
        assert "else/far.webm" in text(bench)
        await pilot.press("f5")
        await until(pilot, lambda: not book_of(bench).is_listing)
        assert len(book_of(bench).videos) == 4
        await pilot.press("slash", "escape")
        assert screen.list.has_focus
        await pilot.press("o", "enter")
        assert screen.list.has_focus

    run_app(bench, steps, size=WIDE, toasts=True)


def test_a_folder_from_elsewhere(bench: Workbench, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / "else").mkdir(exist_ok=True)
        (tmp_path / "else" / name).touch()

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot, "o")
        screen.query_one(Input).value = "../else"
        await pilot.press("enter")
        await until(pilot, lambda: len(book_of(bench).videos) == 5)
        assert [one.is_picked for one in book_of(bench).videos] == [False] * 3 + [True] * 2
        await pilot.press("o")
        screen.query_one(Input).value = str(tmp_path / "bunny-lora" / "raw" / "..")
        await pilot.press("enter")
        await still(pilot)
        assert len(book_of(bench).videos) == 5

    run_app(bench, steps)


def test_paths_are_completed(tmp_path: Path) -> None:
    (tmp_path / "raw films").mkdir()
    for name in ("raw.mp4", "raw films/a.MOV", "raw films/b.txt", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    suggester = PathSuggester(tmp_path, {".mp4", ".mov"})
    assert suggester.suggest("r") == "raw films/"
    assert suggester.suggest("raw.") == "raw.mp4"
    assert suggester.suggest("raw films/") == "raw films/a.MOV"
    assert suggester.suggest(f"{tmp_path}/raw f") == f"{tmp_path}/raw films/"
    assert suggester.suggest(".h") == ".hidden.mp4"
    for nothing in ("", "n", "none/", "\0", "raw films/b"):
        assert suggester.suggest(nothing) is None


# Nothing there, and odd things


def test_an_empty_folder_says_what_to_do(bench: Workbench, project: Project) -> None:
    for name in ("film.mp4", "raw/tall.mov", "scene-0000.mp4"):
        (project.root / name).unlink()

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        assert "No video to cut in" in text(bench)
        assert "o adds a video or a folder" in text(bench)
        await pilot.press("f", "c", "space", "enter", "x")
        assert "there is no video" in toasts(bench)

    run_app(bench, steps, size=WIDE, toasts=True)


def test_choices_that_cannot_be_kept_are_said(bench: Workbench, project: Project) -> None:
    (project.state_dir).mkdir(exist_ok=True)
    (project.state_dir / "scenes.db").write_bytes(b"no database" * 200)

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        assert "cannot be kept" in shown(bench)[0]
        assert "film.mp4" in text(bench)

    run_app(bench, steps, size=WIDE)


def test_settings_that_make_no_sense_are_said(bench: Workbench, project: Project) -> None:
    assert project.file is not None
    project.file.write_text('[scenes]\ndetector = "hash"\nthreshold = 30.0\n')

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await listed(pilot)
        screen_of(bench).read_again()
        await until(pilot, lambda: book_of(bench).fault is not None)
        screen.draw()
        await still(pilot)
        assert "content 27" in text(bench)
        assert "does not suit" in text(bench)

    run_app(bench, steps, size=WIDE)


def test_other_settings_count_for_videos_without_choices(
    bench: Workbench, project: Project
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "enter")
        await pilot.press("plus", "escape")
        assert project.file is not None
        project.file.write_text('[scenes]\nthreshold = 55.0\ntrim = 3\noutput_dir = "cut"\n')
        screen_of(bench).read_again()
        await until(pilot, lambda: book_of(bench).project.scenes.trim == 3)
        first, second = book_of(bench).videos[:2]
        assert first.choices.finding.level == 28
        assert (second.choices.finding.level, second.choices.choosing.trim) == (55, 3)

    run_app(bench, steps)


def test_odd_names_are_safe(bench: Workbench, project: Project) -> None:
    (project.root / os.fsdecode(b"a\xff\x1b[2J.mp4")).touch()

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        assert "\x1b" not in text(bench)
        assert r"\x1b[2J.mp4" in text(bench)

    run_app(bench, steps, size=WIDE)


def test_words() -> None:
    assert [clock(one) for one in (0, 5.04, 83.25, 3723.46)] == [
        *("0:00.0", "0:05.0", "1:23.2", "1:02:03.5"),
    ]
    assert clock(59.96) == "1:00.0"
    assert clock(83.9, digits=0) == "1:24"
    assert [size_words(one) for one in (7, 999, 1_234_000, 18_400_000_000)] == [
        *("7 bytes", "999 bytes", "1.23 MB", "18.4 GB"),
    ]
    assert fitted("a long name.mp4", 8).plain == "…ame.mp4"
    assert fitted("short", 8).plain == "short   "
