"""Scenes in the real program: found by its children, kept through other sizes and another visit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scene_videos import make_shots
from tests.terminal.clean import is_clean
from tests.terminal.conftest import START
from tests.terminal.grid import Grid, until, watched
from tests.terminal.terminal import Terminal

LENGTHS = (30, 24, 36, 22)
QUIT = "\x11"


@pytest.fixture
def root(tmp_path: Path, plain: None) -> Path:
    """Return a project without clips, in whose folder a video of four shots lies."""
    root = tmp_path / "lora"
    root.mkdir()
    make_shots(root / "film.mp4", LENGTHS, size=(160, 90))
    (root / "dataset.json").write_text("[]\n")
    (root / "project.toml").write_text('[video]\nbuckets = "160x96x17"\n')
    return root


@pytest.fixture
def ones() -> Iterator[list[Terminal]]:
    """Return a list of terminals that are closed after the test."""
    found: list[Terminal] = []
    yield found
    for terminal in found:
        terminal.close()


def opened(root: Path, opened_ones: list[Terminal]) -> tuple[Terminal, Grid]:
    """Open the scenes of the video, and wait for them and for their pictures."""
    terminal = Terminal(root)
    opened_ones.append(terminal)
    grid = watched(terminal)
    until(terminal, grid, "X cuts long videos", START)
    terminal.press("X")
    until(terminal, grid, "film.mp4", START)
    terminal.press("\r")
    until(terminal, grid, "film.mp4 · 4 scenes", START)
    until(terminal, grid, lambda: "first 0" in grid.text and "last 28" in grid.text, START)
    # Half a cell is the smallest part of a picture.
    until(terminal, grid, "▀▀▀▀▀▀▀▀", START)
    return terminal, grid


def test_scenes_stay_through_other_sizes_and_another_visit(
    root: Path, ones: list[Terminal]
) -> None:
    terminal, grid = opened(root, ones)

    def resized(width: int, height: int, sign: str) -> None:
        grid.resize(width, height)
        terminal.resize(width, height)
        until(terminal, grid, sign, START)

    terminal.press("j ")
    until(terminal, grid, "4 scenes · 3 kept", START)
    until(terminal, grid, "first 55", START)
    resized(120, 40, "4 scenes · 3 kept")
    until(terminal, grid, lambda: "first 55" in grid.text and "▀▀▀▀▀▀▀▀" in grid.text, START)
    terminal.press("m")
    until(terminal, grid, "3 scenes · 2 kept", START)
    resized(59, 15, "60×16 is the least that fits")
    resized(80, 24, "3 scenes · 2 kept")
    until(terminal, grid, "last 111", START)
    terminal.press(QUIT)
    assert terminal.end() == 0
    assert is_clean(terminal)
    # Nothing was cut, and what was chosen is there again.
    assert sorted(path.name for path in root.glob("[!.]*")) == [
        "dataset.json",
        "film.mp4",
        "project.toml",
    ]
    again = Terminal(root)
    ones.append(again)
    seen = watched(again)
    until(again, seen, "lora", START)
    if "film.mp4 · 3 scenes" not in seen.text:
        until(again, seen, "X cuts long videos", START)
        again.press("X")
        until(again, seen, "film.mp4", START)
        again.press("\r")
    until(again, seen, "film.mp4 · 3 scenes · 2 kept", START)
    again.press(QUIT)
    assert again.end() == 0
    assert is_clean(again)
