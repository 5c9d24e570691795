"""Fixtures that several files of unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.project import Project
from tests.workers import ENCODER, Make, end_worker, text_project


@pytest.fixture
def make(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Return a maker of projects of captions, with an encoder that obeys them; ends their workers.

    The encoder logs what it writes to `tmp_path / "written"`.
    """
    for name, value in {**ENCODER, "FAKE_LOG": str(tmp_path / "written")}.items():
        monkeypatch.setenv(name, value)
    made: list[Project] = []

    def project(*captions: str, **more: object) -> Project:
        made.append(text_project(tmp_path / f"p{len(made)}", models, list(captions), **more))
        return made[-1]

    yield project
    for one in made:
        end_worker(one)
