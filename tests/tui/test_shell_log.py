"""The log: several files in one list, followed, searched, copied."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.screens.log import LogScreen
from ltx_tui.worker.log_view import Entry, LogView, files_of
from tests.tui.conftest import SMALL, WIDE, alone, assert_snapshot, run_app, shown, still


@pytest.fixture
def logs(project: Project) -> Path:
    """Return the folder of logs of a project that has run."""
    folder = project.state_dir / "logs"
    folder.mkdir(parents=True)
    (folder / "worker.log").write_text(
        "2026-01-02 10:00:00,000 INFO engine.worker: job 1 begins\n"
        "2026-01-02 10:00:01,000 WARNING engine.worker: the GPU is shared\n"
        "2026-01-02 10:00:02,000 ERROR engine.worker: the encoder died\n",
        "utf-8",
    )
    lines = [f"clip {number} took {number}.5 s\n" for number in range(60)]
    (folder / "encoder-cuda-0.log").write_text("".join(lines), "utf-8")
    return folder


async def open_log(app: Workbench, pilot: Pilot[Any], lines: int = 63) -> LogScreen:
    """Open the log, and wait until all of it is there."""
    await pilot.press("f4")
    screen = app.screen
    assert isinstance(screen, LogScreen)
    await wait_for(pilot, lambda: len(screen._view.shown) >= lines and not screen._has_news)
    return screen


async def wait_for(pilot: Pilot[Any], done: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not done():
            await pilot.pause(0.02)


# The lines


def test_all_is_kept_and_some_is_shown() -> None:
    view = LogView(kept=4)
    for number in range(3):
        view.add(Entry("worker", f"line {number}"))
    assert not LogView().shown
    view.choose(words="LINE 1")
    assert [one.text for one in view.shown] == ["line 1"]
    assert view.add(Entry("worker", "another line 1"))
    assert not view.add(Entry("worker", "another line 2"))
    view.choose(words="")
    assert len(view.shown) == 4
    assert view.dropped == 1
    assert view.summary == "worker and encoders · 4 lines · 1 older ones not kept"


def test_sources_take_turns() -> None:
    view = LogView()
    view.add(Entry("worker", "a"))
    view.add(Entry("encoder-cuda-0", "b"))
    seen = {}
    for _ in range(3):
        view.choose(source=view.next_source())
        seen[view.source] = "".join(one.text for one in view.shown)
    assert seen == {"worker": "a", "encoders": "b", "all": "ab"}


def test_the_newest_file_of_each_log_is_found(logs: Path) -> None:
    (logs / "worker.log.1").touch()
    (logs / "other.txt").touch()
    assert [file.name for file in files_of(logs)] == ["worker.log", "encoder-cuda-0.log"]


# The screen


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_looks_as_it_did(project: Project, logs: Path, size: tuple[int, int]) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_log(app, pilot)
        await pilot.press("s")
        await still(pilot)
        assert_snapshot(app, f"log-{size[0]}x{size[1]}")

    run_app(app, steps, size=size)


def test_without_logs_it_says_so(project: Project) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_log(app, pilot, 0)
        assert "nothing logged" in "\n".join(shown(app))

    run_app(app, steps)


def test_the_end_is_followed_until_one_goes_up(project: Project, logs: Path) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_log(app, pilot)

        def add(text: str) -> None:
            with (logs / "encoder-cuda-0.log").open("a") as file:
                file.write(text + "\n")

        add("one more")
        await wait_for(pilot, lambda: any("one more" in line for line in shown(app)))
        await pilot.press("k", "k")
        assert not screen._is_following
        at = screen._list.cursor
        add("and another")
        await wait_for(pilot, lambda: len(screen._view.shown) == 65)
        await pilot.pause()
        assert screen._list.cursor == at
        assert "not following" in shown(app)[0]
        await pilot.press("f")
        assert any("and another" in line for line in shown(app))
        await pilot.press("g")
        assert screen._list.cursor == 0
        await pilot.press("pagedown", "ctrl+u", "G")
        assert screen._is_following

    run_app(app, steps)


def test_words_are_found(project: Project, logs: Path) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_log(app, pilot)
        await pilot.press("slash", *"DIED", "enter")
        await pilot.pause()
        assert [one.text[-4:] for one in screen._view.shown] == ["died"]
        await pilot.press("slash", *"xyz")
        await pilot.pause()
        assert "no line has 'xyz'" in "\n".join(shown(app))
        await pilot.press("escape")
        assert len(screen._view.shown) == 63
        assert not screen.query_one(Input).display
        await pilot.press("escape")
        assert app.screen is not screen

    run_app(app, steps)


def test_a_long_line_is_shown_whole_below(project: Project, logs: Path) -> None:
    long = "x" * 90 + " the end of it"
    (logs / "worker.log").write_text(long + "\n", "utf-8")
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_log(app, pilot, 61)
        await pilot.press("s")
        await still(pilot)
        assert "the end of it" in "\n".join(shown(app))

    run_app(app, steps)


def test_what_is_shown_is_copied(project: Project, logs: Path) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_log(app, pilot)
        await pilot.press("s", "y")
        await pilot.pause()
        assert app.clipboard.splitlines()[0].endswith("job 1 begins")
        assert len(app.clipboard.splitlines()) == 3
        assert any("copied 3 lines" in one.message for one in app._notifications)

    run_app(app, steps)
