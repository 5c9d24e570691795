"""Frames by number or time, as small pictures, and the part of them that is kept."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.errors import MediaError
from engine.media import thumbnails, video_frames
from engine.media.arrays import Pixels
from engine.media.frames import FrameRequest, iter_frames
from engine.media.geometry import fit
from engine.media.probe import Probe, probe
from engine.media.selection import evenly, spread
from engine.media.thumbnails import Box, crop_box, fitting, inner, marked
from engine.worker.frame_cache import FrameCache
from engine.worker.make_thumbnails import Superseded
from tests.media_clips import Sound as Track
from tests.media_clips import Video, cut_bytes, flat, grey, index_of, make_video

FRAMES = 60
BOX = st.integers(1, 4000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 60 frames that tell their numbers, with a key frame every 12, and a sine as sound."""
    folder = tmp_path_factory.mktemp("clips")
    return make_video(
        folder / "clip.mp4", [grey(i) for i in range(FRAMES)], sound=Track(samples=sine(2.5))
    )


def sine(seconds: float, height: float = 0.5, rate: int = 48000) -> Any:
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat(height * np.sin(2 * np.pi * 440 * t)[None], 2, axis=0).astype(np.float32)


def small_ones(
    path: Path,
    found: Probe,
    numbers: list[int],
    size: tuple[int, int],
    *,
    tonemap: bool = False,
    check: Any = lambda: None,
) -> list[tuple[int, Pixels]]:
    cache = FrameCache()
    frames = cache.frames(path, found, numbers, size, tonemap=tonemap, grey=False, check=check)
    return [(one.number, one.pixels) for one in frames]


def number_of(pixels: Pixels) -> int:
    return index_of(pixels.astype(np.float64) / 127.5 - 1)


# Which frames


def test_frames_are_spread_over_what_is_kept_first() -> None:
    assert spread(49, (0, 48), 5) == [0, 12, 24, 36, 48]
    assert spread(50, (0, 48), 5) == [0, 16, 32, 48, 49]
    assert spread(132, (0, 48), 6) == [0, 16, 32, 48, 90, 131]
    assert spread(100_000, (0, 48), 3) == [0, 48, 99_999]
    assert spread(100, (20, 60), 9) == [0, 20, 28, 36, 44, 52, 60, 80, 99]
    assert spread(5, (0, -1), 9) == [0, 1, 2, 3, 4]
    assert spread(10, (0, 8), 1) == [0]
    assert evenly(3, 2, 4) == []


@given(st.integers(1, 5000), st.data(), st.integers(1, 64))
def test_spread_frames_rise_and_exist(frames: int, data: st.DataObject, count: int) -> None:
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first, frames - 1))
    chosen = spread(frames, (first, last), count)
    assert chosen == sorted(set(chosen))
    assert chosen[0] >= 0
    assert chosen[-1] < frames
    assert len(chosen) == min(count, frames)
    if count > 2:
        assert {first, last} <= set(chosen)


# Exact frames


def test_each_frame_is_the_one_that_was_asked_for(clip: Path) -> None:
    found = probe(clip)
    numbers = [0, 1, 11, 12, 13, 35, 36, 59]
    got = small_ones(clip, found, numbers, (16, 12))
    assert [number for number, _ in got] == numbers
    assert [number_of(pixels) for _, pixels in got] == numbers
    assert got[0][1].shape == (12, 16, 3)


def test_frames_of_variable_rate_are_found_by_time(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 10, 11, 12, 20, 30, 31, 40]
    path = make_video(
        tmp_path / "vfr.mkv",
        [grey(i) for i in range(10)],
        Video(pts=ticks, time_base=Fraction(1, 20)),
    )
    found = probe(path)
    assert found.vfr
    times = [Fraction(tick, 20) for tick in (0, 5, 10, 25, 39, 40)]
    shown = thumbnails.frames_at(path, found, times, steady=False)
    assert [number_of(frame.to_ndarray(format="rgb24")) for frame in shown] == [0, 2, 3, 6, 8, 9]


def test_a_file_without_an_index_is_read_as_well(tmp_path: Path) -> None:
    path = make_video(tmp_path / "raw.h264", [grey(i) for i in range(20)])
    found = probe(path)
    got = small_ones(path, found, [0, 7, 19], (8, 8))
    assert [number_of(pixels) for _, pixels in got] == [0, 7, 19]


