"""What the doctor finds in single clips."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine.findings import FIXES
from engine.media.health import look
from engine.media.probe import probe
from tests.media_clips import Sound, Video, cut_bytes, flat, from_luma, make_video, tone
from tests.unit.health.conftest import (
    HD,
    TURNED,
    Doctor,
    barred,
    codes,
    moving,
    only,
    picture,
)


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
