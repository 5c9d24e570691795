"""A tiny Qwen2.5-Omni and clips for it, for tests that name this module as a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.captioners.base import CaptionMedia, CaptionRequest
from engine.captioners.qwen_media import Encoded, Reader
from engine.captioners.qwen_omni import QwenOmni
from tests.qwen_models import make_thinker
from tests.small_set import write_clip


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_thinker(tmp_path_factory.mktemp("qwen") / "thinker")


@pytest.fixture(scope="session")
def model(folder: Path) -> QwenOmni:
    return QwenOmni.load(folder, "cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def reader(model: QwenOmni) -> Reader:
    return model.reader


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_clip(root / "wide.mp4", size=(320, 180), count=48)
    write_clip(root / "tall.mp4", size=(180, 320), count=30, seed=2)
    write_clip(root / "mute.mp4", size=(320, 180), count=30, sound=False, seed=3)
    return root


def asked(*, sound: bool = True, fps: float = 3.0) -> CaptionRequest:
    return CaptionRequest(instruction="Say it.", with_audio=sound, fps=fps)


def media(path: Path, kind: Any = "video") -> CaptionMedia:
    return CaptionMedia(path=path, kind=kind, has_audio=True, seconds=1.0)


def encoded(reader: Reader, path: Path, *, sound: bool = True) -> Encoded:
    return reader.encode(reader.read(media(path), asked(sound=sound)), "Say it.")
