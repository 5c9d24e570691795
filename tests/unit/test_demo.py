"""The demo's folder and pictures; the whole demo is run in tests/terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import demo
from engine.child import ask
from engine.errors import EnvironmentFaultError, UsageError
from engine.precompute.roundtrip import psnr
from engine.worker.make_demo import edges


def test_only_empty_folders_and_our_own_are_taken(tmp_path: Path) -> None:
    assert not demo.check_folder(tmp_path / "new")
    assert not demo.check_folder(tmp_path)
    (tmp_path / "holiday.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match="not a demo's"):
        demo.check_folder(tmp_path)
    with pytest.raises(UsageError, match="this is a file"):
        demo.check_folder(tmp_path / "holiday.mp4")
    (tmp_path / demo.MARKER).write_text("")
    assert not demo.check_folder(tmp_path)
    (tmp_path / "project.toml").write_text("")
    assert demo.check_folder(tmp_path)


def test_clips_have_unlike_rates_shapes_and_sound() -> None:
    assert len({clip.fps for clip in demo.SCRIPT}) >= 4
    shapes = {np.sign(clip.size[0] - clip.size[1]) for clip in demo.SCRIPT}
    assert shapes == {-1, 0, 1}
    assert {bool(clip.pitch) for clip in demo.SCRIPT} == {True, False}
    assert len({clip.name for clip in demo.SCRIPT}) == len(demo.SCRIPT)


def test_edges_are_white_where_the_picture_changes() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 255
    found = edges(picture)
    assert found.shape == picture.shape
    assert found.dtype == np.uint8
    assert found[:, 3:5].min() == 255
    assert found[:, :2].max() == 0


def test_psnr_of_known_errors() -> None:
    clip = torch.zeros(3, 2, 4, 4)
    assert psnr(clip, clip) == 99.0
    # An error of 1/10 of the range of 2: 10 · log10(4 / 0.04) = 20 dB.
    assert psnr(clip, clip + 0.2) == pytest.approx(20.0, abs=1e-4)
    assert psnr(clip, clip + 2) == pytest.approx(0.0, abs=1e-4)


def test_a_child_that_fails_is_explained() -> None:
    with pytest.raises(EnvironmentFaultError, match="ended with status 1: NotADirectory"):
        list(ask("engine.worker.make_demo", "/dev/null/nowhere"))
