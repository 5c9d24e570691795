"""Scaling by whole rows has the bits of torch's own, or is left to torch."""

import contextlib
import threading

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from engine.media import bicubic, timing
from engine.media.cores import keep_to_one_core
from engine.media.frames import FrameRequest, iter_frames, read_frames
from engine.media.geometry import Geometry, fit
from engine.media.probe import probe
from engine.media.to_bucket import ToBucket
from tests.media_clips import Video, grey, make_video

vectors = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch has to scale on this processor",
)


@pytest.fixture(autouse=True)
def _nothing_kept():
    """Forget what was prepared with what a test has changed."""
    yield
    bicubic.axis.cache_clear()
    bicubic._is_torchs.cache_clear()


def by_torch(pixels, place: Geometry):
    """The official preprocessing, for one picture of bytes."""
    video = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    video = interpolate(video, (place.height, place.width), mode="bicubic", antialias=True)
    top, left = place.top, place.left
    video = video[0, :, top : top + place.crop_height, left : left + place.crop_width]
    return (video.clamp(0, 1) - 0.5) / 0.5


def bytes_of(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def brought(to_bucket, pixels, place, dtype=torch.float32):
    result = torch.empty((3, place.crop_height, place.crop_width), dtype=dtype)
    to_bucket(pixels, result)
    return result


@vectors
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (1920, 967),
        (3840, 967),
        (2160, 544),
        (640, 1088),
        (1280, 960),
        (7680, 300),
        (5, 960),
        (96, 1),
    ],
)
def test_any_part_of_a_direction_has_the_bits_of_torch(source, target):
    noise = torch.rand((source, 37), generator=torch.Generator().manual_seed(1))
    whole = interpolate(noise[None, None], (target, 37), mode="bicubic", antialias=True)[0, 0]
    for first, count in ((0, target), (target // 3, (target + 1) // 2), (target - 1, 1)):
        for width in (1, 37, 4000):
            axis = bicubic.axis(source, target, first, count, width)
            assert axis is not None
            parts = list(axis.scaled(noise[axis.low : axis.high].contiguous()))
            assert [at for at, _ in parts] == list(
                np.cumsum([0, *(len(part) for _, part in parts)])[:-1]
            )
            assert torch.equal(torch.cat([p for _, p in parts]), whole[first : first + count])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reshape", ["center", "random"])
@pytest.mark.parametrize("size", [(1920, 1080), (608, 1080), (300, 200), (67, 131), (192, 128)])
def test_pictures_have_the_bits_of_the_official_way(size, reshape, dtype):
    pixels = bytes_of(size[1], size[0])
    place = fit(*size, 192, 128, reshape, seed=3, crop_key="a")
    to_bucket = ToBucket(*size, place)
    found = brought(to_bucket, pixels, place, dtype)
    assert torch.equal(found, by_torch(pixels, place).to(dtype))
    # What is left of a picture in the buffers does not show in the next one.
    other = np.ascontiguousarray(pixels[::-1])
    assert torch.equal(brought(to_bucket, other, place), by_torch(other, place))


def test_floats_are_scaled_as_bytes_are():
    pixels = bytes_of(120, 210)
    place = fit(210, 120, 96, 64)
    floats = (torch.from_numpy(pixels).float() / 255).numpy()
    assert torch.equal(brought(ToBucket(210, 120, place), floats, place), by_torch(pixels, place))


@vectors
def test_another_order_of_adding_is_noticed_and_left_to_torch(monkeypatch):
    pixels, place = bytes_of(270, 480), fit(480, 270, 192, 96)
    monkeypatch.setattr(bicubic, "_GROUP", 3)
    bicubic._is_torchs.cache_clear()
    bicubic.axis.cache_clear()
    assert bicubic.axis(480, place.width, place.left, 192, 192) is None
    assert torch.equal(brought(ToBucket(480, 270, place), pixels, place), by_torch(pixels, place))


def test_one_thread_of_torch_is_for_the_thread_that_asks():
    before, inside = torch.get_num_threads(), []

    def ask():
        keep_to_one_core()
        inside.append(torch.get_num_threads())

    for work in (ask, lambda: inside.append(torch.get_num_threads())):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert inside == [1, before]
    assert torch.get_num_threads() == before


def test_frames_that_nobody_waits_for_are_not_scaled_on(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(40)))
    frames = iter_frames(path, probe(path), FrameRequest(width=64, height=32, frames=40))
    with contextlib.closing(frames):
        next(frames)
    assert not [one for one in threading.enumerate() if one.name.startswith("scale")]


def test_a_frame_that_is_shown_again_is_in_every_place(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(12)))
    found = probe(path)
    twice = FrameRequest(width=64, height=32, frames=24, fps=2 * found.fps)
    once = FrameRequest(width=64, height=32, frames=12)
    clip, frames = read_frames(path, found, twice), read_frames(path, found, once)
    assert torch.equal(clip[:, ::2], frames)
    assert torch.equal(clip[:, 1::2], frames)


@pytest.mark.parametrize("gop", [8, 250])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_group_too_long_to_keep_is_read_again(tmp_path, monkeypatch, gop, suffix):
    path = make_video(tmp_path / f"a{suffix}", map(grey, range(30)), Video(gop=gop))
    found = timing.measure(path)
    monkeypatch.setattr(timing, "_MOST_KEPT", 10)
    again = timing.measure(path)
    assert (found.frames, found.pts, found.damaged) == (30, again.pts, False)
    assert (again.frames, again.source) == (30, "decoded")
    assert found.source == ("header" if (gop, suffix) == (8, ".mp4") else "decoded")
