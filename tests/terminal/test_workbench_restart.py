"""The next start is where the last one ended: clip, filter, scroll, pane, theme, what was typed."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import psutil
import pytest

from tests.terminal.conftest import START, Open
from tests.terminal.grid import until, watched
from tests.terminal.terminal import Terminal
from tests.tui.conftest import make_project


def captions(folder: Path) -> list[str]:
    """Return the captions of the dataset file."""
    return [row["caption"] for row in json.loads((folder / "dataset.json").read_text("utf-8"))]


def test_all_is_where_it_was(tmp_path: Path, plain: None) -> None:
    folder = make_project(
        tmp_path / "long", [f"a {'bird' if n % 3 else 'fox'} number {n}" for n in range(90)]
    ).root
    first = Terminal(folder)
    try:
        grid = watched(first)
        until(first, grid, lambda: "90 clips" in grid.lines[0])
        # Another theme, by the palette.
        first.press("\x10")
        until(first, grid, "All commands")
        first.press("change the theme\r")
        until(first, grid, "enter keep")
        first.press("jj\r")
        until(first, grid, lambda: "enter keep" not in grid.text)
        # A filter, a place far down, scrolled so that the cursor is not at an edge.
        first.press("/")
        first.press("text:bird\r")  # ahead of what is drawn
        until(first, grid, "60 of 90 · /text:bird")
        first.press("Gkkkk")
        until(first, grid, "▸ clip-83.mp4")
        rows = [line.split()[0:2] for line in grid.lines if "clip-" in line]
        # What is typed into the caption, and left there.
        first.press("e")
        until(first, grid, "[2 Caption]")
        first.press("Bright. ")
        until(first, grid, "Bright.")
        first.press("\x11")
        assert first.end() == 0
    finally:
        first.close()
    assert captions(folder)[83] == "Bright. a bird number 83"
    theme = tomllib.loads((tmp_path / "config" / "ltx-tui" / "config.toml").read_text())["theme"]

    second = Terminal(folder)
    try:
        grid = watched(second)
        until(second, grid, "[2 Caption]")
        until(second, grid, "Bright. a bird number 83")
        second.press("\x1b")
        until(second, grid, lambda: "[1 Clips]" in grid.text and "▸ clip-83.mp4" in grid.text)
        until(second, grid, "60 of 90 · /text:bird")
        assert [line.split()[0:2] for line in grid.lines if "clip-" in line] == rows
        second.press("\x10")
        until(second, grid, "All commands")
        second.press("change the theme\r")
        until(second, grid, "so far")
        assert theme in next(line for line in grid.lines if "so far" in line)
        assert theme != "ltx-dark"
    finally:
        second.close()


@pytest.mark.parametrize("how", ["killed", "closed without a signal"])
def test_what_was_typed_survives_any_end(workbench: Open, folder: Path, how: str) -> None:
    terminal = workbench(is_leader=how == "killed")
    grid = watched(terminal)
    until(terminal, grid, "▸ clip-0.mp4")
    terminal.press("e")
    until(terminal, grid, "[2 Caption]")
    terminal.press("Typed here. ")
    until(terminal, grid, "Typed here. A rabbit.")
    if how == "killed":
        terminal.read(1.0)
        terminal.process.kill()
        assert terminal.process.wait(START) == -9
    else:
        # No hangup comes: the terminal was never the session's own.
        busy = psutil.Process(terminal.process.pid)
        os.close(terminal._primary)
        terminal._primary = -1
        assert terminal.process.wait(20) != 0
        assert not busy.is_running()
        assert captions(folder)[0] == "Typed here. A rabbit."
    again = workbench()
    grid = watched(again)
    until(again, grid, "Typed here. A rabbit.")
    again.press("\x11")
    assert again.end() == 0
    assert captions(folder)[0] == "Typed here. A rabbit."
