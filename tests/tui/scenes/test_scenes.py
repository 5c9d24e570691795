"""The scenes of a video: looks, moving, the cursor, joining, splitting, leaving out."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import MediaError
from engine.project import Project
from engine.scenes.store import SceneStore
from ltx_tui.app import Workbench
from ltx_tui.drawing.signs import ASCII
from ltx_tui.screens.scenes import ScenesScreen
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, run_app, shown, still
from tests.tui.frames.reading import Reader
from tests.tui.scenes.studio import (
    CUTS,
    FRAMES,
    Studio,
    book_of,
    listed,
    opened,
    states,
    text,
    toasts,
    until,
    wholes,
)

WHOLES = [(0, 60), (60, 100), (100, 180), (180, 250), (250, 300)]


# Looks


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_scenes_look_as_before(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "space", "m")
        assert_snapshot(bench, f"scenes-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


def test_the_cursor_looks_as_before(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "z", "right", "right", "full_stop")
        assert_snapshot(bench, "scenes-cursor-80x24")

    run_app(bench, steps)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (200, 60)])
def test_all_is_readable_at_any_size(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        lines = shown(bench)
        assert lines[0].startswith(" film.mp4 · 5 scenes")
        assert lines[1].startswith(" content 27 · guard 1 · held 15 frames")
        assert "threshold 27 - -" in text(bench)
        assert "0:02.5" in text(bench)
        assert "first 0" in text(bench) or size[0] < 80
        assert all(len(line) <= size[0] for line in lines)

    run_app(bench, steps, size=size)


def test_a_terminal_without_unicode(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot)
        book = book_of(bench)
        await bench.push_screen(ScenesScreen(book, book.videos[0], how=ASCII))
        await until(pilot, lambda: book.videos[0].scenes)
        await pilot.press("space", "full_stop")
        await still(pilot)
        assert all(line.isascii() for line in shown(bench)[1:-1])
        assert "..|=====^====|=" in text(bench)

    run_app(bench, steps)


def test_what_is_found_comes_while_it_is_looked_for(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        studio.gate.clear()
        await listed(pilot, "enter")
        await until(pilot, lambda: book_of(bench).videos[0].scores)
        await pilot.pause(0.6)
        await still(pilot)
        assert "▶ looking 50%, 2 cuts" in shown(bench)[0]
        assert "Scenes are looked for" in text(bench)
        plot = [line for line in shown(bench)[2:8] if set(line) - {" ", "⠒", "⠤", "⢀"}]
        assert plot
        assert all(len(line) < 60 for line in plot[:2])  # nothing is known of the second half
        await pilot.press("m", "s", "space")  # nothing to do yet
        studio.gate.set()
        await until(pilot, lambda: book_of(bench).videos[0].scenes)
        await still(pilot)
        assert "5 scenes" in shown(bench)[0]

    run_app(bench, steps)


def test_a_video_that_cannot_be_read_says_why_and_is_looked_at_again(
    bench: Workbench, studio: Studio
) -> None:
    studio.faults["film.mp4"] = MediaError("is not a video", remedy="export it again")

    async def steps(pilot: Pilot[Any]) -> None:
        await listed(pilot, "enter")
        await until(pilot, lambda: book_of(bench).videos[0].fault)
        await still(pilot)
        assert "✗ is not a video" in text(bench)
        assert "→ export it again" in text(bench)
        studio.faults.clear()
        await pilot.press("f5")
        await until(pilot, lambda: book_of(bench).videos[0].scenes)

    run_app(bench, steps)


def test_a_second_visit_needs_no_look(bench: Workbench, studio: Studio, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "escape")
        book_of(bench).videos[0].forget()  # as in another session
        await pilot.press("enter")
        await until(pilot, lambda: book_of(bench).videos[0].scenes)
        assert len(studio.asked) == 1

    run_app(bench, steps)


# Moving


def test_moving_through_scenes_shows_their_ends(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "down", "k", "up", "j", "j")
        assert screen.list.cursor == 2
        await until(pilot, lambda: len(reader.asks) >= 2 and reader.asks[-1].at == 178)
        assert [ask.at for ask in reader.asks[-2:]] == [101, 178]
        await still(pilot)
        assert "first 101" in text(bench)
        assert "last 178" in text(bench)
        await pilot.press("G")
        assert screen.list.cursor == 4
        await pilot.press("g")
        assert screen.list.cursor == 0

    run_app(bench, steps)


def test_a_held_key_reads_only_where_it_rests(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        await until(pilot, lambda: len(reader.asks) == 2)
        for _ in range(3):
            screen.do_down()
        await until(pilot, lambda: len(reader.asks) == 4)
        await still(pilot)
        assert [ask.at for ask in reader.asks] == [0, 58, 181, 248]

    run_app(bench, steps)


def test_the_cursor_goes_through_frames(bench: Workbench, reader: Reader) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "right")
        assert screen.frame == 61
        await pilot.press("left", "left", "left")
        assert (screen.frame, screen.list.cursor) == (58, 0)
        await pilot.press("full_stop")
        assert (screen.frame, screen.list.cursor) == (82, 1)
        await pilot.press("shift+right", "comma", "shift+left")
        assert screen.frame == 58
        await until(pilot, lambda: [ask.at for ask in reader.asks[-2:]] == [57, 58])
        await still(pilot)
        assert "begins 58" in text(bench)
        assert "frame 58 at 0:02.42" in text(bench)
        await pilot.press("comma", "comma", "comma", "comma")
        assert screen.frame == 0
        await pilot.press("G", "j")
        assert screen.frame is None
        await pilot.press("left")
        assert screen.frame == FRAMES - 2
        await pilot.press("escape")
        assert screen.frame is None
        assert bench.screen is screen

    run_app(bench, steps)


def test_zoom_shows_the_scene(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j")
        assert (screen.view.first, screen.view.end) == (0, FRAMES)
        await pilot.press("z")
        assert (screen.view.first, screen.view.end) == (48, 112)
        await pilot.press("z")
        assert screen.view.frames == FRAMES

    run_app(bench, steps)


def test_other_videos_are_next_and_previous(bench: Workbench, studio: Studio) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "n")
        assert screen.video.path.name == "tall.mov"
        await until(pilot, lambda: screen.video.scenes)
        await still(pilot)
        assert "video 2 of 3" in shown(bench)[0]
        await pilot.press("n", "n")
        assert "no more videos" in toasts(bench)
        await pilot.press("N", "N")
        assert screen.video.path.name == "film.mp4"
        book_of(bench).videos[0].is_picked = True
        await pilot.press("n")
        assert screen.video.path.name == "film.mp4"  # it is the only chosen one

    run_app(bench, steps, toasts=True)


# Choosing


def test_joining_splitting_leaving_out_and_undo(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        assert wholes(screen) == WHOLES
        await pilot.press("j", "m")
        assert wholes(screen) == [(0, 60), (60, 180), (180, 250), (250, 300)]
        assert screen.list.cursor == 1
        await pilot.press("full_stop", "s")
        assert wholes(screen)[1:3] == [(60, 84), (84, 180)]
        assert screen.list.cursor == 2
        await pilot.press("escape", "space")
        assert states(screen) == ["kept", "kept", "dropped", "kept", "kept"]
        await still(pilot)
        assert "1 joined · 1 split · 1 left out" in shown(bench)[1]
        assert "→ 003" in next(line for line in shown(bench) if "0:07.5" in line)
        await pilot.press("k", "space")
        assert "dropped" not in states(screen)
        for _ in range(3):
            await pilot.press("u")
        assert wholes(screen) == [(0, 60), (60, 180), (180, 250), (250, 300)]
        await pilot.press("u")
        assert wholes(screen) == WHOLES
        await pilot.press("u")
        assert "nothing to take back" in toasts(bench)

    run_app(bench, steps, toasts=True)


def test_all_is_forgotten_and_brought_back(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "m", "space", "backspace")
        assert wholes(screen) == WHOLES
        assert set(states(screen)) == {"kept"}
        await pilot.press("u")
        assert len(wholes(screen)) == 4
        await pilot.press("u", "u", "backspace", "backspace")
        assert wholes(screen) == WHOLES

    run_app(bench, steps)


def test_what_makes_no_sense_is_said(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "s", "G", "m")
        assert "no frame to split at" in toasts(bench)
        assert "no next scene" in toasts(bench)
        await pilot.press("k", "right", "left", "s")
        assert "begins at frame 180 already" in toasts(bench)
        assert wholes(screen) == WHOLES

    run_app(bench, steps, toasts=True)


def test_choices_survive_leaving_and_another_session(
    bench: Workbench, project: Project, studio: Studio
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "m", "plus", "escape", "enter")
        assert wholes(bench.screen) == [(0, 60), (60, 180), (180, 250), (250, 300)]  # type: ignore[arg-type]

    run_app(bench, steps)
    with SceneStore(project.state_dir) as store:
        choices = store.choices(project.root / "film.mp4")
    assert choices is not None
    assert (choices.joined, choices.finding.threshold) == ((100,), 28)
    again = Workbench(project.root, project)

    async def more(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        assert wholes(screen) == [(0, 60), (60, 180), (180, 250), (250, 300)]
        assert screen.video.choices == choices
        assert len(studio.asked) == 1

    run_app(again, more)


def test_choices_are_on_the_disk_at_once(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "m")

        def kept() -> tuple[int, ...]:
            with SceneStore(project.state_dir) as store:
                choices = store.choices(project.root / "film.mp4")
            return choices.joined if choices is not None else ()

        await until(pilot, lambda: kept() == (CUTS[0],))

    run_app(bench, steps)
