"""Pieces that are copied from key frame to key frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.media.cut_copy import Copied, copy, copy_suffix
from engine.media.probe import probe
from engine.media.scene_options import Choosing, Cutting, Finding
from engine.media.scene_types import CutPiece, Found, pieces
from engine.media.scenes import find
from tests.media_clips import Sound, Video, tone
from tests.scene_videos import SHOTS, make_shots, pixels, samples, with_tone
from tests.unit.test_cut import TURN, target


def copy_all(path: Path, folder: Path, found: Found, trim: int = 0) -> list[Copied]:
    wanted = [
        CutPiece(piece=one, target=folder / f"{one.number}{copy_suffix(path, audio=True)}")
        for one in pieces(found, Choosing(trim=trim))
    ]
    return list(copy(path, found, wanted, Cutting(copy=True)))


def test_copied_pieces_hold_no_frame_of_another_scene(tmp_path: Path) -> None:
    """And say which of their own they have."""
    video = Video(gop=10, options={"bf": "2", "sc_threshold": "0"})
    path = make_shots(tmp_path / "film.mp4", video=video, sound=with_tone())
    found = find(path, Finding()).found
    source = pixels(path)
    copied = copy_all(path, tmp_path, found)
    assert [one.error for one in copied] == [None] * 4
    for (one, kept, _), begin in zip(copied, (0, 40, 80, 130), strict=True):
        assert kept.first == begin  # the first key frame of the scene
        assert one.piece.scene.end - 4 <= kept.end <= one.piece.scene.end
        assert np.array_equal(pixels(target(one)), source[kept.first : kept.end])
        got = probe(target(one))
        assert got.fps == 24
        assert abs(got.audio[0].start) <= 1024 / 48000
        assert got.audio[0].duration == pytest.approx(kept.frames / 24, abs=2 * 1024 / 48000)


def test_copied_sound_stays_in_place(tmp_path: Path) -> None:
    wave = tone(sum(SHOTS) / 24)
    path = make_shots(
        tmp_path / "film.mkv", video=Video(gop=10), sound=Sound(samples=wave, codec="flac")
    )
    copied = copy_all(path, tmp_path, find(path, Finding()).found)
    assert [one.error for one in copied] == [None] * 4
    for one, kept, _ in copied[1:]:
        got, start = samples(target(one))
        begin = round(kept.first / 24 * 48000) + start
        count = min(got.shape[1], 30000)
        errors = {
            lag: float(np.abs(got[:, :count] - wave[:, begin + lag : begin + lag + count]).mean())
            for lag in range(-96, 97, 12)
        }
        # Matroska's timestamps of both are whole milliseconds: 48 samples.
        assert abs(min(errors, key=lambda lag: errors[lag])) <= 48


def test_copied_turned_videos_stay_turned(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mp4", (20, 20), video=Video(gop=5, matrix=TURN))
    copied = copy_all(path, tmp_path, find(path, Finding()).found)
    assert probe(target(copied[0].one)).rotation == probe(path).rotation


def test_a_scene_without_a_key_frame_fails_alone(tmp_path: Path) -> None:
    video = Video(gop=300, options={"sc_threshold": "0"})
    path = make_shots(tmp_path / "film.mp4", video=video)
    copied = copy_all(path, tmp_path, find(path, Finding()).found)
    assert copied[0].error is None
    assert all("no key frame" in str(one.error) for one in copied[1:])
    assert [one.name for one in sorted(tmp_path.glob("*.mp4"))] == ["1.mp4", "film.mp4"]


def test_codecs_that_mp4_lacks_are_copied_into_matroska(tmp_path: Path) -> None:
    path = make_shots(tmp_path / "film.mkv", (12, 12), video=Video(codec="ffv1"))
    copied = copy_all(path, tmp_path, find(path, Finding(min_scene_length=5)).found)
    assert [target(one.one).name for one in copied] == ["1.mkv", "2.mkv"]
    source = pixels(path)
    assert np.array_equal(pixels(tmp_path / "2.mkv"), source[12:])