def test_what_is_near_is_not_sought(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    decoded = video_frames.video_frames

    def counted(path: Path, found: Probe, ticks: int | None = None, threads: int = 0) -> Any:
        begun.append(ticks)
        return decoded(path, found, ticks, threads)

    monkeypatch.setattr(video_frames, "video_frames", counted)
    times = [Fraction(number, 24) for number in (0, 1, 2, 3, 50, 51)]
    assert len(list(thumbnails.frames_at(clip, probe(clip), times))) == 6
    assert len(begun) == 2


def test_turned_clips_are_shown_upright(tmp_path: Path) -> None:
    left = np.full((48, 96), 40, np.uint8)
    left[:, 48:] = 200
    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path = make_video(tmp_path / "turned.mp4", [left] * 3, Video(matrix=matrix))
    found = probe(path)
    assert (found.width, found.height) == (48, 96)
    [(_, pixels)] = small_ones(path, found, [1], (12, 24))
    assert pixels.shape == (24, 12, 3)
    assert pixels[:10].mean() < 60
    assert pixels[14:].mean() > 180


def test_hdr_is_mapped_where_the_project_says_so(tmp_path: Path) -> None:
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    path = make_video(
        tmp_path / "hdr.mkv",
        [flat((500, 512, 512), pix_fmt="yuv420p10le")] * 3,
        Video(codec="ffv1", pix_fmt="yuv420p10le", tags=tags),
    )
    found = probe(path)
    assert found.hdr == "pq"
    [(_, plain)] = small_ones(path, found, [0], (8, 8))
    [(_, mapped)] = small_ones(path, found, [0], (8, 8), tonemap=True)
    wanted = next(
        iter_frames(
            path,
            found,
            FrameRequest(width=64, height=32, frames=1, hdr="tonemap"),
        )
    )
    assert abs(float(mapped.mean()) - (float(wanted.mean()) + 1) * 127.5) < 1
    assert abs(float(mapped.mean()) - float(plain.mean())) > 5


def test_a_still_image_is_one_frame(tmp_path: Path) -> None:
    Image.new("RGB", (50, 30), (10, 200, 30)).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    [(number, pixels)] = small_ones(path, probe(path), [0], (5, 3))
    assert number == 0
    assert (pixels == (10, 200, 30)).all()


def test_a_check_ends_the_reading(clip: Path) -> None:
    def stop() -> None:
        raise Superseded

    with pytest.raises(Superseded):
        small_ones(clip, probe(clip), [0, 5], (8, 8), check=stop)


def test_damage_is_told(clip: Path, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", [grey(i) for i in range(40)])
    found = probe(whole)
    cut = cut_bytes(whole, tmp_path / "cut.mkv", 0.5)
    with pytest.raises(MediaError):
        small_ones(tmp_path / "none.mp4", found, [0], (8, 8))
    few = probe(cut)
    assert few.frames < 40
    got = small_ones(cut, few, [0, few.frames - 1], (8, 8))
    assert number_of(got[1][1]) == few.frames - 1


# The crop


@given(BOX, BOX, BOX, BOX, st.sampled_from(["center", "random"]))
def test_the_crop_box_is_the_buckets_part_of_the_source(
    width: int, height: int, wide: int, high: int, reshape: str
) -> None:
    place = fit(width, height, wide, high, reshape, seed=7, crop_key="a")
    box = crop_box(place)
    assert 0 <= box.left < box.right <= 1
    assert 0 <= box.top < box.bottom <= 1
    # One side is kept whole, but for the pixel that rounding may cost.
    assert box.right - box.left == 1 or box.bottom - box.top == 1
    assert (box.right - box.left) * place.width == pytest.approx(wide)
    assert (box.bottom - box.top) * place.height == pytest.approx(high)
    if reshape == "center":
        assert abs(box.left - (1 - box.right)) <= 1.001 / place.width
        assert abs(box.top - (1 - box.bottom)) <= 1.001 / place.height
    # And so it is on a thumbnail of any size.
    for begin, end, size in ((box.left, box.right, 31), (box.top, box.bottom, 17)):
        first, behind = inner(begin, end, size)
        assert 0 <= first < behind <= size
        assert abs(first - begin * size) <= 0.5 or behind - first == 1


def test_what_is_not_kept_is_darker_and_a_line_lies_around_the_rest() -> None:
    bright = np.full((8, 16, 3), 200, np.uint8)
    kept = marked(bright, Box(0.25, 0, 0.75, 1), (255, 0, 0))
    assert (kept[:, 4:12] == 200).all()
    assert (kept[:, 3] == (255, 0, 0)).all()
    assert (kept[:, 12] == (255, 0, 0)).all()
    assert (kept[:, :3] == 70).all()
    assert (marked(bright, None) == 70).all()
    assert (marked(bright, Box(0, 0.5, 1, 0.75), None)[4:6] == 200).all()
    assert (marked(bright, Box(0, 0, 1, 1), (255, 0, 0)) == 200).all()


@given(BOX, BOX, BOX, BOX)
def test_a_fitting_size_keeps_the_shape(width: int, height: int, wide: int, high: int) -> None:
    size = fitting(width, height, (wide, high))
    assert 1 <= size[0] <= wide
    assert 1 <= size[1] <= high
    assert size[0] == wide or size[1] == high
