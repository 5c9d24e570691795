"""Frames that are read once: for strips, for a cursor, for edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import MediaError
from engine.media import video_frames as reading
from engine.media.canny import edges
from engine.media.pictures import rgb
from engine.media.probe import Probe, probe
from engine.media.video_frames import video_frames
from engine.worker import frame_cache
from engine.worker.frame_cache import FrameCache, Taken, drawn_edges
from tests.media_clips import Video, grey, index_of, make_video

FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    return make_video(folder / "clip.mp4", [grey(i) for i in range(FRAMES)], Video(b_frames=2))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return where decoding began, time after time."""
    begun: list[int | None] = []
    real = reading.video_frames

    def counted(path: Path, found: Probe, ticks: int | None = None, threads: int = 0) -> Any:
        begun.append(ticks)
        return real(path, found, ticks, threads)

    monkeypatch.setattr(reading, "video_frames", counted)
    return begun


def never() -> None:
    """Let everything go on."""


def number_of(taken: Taken) -> int:
    return index_of(taken.pixels.astype(np.float64) / 127.5 - 1)


def strip(cache: FrameCache, path: Path, numbers: list[int], **how: Any) -> list[Taken]:
    values: dict[str, Any] = {"tonemap": False, "grey": False, "check": never}
    return [*cache.frames(path, probe(path), numbers, (16, 12), **values | how)]


def one(cache: FrameCache, path: Path, number: int, **how: Any) -> Taken:
    values: dict[str, Any] = {"tonemap": False, "grey": False, "check": never}
    return cache.frame(path, probe(path), number, (16, 12), **values | how)


def test_only_what_is_missing_is_read(clip: Path, begun: list[int | None]) -> None:
    cache = FrameCache()
    assert [number_of(each) for each in strip(cache, clip, [0, 20, 59])] == [0, 20, 59]
    begun.clear()
    assert [number_of(each) for each in strip(cache, clip, [0, 20, 59])] == [0, 20, 59]
    assert begun == []
    assert [number_of(each) for each in strip(cache, clip, [0, 7, 20, 59])] == [0, 7, 20, 59]
    assert len(begun) == 1


def test_another_file_of_the_same_name_is_another(clip: Path, tmp_path: Path) -> None:
    cache, path = FrameCache(), tmp_path / "a.mp4"
    make_video(path, [grey(i) for i in range(10)])
    assert [number_of(each) for each in strip(cache, path, [3])] == [3]
    assert number_of(one(cache, path, 4)) == 4
    make_video(path, [grey(i + 20) for i in range(12)])
    assert [number_of(each) for each in strip(cache, path, [3])] == [23]
    assert number_of(one(cache, path, 4)) == 24


def test_stepping_on_decodes_nothing_twice(clip: Path, begun: list[int | None]) -> None:
    cache = FrameCache()
    assert [number_of(one(cache, clip, n)) for n in range(20, 40)] == [*range(20, 40)]
    assert len(begun) == 1
    assert number_of(one(cache, clip, 59)) == 59
    cache.close()


def test_stepping_back_reads_some_frames_at_once(clip: Path, begun: list[int | None]) -> None:
    cache = FrameCache()
    numbers = range(45, 20, -1)
    assert [number_of(one(cache, clip, n)) for n in numbers] == [*numbers]
    assert len(begun) <= 4
    cache.close()


def test_jumps_of_all_kinds_find_their_frames(clip: Path) -> None:
    cache = FrameCache()
    numbers = [0, 59, 30, 31, 5, 58, 57, 0, 33]
    assert [number_of(one(cache, clip, n)) for n in numbers] == numbers
    cache.close()


def test_a_check_that_ends_one_step_leaves_the_next_alone(clip: Path) -> None:
    cache = FrameCache()

    def stop() -> None:
        raise MediaError("enough")

    with pytest.raises(MediaError, match="enough"):
        one(cache, clip, 30, check=stop)
    assert number_of(one(cache, clip, 31)) == 31
    cache.close()


def test_images_have_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (50, 30), (10, 200, 30)).save(path)
    cache = FrameCache()
    [taken] = strip(cache, path, [0], grey=True)
    assert (taken.pixels == (10, 200, 30)).all()
    assert taken.grey is not None
    assert taken.grey.shape == (30, 50)
    again = FrameCache().frame(path, probe(path), 0, (5, 3), tonemap=False, grey=False, check=never)
    assert again.pixels.shape == (3, 5, 3)


def test_pictures_are_given_up_where_there_are_too_many(
    clip: Path, begun: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_cache, "_SMALL_BYTES", 3 * 16 * 12 * 3)
    cache = FrameCache()
    strip(cache, clip, [0, 1, 2, 3])
    begun.clear()
    strip(cache, clip, [1, 2, 3])
    assert begun == []
    strip(cache, clip, [0])
    assert len(begun) == 1


def test_edges_are_those_that_a_reference_gets(tmp_path: Path) -> None:
    frames = []
    for n in range(6):
        frame = np.full((96, 128), 40, np.uint8)
        frame[20 + n : 60, 30:90] = 200
        frames.append(frame)
    path = make_video(tmp_path / "a.mp4", frames)
    found = probe(path)
    whole = [rgb(frame, found, path, tonemap=False) for frame in video_frames(path, found)]
    [taken] = strip(FrameCache(), path, [4], grey=True)
    assert taken.grey is not None
    for low, high in ((100.0, 200.0), (10.0, 20.0)):
        wanted = edges(whole[4], low, high)
        assert wanted.any()
        assert (drawn_edges(taken.grey, low, high, (128, 96)) == wanted).all()
    small = drawn_edges(taken.grey, 100.0, 200.0, (16, 12))
    assert small.shape == (12, 16, 3)
    # A line of one pixel in eight is seen well.
    assert np.median(small[small > 0]) == pytest.approx(128, abs=10)
    assert not drawn_edges(taken.grey, 2000.0, 2040.0, (16, 12)).any()
