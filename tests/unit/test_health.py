"""The doctor's findings: a made clip for each, and the odd clips of the golden data."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import health
from engine.errors import UsageError
from engine.health import findings, gather, looked
from engine.health_types import FIXES, Finding, parse_codes
from engine.kept import Kept
from engine.media.health import Signs, Stretch, look
from engine.media.likeness import first_alike, picture_hash
from engine.media.probe import probe
from engine.precompute.ledger import Ledger
from engine.project import Project, apply_overrides
from tests.media_clips import Sound, Video, cut_bytes, flat, from_luma, make_video, tone

GOLDEN = Path(
    os.environ.get("LTX_TUI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")
).resolve()
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
HD = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}


def picture(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Return luma with large shapes, another for each seed."""
    cells = np.random.default_rng(seed).integers(30, 230, (4, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))


def moving(count: int = 48, seed: int = 0, step: int = 3, **size: int) -> list[np.ndarray]:
    """Return frames of a picture that moves sideways."""
    return [np.roll(picture(seed, **size), step * k, axis=1) for k in range(count)]


Doctor = Callable[..., list[Finding]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Return what finds the faults of a dataset of clips in `tmp_path`."""

    def find(
        *media: str | Mapping[str, object], values: Mapping[str, object] | None = None
    ) -> list[Finding]:
        rows = [{"media_path": m} if isinstance(m, str) else m for m in media]
        rows = [{"caption": f"clip {k}", **row} for k, row in enumerate(rows)]
        (tmp_path / "dataset.json").write_text(json.dumps(rows))
        return examine(Project.defaults(tmp_path), {"video.buckets": "64x32x9", **(values or {})})

    return find


def examine(project: Project, values: Mapping[str, object]) -> list[Finding]:
    project = apply_overrides(project, values)
    with Ledger(project.state_dir) as ledger, Kept(project.state_dir) as kept:
        found = gather(project, ledger, lambda _done, _total: None)
        looks = {
            path: looked(path, plan.probe, kept, lambda: None)
            for path, plan in found.to_look_at.items()
            if plan.probe is not None
        }
        return findings(found, looks, ledger)


def codes(told: Sequence[Finding], row: int | None = 0) -> list[str]:
    return [one.code for one in told if one.row == row]


def only(told: Sequence[Finding], code: str) -> Finding:
    (one,) = [one for one in told if one.code == code]
    return one


def test_a_clip_in_which_all_is_well(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "a.mp4", moving(), sound=Sound(samples=tone(2.0)))
    make_video(tmp_path / "b.mp4", moving(seed=1), sound=Sound(samples=tone(2.0)))
    assert doctor("a.mp4", "b.mp4", values={"audio.enabled": True}) == []


def test_too_short_unreadable_and_missing(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "short.mp4", moving(5))
    (tmp_path / "empty.mp4").write_bytes(b"")
    told = doctor("short.mp4", "empty.mp4", "gone.mp4")
    assert codes(told, 0) == ["too-short"]
    assert "5 frames, and the shortest bucket has 9" in only(told, "too-short").text
    assert codes(told, 1) == ["unreadable"]
    assert codes(told, 2) == ["missing-file"]
    assert all(one.severity == "error" for one in told)


def test_damage_is_told_with_its_fix(tmp_path: Path, doctor: Doctor) -> None:
    front = {"movflags": "+faststart"}  # the index comes first, so that a part of it can be read
    whole = make_video(tmp_path / "whole.mp4", moving(48), Video(gop=8), container_options=front)
    cut_bytes(whole, tmp_path / "cut.mp4", 0.6)
    told = doctor("cut.mp4")
    assert codes(told) == ["truncated"]
    assert "of 48 frames decode" in told[0].text
    assert told[0].fix == FIXES["truncated"]


def test_rates_that_vary_or_differ_from_the_others(tmp_path: Path, doctor: Doctor) -> None:
    for name, seed in (("a.mp4", 0), ("b.mp4", 1), ("c.mp4", 2)):
        make_video(tmp_path / name, moving(seed=seed))
    make_video(tmp_path / "odd.mp4", moving(seed=3), Video(fps=Fraction(30000, 1001)))
    times = [4 * k + (3 if k % 5 == 0 else 0) for k in range(24)]
    vfr = Video(pts=times, time_base=Fraction(1, 96), b_frames=0)
    make_video(tmp_path / "vfr.mp4", moving(24, seed=4), vfr)
    told = doctor("a.mp4", "b.mp4", "c.mp4", "odd.mp4", "vfr.mp4")
    assert [(one.row, one.code) for one in told] == [(3, "odd-fps"), (4, "vfr")]
    assert only(told, "odd-fps").text.startswith("29.97 frames a second, and most clips have 24")
    # A rate for all is an answer to both; without a majority there is no odd one.
    assert codes(doctor("a.mp4", "odd.mp4", values={"video.fps": 24.0}), 1) == []
    assert codes(doctor("a.mp4", "odd.mp4"), None) == ["mixed-fps"]


def test_rotation_and_hdr(tmp_path: Path, doctor: Doctor) -> None:
    make_video(tmp_path / "turned.mp4", moving(), Video(matrix=TURNED))
    hdr = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    frames = [flat((400 + 9 * k, 512, 512), pix_fmt="yuv420p10le") for k in range(24)]
    make_video(
        tmp_path / "hdr.mp4",
        frames,
        Video(
            pix_fmt="yuv420p10le",
            codec="libx265",
            tags=hdr,
            options={"x265-params": "log-level=none"},
        ),
    )
    told = doctor("turned.mp4", "hdr.mp4")
    assert codes(told, 0) == ["rotated"]
    assert only(told, "rotated").severity == "note"
    assert codes(told, 1) == ["hdr"]
    assert (only(told, "hdr").severity, only(told, "hdr").fix) == ("error", "in SDR")
    mapped = doctor("hdr.mp4", values={"video.hdr": "tonemap"})
    assert only(mapped, "hdr").severity == "note"


def test_colour_tags_that_are_missing_or_wrong(tmp_path: Path, doctor: Doctor) -> None:
    frames = [from_luma(one, "yuv420p") for one in moving(9, width=1280, height=720)]
    for name, tags in (
        ("none.mp4", {}),
        ("good.mp4", HD),
        ("wrong.mp4", HD | {"colorspace": 6}),
    ):
        make_video(tmp_path / name, frames, Video(tags=tags))
    told = doctor("none.mp4", "good.mp4", "wrong.mp4")
    colours = [(one.row, one.code) for one in told if one.code.startswith("matrix")]
    assert colours == [(0, "matrix-missing"), (2, "matrix-wrong")]


def test_sound_that_is_missing_silent_late_or_short(tmp_path: Path, doctor: Doctor) -> None:
    quiet = np.zeros((2, 96000), np.float32)
    for seed, (name, sound) in enumerate(
        {
            "good.mp4": Sound(samples=tone(2.0)),
            "none.mp4": None,
            "silent.mp4": Sound(samples=quiet),
            "late.mp4": Sound(samples=tone(1.5), start=0.5),
            "short.mp4": Sound(samples=tone(1.0)),
        }.items()
    ):
        make_video(tmp_path / name, moving(seed=seed), sound=sound)
    names = ("good.mp4", "none.mp4", "silent.mp4", "late.mp4", "short.mp4")
    told = doctor(*names, values={"audio.enabled": True})
    assert [(one.row, one.code, one.severity) for one in told] == [
        (1, "audio-missing", "warning"),
        (2, "audio-silent", "warning"),
        (3, "audio-late", "warning"),
        (4, "audio-short", "warning"),
    ]
    # AAC is heard from one frame of 21 ms earlier.
    assert re.search(r"0\.(48|50) s after the picture", only(told, "audio-late").text)
    assert "1.00 s before the picture" in only(told, "audio-short").text
    assert {one.severity for one in doctor(*names)} == {"note"}
    failing = doctor(*names, values={"audio.enabled": True, "audio.silent": "fail"})
    assert codes(failing, 1) == ["blocked"]


def barred(frame: np.ndarray, **bars: int) -> np.ndarray:
    frame = frame.copy()
    height, width = frame.shape
    frame[: bars.get("top", 0)] = 16
    frame[height - bars.get("bottom", 0) :] = 16
    frame[:, : bars.get("left", 0)] = 16
    frame[:, width - bars.get("right", 0) :] = 16
    return frame


@pytest.mark.parametrize("bars", [{"top": 8, "bottom": 8}, {"left": 10, "right": 6}, {"top": 5}])
def test_black_bars(tmp_path: Path, doctor: Doctor, bars: dict[str, int]) -> None:
    frames = [barred(one, **bars) for one in moving(24)]
    lossy = Video(options={"qp": "24"})
    make_video(tmp_path / "a.mp4", frames, lossy)
    told = only(doctor("a.mp4"), "borders")
    even = {side: size + size % 2 for side, size in bars.items()}
    assert told.text == "black bars: " + ", ".join(
        f"{even[side]} px {side}" for side in ("left", "top", "right", "bottom") if side in even
    )


def test_bars_of_a_turned_clip_are_those_that_one_sees(tmp_path: Path) -> None:
    frames = [barred(one, left=12) for one in moving(24)]
    path = make_video(tmp_path / "a.mp4", frames, Video(matrix=TURNED))
    borders = look(path, probe(path)).borders
    assert borders is not None
    assert (borders.top, borders.left, borders.bottom, borders.right) == (12, 0, 0, 0)


def test_a_thing_on_a_black_ground_has_no_bars(tmp_path: Path) -> None:
    frames = []
    for k in range(24):
        frame = np.full((64, 96), 16, dtype=np.uint8)
        frame[24:40, 30 + k : 46 + k] = 200
        frames.append(frame)
    path = make_video(tmp_path / "a.mp4", frames)
    assert look(path, probe(path)).borders is None


def test_black_and_frozen_stretches(tmp_path: Path, doctor: Doctor) -> None:
    black = [np.full((64, 96), 16, dtype=np.uint8)] * 24
    make_video(tmp_path / "black.mp4", [*moving(24), *black, *moving(24)])
    make_video(tmp_path / "still.mp4", [*moving(24), *[picture(5)] * 48, *moving(24, seed=2)])
    make_video(tmp_path / "all.mp4", [picture(7)] * 12)
    make_video(tmp_path / "slow.mp4", [np.roll(picture(6), k // 6, axis=1) for k in range(96)])
    told = doctor("black.mp4", "still.mp4", "all.mp4", "slow.mp4")
    assert [(one.row, one.code) for one in told] == [(0, "black"), (1, "frozen"), (2, "frozen")]
    signs = look(tmp_path / "black.mp4", probe(tmp_path / "black.mp4"))
    (stretch,) = signs.black
    assert abs(stretch.begin - 1) <= 0.13
    assert abs(stretch.end - 2) <= 0.13
    (stretch,) = look(tmp_path / "still.mp4", probe(tmp_path / "still.mp4")).frozen
    assert abs(stretch.begin - 1) <= 0.13
    assert abs(stretch.end - 3) <= 0.13
    assert "all the time" in next(one for one in told if one.row == 2).text


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
