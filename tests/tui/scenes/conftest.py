"""A workbench over a folder with videos, whose scenes come from a made-up child."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.overview.file import FILE, write_overview
from engine.project import Project, load_project
from ltx_tui.app import Workbench
from ltx_tui.children.frames import FramesChild
from tests.tui.frames.reading import Reader
from tests.tui.rows import make_overview
from tests.tui.scenes.studio import Studio

SIZES = {"film.mp4": 18_400_000, "raw/tall.mov": 6_840_000, "scene-0000.mp4": 510}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project of one clip, in a folder with two videos that are none."""
    root = tmp_path / "bunny-lora"
    (root / "raw").mkdir(parents=True)
    for name, size in SIZES.items():
        (root / name).touch()
        os.truncate(root / name, size)
    (root / "dataset.json").write_text(
        json.dumps([{"caption": "A rabbit.", "media_path": "scene-0000.mp4"}])
    )
    (root / "project.toml").write_text('[video]\nbuckets = "960x544x49"\n')
    return load_project(root / "project.toml")


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    """Return what answers in the child's stead."""
    made = Studio()
    monkeypatch.setattr("ltx_tui.scenes.book.split", made.split)
    monkeypatch.setattr("ltx_tui.scenes.cut.split", made.split)
    return made


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return what reads frames in the child's stead."""
    made = Reader()
    monkeypatch.setattr(FramesChild, "show", lambda child, ask: made.show(child, ask))
    monkeypatch.setattr("ltx_tui.widgets.frame_strip.depth_of", lambda _app: "truecolor")
    return made


@pytest.fixture
def bench(project: Project, quiet: None, studio: Studio, reader: Reader) -> Workbench:
    """Return the workbench."""
    write_overview(project.state_dir / FILE, make_overview(1))
    return Workbench(project.root, project)
