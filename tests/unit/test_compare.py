"""Kept frames beside decoded ones, PSNR, and the outline of a sound."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import MediaError
from engine.media.arrays import Pixels
from engine.media.compare import pairs, squared_error, to_bucket
from engine.media.envelope import MOST_COLUMNS, envelope
from engine.media.frames import FrameRequest, iter_frames
from engine.media.geometry import fit
from engine.media.loudness_types import dbfs
from engine.media.probe import probe
from engine.media.psnr import decibels
from tests.media_clips import Sound as Track
from tests.media_clips import grey, index_of, make_sound, make_video, tone


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 60 frames that tell their numbers, with a key frame every 12, and a sine as sound."""
    folder = tmp_path_factory.mktemp("clips")
    return make_video(
        folder / "clip.mp4", [grey(i) for i in range(60)], sound=Track(samples=sine(2.5))
    )


def sine(seconds: float, height: float = 0.5, rate: int = 48000) -> Any:
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat(height * np.sin(2 * np.pi * 440 * t)[None], 2, axis=0).astype(np.float32)


def number_of(pixels: Pixels) -> int:
    return index_of(pixels.astype(np.float64) / 127.5 - 1)


# PSNR


def test_psnr_of_equal_pictures_is_infinite() -> None:
    same = np.full((4, 4, 3), 77, np.uint8)
    assert decibels(squared_error(same, same)) == math.inf


def test_psnr_of_a_known_difference() -> None:
    black, off = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 5, np.uint8)
    assert squared_error(black, off) == 25
    assert decibels(25) == pytest.approx(34.1514, abs=1e-4)
    assert decibels(255**2) == 0
    assert squared_error(np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)) == 255**2
    with pytest.raises(ValueError, match="not negative"):
        decibels(-1)


def test_pixels_are_those_that_the_encoder_gets() -> None:
    source = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    place = fit(160, 90, 64, 64)
    planar = torch.from_numpy(source).permute(2, 0, 1).float().div(255)
    scaled = torch.nn.functional.interpolate(
        planar[None], (place.height, place.width), mode="bicubic", antialias=True
    )[0]
    wanted = scaled[:, place.top : place.top + 64, place.left : place.left + 64]
    wanted = wanted.clamp(0, 1).permute(1, 2, 0) * 255
    got = to_bucket(source.astype(np.float32), place)
    assert np.abs(got - wanted.numpy()).max() < 0.01


@pytest.mark.parametrize("fps", [None, Fraction(12)])
def test_kept_frames_are_those_that_the_encoder_gets(
    clip: Path, tmp_path: Path, fps: Fraction | None
) -> None:
    found = probe(clip)
    request = FrameRequest(width=32, height=32, frames=9, start=0.5, fps=fps)
    wanted = [((frame + 1) * 127.5).permute(1, 2, 0) for frame in iter_frames(clip, found, request)]
    decoded = make_video(tmp_path / "decoded.mp4", [grey(i, 32, 32) for i in range(9)])
    got = list(
        pairs(
            clip,
            found,
            decoded,
            probe(decoded),
            fit(64, 48, 32, 32),
            frames=9,
            start=0.5,
            fps=fps,
        )
    )
    assert len(got) == 9
    for one, want in zip(got, wanted, strict=True):
        assert np.abs(one.source - want.numpy()).max() < 0.02
    assert [number_of(one.decoded) for one in got] == list(range(9))
    assert got[0].error > 0


def test_a_decoded_clip_of_another_size_is_refused(clip: Path) -> None:
    found = probe(clip)
    with pytest.raises(MediaError, match="is 64x48x60, and the bucket is 32x32x9"):
        next(pairs(clip, found, clip, found, fit(64, 48, 32, 32), frames=9))


def test_an_image_is_held_against_its_decoded_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64), (10, 200, 30)).save(path)
    Image.new("RGB", (32, 32), (10, 200, 33)).save(tmp_path / "b.png")
    other = tmp_path / "b.png"
    [pair] = pairs(path, probe(path), other, probe(other), fit(64, 64, 32, 32), frames=1)
    assert pair.error == pytest.approx(3)


# Sound


def test_the_envelope_of_a_sine(clip: Path) -> None:
    found = envelope(clip, probe(clip), 50)
    assert found is not None
    assert found.high[5:-5] == pytest.approx(0.5, abs=0.02)
    assert found.low[5:-5] == pytest.approx(-0.5, abs=0.02)
    assert found.rms[5:-5] == pytest.approx(0.5 / math.sqrt(2), abs=0.01)
    assert found.peak == pytest.approx(0.5, abs=0.05)
    assert dbfs(found.peak) == pytest.approx(-6.02, abs=0.5)
    assert dbfs(0) == -math.inf


def test_a_late_sound_begins_late(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "late.mkv",
        [grey(i) for i in range(48)],
        sound=Track(samples=sine(1.0), start=1.0, codec="pcm_s16le"),
    )
    found = envelope(path, probe(path), 20)
    assert found is not None
    assert (found.high[:9] == 0).all()
    assert (found.high[11:19] > 0.45).all()


def test_a_clip_without_sound_has_no_envelope(tmp_path: Path) -> None:
    path = make_video(tmp_path / "mute.mp4", [grey(0)] * 3)
    assert envelope(path, probe(path), 10) is None


def test_a_sound_file_has_an_envelope(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", Track(samples=tone(0.5), codec="pcm_s16le"))
    found = envelope(path, probe(path), 10)
    assert found is not None
    assert (found.high > 0.3).all()
    with pytest.raises(ValueError, match="columns"):
        envelope(path, probe(path), MOST_COLUMNS + 1)
