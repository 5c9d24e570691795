"""Projects for the tests on terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.client import open_project
from tests.terminal.terminal import Terminal
from tests.tui.conftest import make_project
from tests.workers import ENCODER, end_worker, text_project

Make = Callable[..., Path]
Open = Callable[..., Terminal]

# Seconds for a program to start on a busy machine.
START = 60


@pytest.fixture
def make(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Return a maker of projects whose captions the encoder of `tests.fake_encoder` obeys.

    Their workers are ended, whatever becomes of the test.
    """
    for name, value in {**ENCODER, "FAKE_LOG": str(tmp_path / "written")}.items():
        monkeypatch.setenv(name, value)
    made: list[Path] = []

    def project(*captions: str) -> Path:
        root = tmp_path / f"p{len(made)}"
        text_project(root, models, list(captions))
        (root / "project.toml").write_text(
            f'[models]\ncheckpoint = "{models[0]}"\ntext_encoder = "{models[1]}"\n'
            '[text]\nbatch_size = 1\n[run]\ndevice = "cpu"\n'
        )
        made.append(root)
        return root

    yield project
    for root in made:
        end_worker(open_project(root))


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own configuration and terminal out of the way of the workbench."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TMUX", "SSH_CONNECTION", "LTX_TUI_THEME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path, plain: None) -> Path:
    """Return the folder of a project of six clips whose files are empty."""
    return make_project(tmp_path / "bunny-lora").root


@pytest.fixture
def workbench(folder: Path) -> Iterator[Open]:
    """Return an opener of workbenches that are on the screen; they are ended after the test."""
    opened: list[Terminal] = []

    def start(*arguments: str, is_leader: bool = True) -> Terminal:
        terminal = Terminal(folder, *arguments, is_leader=is_leader)
        opened.append(terminal)
        terminal.wait_for("1 Clips", START)
        terminal.wait_for("6 clips", START)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()
