"""What the doctor finds in a set of clips, and what it does not do again."""

from __future__ import annotations

import os
import random
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import UsageError
from engine.findings import parse_codes
from engine.health import clip_set as health
from engine.media.health import Signs, Stretch, look
from engine.media.likeness import first_alike, picture_hash
from engine.media.probe import probe
from engine.project import Project
from tests.media_clips import Video, make_video
from tests.unit.health.conftest import (
    GOLDEN,
    Doctor,
    barred,
    codes,
    examine,
    moving,
    only,
    picture,
)


def test_copies_and_near_copies(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "a.mp4", moving(48))
    shutil.copy(tmp_path / "a.mp4", tmp_path / "copy.mp4")
    larger = [
        np.asarray(Image.fromarray(one).resize((192, 128), Image.Resampling.BICUBIC))
        for one in moving(48)
    ]
    make_video(tmp_path / "again.mkv", larger, Video(options={"qp": "30"}))
    make_video(tmp_path / "other.mp4", moving(48, seed=9))
    for name in ("s.png", "t.png"):
        Image.fromarray(picture(11)).save(tmp_path / name)
    Image.fromarray(picture(12)).save(tmp_path / "u.png")
    told = doctor(
        "a.mp4", "other.mp4", "copy.mp4", "again.mkv", "s.png", "u.png", "t.png",
        values={"video.buckets": "64x32x9;64x32x1"},
    )  # fmt: skip
    doubles = [(one.row, one.code) for one in told if "duplicate" in one.code]
    assert doubles == [(2, "duplicate"), (3, "near-duplicate"), (6, "duplicate")]
    assert "a.mp4 (row 1)" in only(told, "near-duplicate").text


def test_ten_thousand_clips_are_compared_with_one_another() -> None:
    draw = random.Random(3)
    clips: list[tuple[int | None, ...]] = [
        tuple(draw.getrandbits(64) for _ in range(8)) for _ in range(10_000)
    ]
    clips[9_999] = tuple(one ^ 0b10011 for one in clips[17] if one is not None)
    clips[500] = (*clips[400][:4], None, None, None, None)
    clips[600] = (*clips[401][:3], None, None, None, None, None)  # too little to tell
    assert first_alike(clips) == {9_999: 17, 500: 400}


def test_hashes_of_pictures() -> None:
    def small(luma: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(luma).resize((32, 32), Image.Resampling.BOX))

    one, other = picture_hash(small(picture(1))), picture_hash(small(picture(2)))
    larger = picture_hash(small(picture(1, width=960, height=640)))
    assert one is not None
    assert other is not None
    assert larger is not None
    assert (one ^ larger).bit_count() <= 4 < 16 < (one ^ other).bit_count()
    assert picture_hash(np.full((32, 32), 90, dtype=np.uint8)) is None


def test_clips_against_their_bucket_and_one_another(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "a.mp4", moving(9))
    make_video(tmp_path / "a.mov", moving(9, seed=3))
    Image.fromarray(picture(2)).save(tmp_path / "s.png")
    told = doctor("a.mp4", "a.mov", "s.png", values={"video.buckets": "192x128x9"})
    assert codes(told, 0) == ["collision", "upscaled"]
    assert codes(told, 1) == ["collision", "upscaled"]
    assert (
        "96x64 is enlarged 2 times for 192x128x9" in [one for one in told if one.row == 0][1].text
    )
    assert codes(told, 2) == ["no-bucket"]
    mixed = doctor("a.mp4", "s.png", values={"video.buckets": "96x64x9;96x64x1"})
    assert [(one.row, one.code) for one in mixed] == [(None, "mixed-media")]


def test_captions(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "a.mp4", moving(9))
    make_video(tmp_path / "b.mp4", moving(9, seed=1))
    told = doctor(
        {"media_path": "a.mp4", "caption": ""}, {"media_path": "b.mp4", "caption": "word " * 2000}
    )
    assert codes(told, 0) == ["caption-empty"]
    assert "caption-long" in codes(told, 1)
    assert "about 2,326 tokens" in only(told, "caption-long").text


