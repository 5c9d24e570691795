"""A workbench of four clips whose frames come from a made-up child."""

from __future__ import annotations

import pytest

from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.children.frames import FramesChild
from ltx_tui.terminal import graphics
from tests.tui.frames.reading import (
    Reader,
    bench_of,
)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return what answers in the child's stead, in as many colours as there are."""
    made = Reader()
    monkeypatch.setattr(FramesChild, "show", lambda child, ask: made.show(child, ask))
    monkeypatch.setattr("ltx_tui.widgets.frame_strip.depth_of", lambda _app: "truecolor")
    monkeypatch.setattr("ltx_tui.screens.frames.depth_of", lambda _app: "truecolor")
    return made


@pytest.fixture
def bench(project: Project, quiet: None) -> Workbench:
    """Return the workbench of four clips."""
    return bench_of(project)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written to the terminal beside the text."""
    written: list[str] = []
    monkeypatch.setattr(graphics, "write", lambda _app, text, **_: written.append(text))
    return written
