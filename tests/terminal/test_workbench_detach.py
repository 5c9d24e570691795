"""Work goes on whatever becomes of the workbench, which finds it again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal.clean import is_clean
from tests.terminal.conftest import START, Make
from tests.terminal.grid import Grid, until, watched
from tests.terminal.terminal import Terminal, ltx_tui, status, until_done


def opened(root: Path, opened_ones: list[Terminal]) -> tuple[Terminal, Grid]:
    """Open the workbench of a project, and wait for its clips."""
    terminal = Terminal(root)
    opened_ones.append(terminal)
    grid = watched(terminal)
    until(terminal, grid, "▸ 000.mp4", START)
    return terminal, grid


@pytest.fixture
def ones(plain: None) -> Iterator[list[Terminal]]:
    """Return a list of terminals that are closed after the test."""
    found: list[Terminal] = []
    yield found
    for terminal in found:
        terminal.close()


def begin(root: Path, terminal: Terminal, grid: Grid) -> None:
    """Have the captions encoded while the workbench is open, which finds it out."""
    done = ltx_tui(root, "run", "--stages", "conditions", "--detach")
    assert done.returncode == 0, done.stderr
    until(terminal, grid, lambda: "● running" in grid.lines[0])
    until(terminal, grid, "conditions")


@pytest.mark.slow
def test_leaving_while_encoding_and_coming_back(make: Make, ones: list[Terminal]) -> None:
    root = make(*["slow 0.6"] * 12)
    terminal, grid = opened(root, ones)
    begin(root, terminal, grid)
    terminal.press("\x11")
    assert terminal.end() == 0
    assert is_clean(terminal)
    assert "the work goes on: `ltx-tui attach` shows it" in terminal.text
    assert [job["state"] for job in status(root)["jobs"]] == ["running"]
    again, seen = opened(root, ones)
    until(again, seen, "● running")
    again.press("4")
    until(again, seen, lambda: "[4 Jobs]" in seen.text and "/12" in seen.text)
    until(again, seen, "done", START)
    assert until_done(root)["done"] == 12
    again.press("\x11")
    assert again.end() == 0
    # Nothing goes on any more, and nothing is said.
    assert "the work goes on: " not in again.text


@pytest.mark.slow
@pytest.mark.parametrize("end", ["terminated", "window closed", "killed"])
def test_an_end_of_any_kind_leaves_the_work_alone(
    make: Make, ones: list[Terminal], end: str
) -> None:
    root = make(*["slow 0.3"] * 8)
    terminal, grid = opened(root, ones)
    begin(root, terminal, grid)
    if end == "terminated":
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert is_clean(terminal)
        assert "the work goes on" in terminal.text
    elif end == "killed":
        terminal.process.kill()
        assert terminal.process.wait(START) == -9
    else:
        assert terminal.hang_up() == 129
    assert until_done(root)["done"] == 8


@pytest.mark.slow
def test_a_terminal_that_nobody_reads_does_not_slow_the_work(
    make: Make, ones: list[Terminal]
) -> None:
    root = make(*["slow 0.2"] * 20)
    terminal, grid = opened(root, ones)
    begin(root, terminal, grid)
    # Nothing is read from here on; so many keys that its output fills whatever lies between.
    for _ in range(300):
        terminal.press("41")
    assert until_done(root)["done"] == 20
    assert terminal.process.poll() is None
    # It comes back by itself once somebody reads again.
    until(terminal, grid, lambda: "running" not in grid.lines[0], START)
    terminal.press("\x11")
    assert terminal.end() == 0
    assert is_clean(terminal)


def test_another_size_keeps_focus_place_and_what_was_typed(
    make: Make, ones: list[Terminal]
) -> None:
    root = make(*["ok"] * 40)
    terminal, grid = opened(root, ones)

    def resized(width: int, height: int, sign: str) -> None:
        grid.resize(width, height)
        terminal.resize(width, height)
        until(terminal, grid, sign)

    terminal.press("Gkkke")
    until(terminal, grid, "[2 Caption]")
    terminal.press("Typed in small. ")
    until(terminal, grid, "Typed in small. ok")
    resized(120, 40, "Typed in small. ok")
    until(terminal, grid, "▸ 036.mp4")
    terminal.press("And in large. ")
    until(terminal, grid, "Typed in small. And in large. ok")
    resized(59, 15, "60×16 is the least that fits")
    resized(80, 24, "Typed in small. And in large. ok")
    assert "[2 Caption]" in grid.text
    terminal.press("Again. \x1b")
    until(terminal, grid, lambda: "[1 Clips]" in grid.text and "▸ 036.mp4" in grid.text)
    terminal.press("\x11")
    assert terminal.end() == 0
    text = (root / "dataset.json").read_text("utf-8")
    assert "Typed in small. And in large. Again. ok" in text
