"""Shared fixtures; torch is kept to one thread so that parallel test processes share the cores."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm_encoder import waiting

os.environ.setdefault("OMP_NUM_THREADS", "1")
# oneDNN takes AMX for large convolutions and other kernels for tiny ones, which round otherwise:
# of toy sizes a chunk and the whole clip would differ in the last bit.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a toy checkpoint and a toy language model."""
    from engine.models.toy import make_toy_models  # torch, only where it is needed

    toy = make_toy_models(tmp_path_factory.mktemp("toy"))
    return toy.checkpoint, toy.text_encoder


@pytest.fixture(scope="session")
def warm() -> Iterator[dict[str, str]]:
    """Have encoders ready; return the variables with which they are used."""
    with waiting() as variables:
        yield variables


@pytest.fixture
def warm_encoder(warm: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make jobs use the real encoder with its libraries loaded already."""
    for name, value in warm.items():
        monkeypatch.setenv(name, value)