def test_pairs(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "a.mp4", moving(24))
    make_video(tmp_path / "rate.mp4", moving(24), Video(fps=Fraction(23)))
    make_video(tmp_path / "shape.mp4", moving(24, width=64))
    make_video(tmp_path / "long.mp4", moving(48))
    make_video(tmp_path / "short.mp4", moving(5))
    names = ("rate.mp4", "shape.mp4", "long.mp4", "short.mp4", "a.mp4")
    for name in names:
        shutil.copy(tmp_path / "a.mp4", tmp_path / f"of_{name}")
    pairs = [{"media_path": f"of_{name}", "reference": name} for name in names[:-1]]
    pairs.append({"media_path": "a.mp4", "reference": "a.mp4"})
    told = doctor(*pairs, values={"dataset.reference_column": "reference"})
    assert [(one.row, one.code) for one in told if one.code.startswith("pair")] == [
        (0, "pair-rate"),
        (1, "pair-shape"),
        (2, "pair-length"),
        (3, "pair-blocked"),
        (4, "pair-same"),
    ]


def test_a_second_look_reads_nothing_again(
    tmp_path: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", [barred(one, top=8) for one in moving(24)])
    told = doctor("a.mp4")
    seen: list[Path] = []

    def again(path: Path, found: object, **_: object) -> Signs:
        seen.append(path)
        return Signs(black=(Stretch(0.0, 1.0),))

    monkeypatch.setattr(health, "look", again)
    assert doctor("a.mp4") == told
    assert seen == []
    os.utime(tmp_path / "a.mp4", ns=(1, 1))
    assert "black" in codes(doctor("a.mp4"))
    assert seen == [tmp_path / "a.mp4"]


def test_long_clips_are_looked_through_by_their_key_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.media.health._LONG", 1.0)
    black = [np.full((64, 96), 16, dtype=np.uint8)] * 48
    path = make_video(tmp_path / "a.mp4", [*moving(48), *black], Video(gop=12))
    (stretch,) = look(path, probe(path)).black
    assert (stretch.begin, stretch.end) == (2.0, 4.0)


def test_a_clip_that_takes_too_long_is_told(
    tmp_path: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "a.mp4", moving(24))
    monkeypatch.setattr("engine.media.health._PATIENCE", -1.0)
    assert codes(doctor("a.mp4")) == ["seen-in-part"]


def test_codes_that_are_to_be_mended() -> None:
    assert parse_codes("vfr, hdr,vfr") == ("vfr", "hdr")
    with pytest.raises(UsageError, match="nothing mends 'vrf'") as caught:
        parse_codes("vrf")
    assert "vfr" in caught.value.remedy
    with pytest.raises(UsageError):
        parse_codes(" , ")


def test_the_odd_clips_of_the_golden_data(tmp_path: Path) -> None:
    if not (GOLDEN / "README.md").is_file():
        pytest.skip(f"no golden data at {GOLDEN}; set LTX_TUI_GOLDEN to its folder")
    project = Project.defaults(tmp_path)
    values = {
        "dataset.path": GOLDEN / "clips" / "odd.json",
        "video.buckets": "256x160x17;160x256x17;192x192x25",
    }
    told = examine(project, values)
    assert [(one.clip, one.code, one.severity) for one in told] == [
        ("rotated_90.mp4", "odd-fps", "warning"),
        ("rotated_90.mp4", "rotated", "note"),
        ("vfr.mp4", "vfr", "warning"),
        ("hdr10.mp4", "hdr", "error"),
        ("hdr10.mp4", "odd-fps", "warning"),
        ("bad/truncated_data.mp4", "too-short", "error"),
        ("bad/truncated_data.mp4", "truncated", "warning"),
        ("bad/empty.mp4", "unreadable", "error"),
        ("bad/text.mp4", "unreadable", "error"),
        ("bad/too_short.mp4", "too-short", "error"),
        ("dup/a.mp4", "collision", "error"),
        ("dup/a.mov", "collision", "error"),
        ("stills/still.png", "no-bucket", "error"),
        ("", "mixed-media", "warning"),
    ]
    assert all(one.remedy for one in told)
