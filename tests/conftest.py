"""Shared fixtures; torch is kept to one thread so that parallel test processes share the cores."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a toy checkpoint and a toy language model."""
    from engine.models.toy import make_toy_models  # torch, only where it is needed

    toy = make_toy_models(tmp_path_factory.mktemp("toy"))
    return toy.checkpoint, toy.text_encoder
