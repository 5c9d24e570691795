from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MediaError, UsageError
from engine.media import frames as frames_module
from engine.media.frames import FrameRequest, iter_frames, read_frames
from engine.media.probe import probe
from engine.media.selection import selection_count
from tests.media_clips import Video, cut_bytes, flat, from_luma, grey, index_of, make_video

VFR_PTS = [0, 3000, 6000, 12000, 13500, 15000, 21000, 22500, 24000, 30000, 33000, 36000, 42000]


def request(frames, **more):
    return FrameRequest(width=64, height=32, frames=frames, **more)


def shown(path: Path, wanted: FrameRequest) -> list[int]:
    return [index_of(frame.numpy()) for frame in iter_frames(path, probe(path), wanted)]


def textured(count, width=160, height=90):
    rng = np.random.default_rng(1)
    base = rng.integers(16, 235, (height, width), dtype=np.uint8)
    return [np.roll(base, 3 * k, axis=1) for k in range(count)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_come_in_presentation_order_from_any_start(tmp_path, suffix, b_frames):
    path = make_video(
        tmp_path / f"a{suffix}",
        map(grey, range(60)),
        Video(b_frames=b_frames, fps=Fraction(30000, 1001)),
    )
    assert shown(path, request(60)) == list(range(60))
    for first in (1, 11, 12, 13, 30, 51):
        start = first * 1001 / 30000
        assert shown(path, request(9, start=start)) == list(range(first, first + 9))


def test_a_clip_is_what_its_frames_are(tmp_path):
    path = make_video(tmp_path / "a.mp4", textured(9))
    found = probe(path)
    clip = read_frames(path, found, request(9))
    assert (clip.shape, clip.dtype) == ((3, 9, 32, 64), torch.float32)
    assert clip.is_contiguous()
    frames = list(iter_frames(path, found, request(9)))
    assert torch.equal(clip, torch.stack(frames, 1))
    half = read_frames(path, found, request(9), dtype=torch.bfloat16)
    assert torch.equal(half, clip.bfloat16())
    assert torch.equal(half[:, 0], next(iter_frames(path, found, request(9), torch.bfloat16)))


def test_pixels_are_those_of_the_whole_clip_at_once(tmp_path):
    """The reference way: rgb24, the whole clip in float, resize, crop, clamp, normalise."""
    path = make_video(tmp_path / "a.mp4", textured(5))
    clip = read_frames(path, probe(path), request(5))
    with av.open(str(path)) as container:
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    video = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    video = torch.nn.functional.interpolate(video, (36, 64), mode="bicubic", antialias=True)
    video = ((video[:, :, 2:34].clamp(0, 1) - 0.5) / 0.5).permute(1, 0, 2, 3)
    assert torch.equal(clip, video)


def test_overshoot_of_the_filter_is_clamped(tmp_path):
    luma = np.full((64, 128), 16, dtype=np.uint8)
    luma[:, 63:] = 235
    path = make_video(tmp_path / "a.mp4", [luma])
    clip = read_frames(path, probe(path), FrameRequest(width=96, height=32, frames=1))
    assert clip.min() == -1
    assert clip.max() == 1


def test_variable_rate_is_sampled_by_presentation_time(tmp_path):
    path = make_video(
        tmp_path / "a.mp4",
        map(grey, range(len(VFR_PTS))),
        Video(pts=VFR_PTS, time_base=Fraction(1, 90000), b_frames=0),
    )
    found = probe(path)
    for fps in (None, Fraction(30), Fraction(24), Fraction(60)):
        rate = fps or found.fps
        count = selection_count(found, fps)
        moments = [k * 90000 / rate for k in range(count)]
        expected = [max(i for i, p in enumerate(VFR_PTS) if p <= m + 1) for m in moments]
        assert shown(path, request(count, fps=fps)) == expected


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_target_rate_drops_and_repeats_frames(tmp_path, suffix):
    path = make_video(tmp_path / f"a{suffix}", map(grey, range(60)), Video(fps=Fraction(30)))
    assert shown(path, request(24, fps=Fraction(15))) == list(range(0, 48, 2))
    assert shown(path, request(10, fps=Fraction(60))) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert shown(path, request(8, fps=Fraction(24))) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert shown(path, request(5, fps=Fraction(10), start=1.0)) == [30, 33, 36, 39, 42]


def test_sampling_at_the_own_rate_equals_reading_in_order(tmp_path):
    """Whatever ticks the container rounds to."""
    for suffix in (".mp4", ".mkv"):
        path = make_video(
            tmp_path / f"a{suffix}", map(grey, range(50)), Video(fps=Fraction(30000, 1001))
        )
        found = probe(path)
        forced = frames_module._sample(path, found, request(50))
        ordered = frames_module._take_in_order(path, found, request(50))
        assert [frame.pts for frame in forced] == [frame.pts for frame in ordered]


@pytest.mark.parametrize(
    ("matrix", "corner", "size"),
    [
        ((1, 0, 0, 1), (0, 0), (64, 48)),
        ((0, 1, -1, 0), (0, -1), (48, 64)),
        ((-1, 0, 0, -1), (-1, -1), (64, 48)),
        ((0, -1, 1, 0), (-1, 0), (48, 64)),
        ((-1, 0, 0, 1), (0, -1), (64, 48)),
    ],
)
def test_rotated_pictures_are_turned_upright(tmp_path, matrix, corner, size):
    """The stored top left corner is bright; where it belongs follows from the matrix."""
    luma = np.full((48, 64), 40, dtype=np.uint8)
    luma[:16, :16] = 220
    a, b, c, d = (65536 * value for value in matrix)
    path = make_video(
        tmp_path / "a.mp4", [luma] * 2, Video(matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    )
    found = probe(path)
    assert (found.width, found.height) == size
    assert (found.coded_width, found.coded_height) == (64, 48)
    wanted = FrameRequest(width=size[0], height=size[1], frames=1)
    picture = read_frames(path, found, wanted)[0, 0]
    bright = [(row, column) for row in (0, -1) for column in (0, -1) if picture[row, column] > 0.5]
    assert bright == [corner]


@settings(deadline=None, max_examples=10)
@given(first=st.integers(0, 20), count=st.integers(1, 10))
def test_any_window_is_a_slice_of_the_whole(tmp_path_factory, first, count):
    path = tmp_path_factory.getbasetemp() / "slices.mp4"
    if not path.exists():
        make_video(path, textured(30), Video(gop=8))
    found = probe(path)
    whole = read_frames(path, found, request(30))
    part = read_frames(path, found, request(count, start=first / 24))
    assert torch.equal(part, whole[:, first : first + count])


def test_too_few_frames(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(9)))
    with pytest.raises(MediaError, match="too short: 9 frames decode") as caught:
        read_frames(path, probe(path), request(17))
    assert caught.value.file == path
    with pytest.raises(UsageError, match="cannot start"):
        read_frames(path, probe(path), request(1, start=-1.0))


def test_a_damaged_clip_gives_its_whole_frames_and_no_more(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(16, 235, (48, 64), dtype=np.uint8) for _ in range(60)]
    whole = make_video(tmp_path / "a.mp4", noise, container_options={"movflags": "faststart"})
    path = cut_bytes(whole, tmp_path / "cut.mp4", 0.5)
    found = probe(path)
    good = read_frames(whole, probe(whole), request(found.frames))
    assert torch.equal(read_frames(path, found, request(found.frames)), good)
    with pytest.raises(MediaError, match=rf"{found.frames} of 60 frames decode, and 41 are"):
        read_frames(path, found, request(41))


def test_damage_after_the_probe_is_an_error_too(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(16, 235, (48, 64), dtype=np.uint8) for _ in range(60)]
    path = make_video(tmp_path / "a.mp4", noise, container_options={"movflags": "faststart"})
    found = probe(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError) as caught:
        read_frames(path, found, request(60))
    assert caught.value.file == path


def test_no_file_stays_open(tmp_path):
    path = make_video(tmp_path / "a.mp4", map(grey, range(30)))
    found = probe(path)

    def held():
        links = Path("/proc/self/fd").iterdir()
        return sum(link.is_symlink() and str(link.readlink()) == str(path) for link in links)

    assert held() == 0
    frames = iter_frames(path, found, request(9))
    next(frames)
    assert held() == 1
    frames.close()
    assert held() == 0
    for start in (0.0, 0.7):
        read_frames(path, found, request(9, start=start))
        assert held() == 0
    with pytest.raises(MediaError):
        read_frames(path, found, request(99))
    assert held() == 0


def test_hdr_is_refused_unless_asked_for(tmp_path):
    pq = Video(pix_fmt="yuv420p10le", tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9})
    path = make_video(tmp_path / "a.mp4", [flat((500, 512, 512), pix_fmt="yuv420p10le")], pq)
    with pytest.raises(MediaError, match=r"HDR video \(PQ\)") as caught:
        read_frames(path, probe(path), request(1))
    assert "tonemap" in caught.value.remedy
    assert read_frames(path, probe(path), request(1, hdr="tonemap")).isfinite().all()


