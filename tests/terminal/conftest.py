"""Projects for the tests on terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.client import open_project
from tests.workers import ENCODER, end_worker, text_project

Make = Callable[..., Path]


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