# Y'CbCr of one colour, worked out from the matrices of BT.601 and BT.709 for both ranges.
_WEIGHTS = {"bt601": (0.299, 0.114, 6), "bt709": (0.2126, 0.0722, 1)}


def encoded(rgb, matrix, *, full):
    red, green, blue = (value / 255 for value in rgb)
    kr, kb, _ = _WEIGHTS[matrix]
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    if full:
        return round(255 * y), round(128 + 255 * cb), round(128 + 255 * cr)
    return round(16 + 219 * y), round(128 + 224 * cb), round(128 + 224 * cr)


@pytest.mark.parametrize("rgb", [(200, 30, 40), (30, 180, 60), (20, 40, 220), (128, 128, 128)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_come_out_by_their_own_matrix_and_range(tmp_path, rgb, matrix, full):
    tags = {"colorspace": _WEIGHTS[matrix][2], "color_range": 2 if full else 1}
    path = make_video(
        tmp_path / "a.mp4", [flat(encoded(rgb, matrix, full=full))] * 2, Video(tags=tags)
    )
    found = probe(path)
    assert found.range == ("full" if full else "limited")
    clip = read_frames(path, found, request(1))
    got = (clip[:, 0, 16, 32] + 1) * 127.5
    # Eight-bit Y'CbCr and swscale's rounding together are good for three steps.
    assert torch.allclose(got, torch.tensor(rgb, dtype=torch.float32), atol=3.01)


def test_an_untagged_matrix_is_read_as_the_official_preprocessing_does(tmp_path):
    path = make_video(tmp_path / "a.mp4", [flat(encoded((200, 30, 40), "bt601", full=False))])
    got = (read_frames(path, probe(path), request(1))[:, 0, 16, 32] + 1) * 127.5
    assert torch.allclose(got, torch.tensor([200.0, 30, 40]), atol=3.01)


@pytest.mark.parametrize("size", [(360, 640), (62, 34), (427, 241), (1278, 16)])
def test_every_column_is_written_at_any_width(tmp_path, size):
    """swscale's planar RGB leaves the last columns of some widths unwritten."""
    width, height = size
    codec = Video() if width % 2 == 0 else Video(codec="ffv1", pix_fmt="yuv444p")
    rng = np.random.default_rng(0)
    luma = rng.integers(16, 235, (height, width), dtype=np.uint8)
    path = tmp_path / ("a.mp4" if width % 2 == 0 else "a.mkv")
    make_video(path, [from_luma(luma, codec.pix_fmt)], codec)
    wanted = FrameRequest(width=width, height=height, frames=1)
    clip = read_frames(path, probe(path), wanted)
    expected = (luma.astype(np.float32) - 16) * 255 / 219
    assert np.abs((clip[0, 0].numpy() + 1) * 127.5 - expected).max() < 2
