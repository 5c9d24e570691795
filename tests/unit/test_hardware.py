"""Decoding in hardware, with a stand-in for it: software that gives nv12 or p010, or fails."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.frames import FrameRequest, read_frames
from engine.media.hardware import HardwareDecoding
from engine.media.hardware_decoder import MOST
from engine.media.hardware_planes import HardwareFaultError, difference, to_plain
from engine.media.probe import probe
from engine.media.video_frames import video_frames
from tests.hardware import Change, Hardware, arranged, moving, off_by_one
from tests.media_clips import Video, cut_bytes, flat, make_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 120 frames in groups of 12, with B-frames."""
    return make_video(tmp_path_factory.mktemp("hardware") / "a.mp4", moving(120))


def wanted(frames: int, **more: Any) -> FrameRequest:
    return FrameRequest(width=96, height=64, frames=frames, **more)


def test_equal_frames_come_from_hardware(clip: Path) -> None:
    hardware, found = Hardware(), probe(clip)
    requests = [
        wanted(25),
        wanted(9, start=2.0),
        wanted(17, start=1.0, fps=Fraction(12)),
        wanted(30, fps=Fraction(60)),
        wanted(7, start=(120 - 7) / 24),
    ]
    for request in requests:
        before = hardware.given
        made = hardware.read(clip, found, request)
        assert torch.equal(made, read_frames(clip, found, request))
        assert hardware.given > before
    assert hardware.told == []
    # The proof's two passes, and one for each clip: the kind is proved once.
    assert hardware.opens <= 2 + 2 * len(requests)


def test_ten_bits_come_from_hardware(tmp_path: Path) -> None:
    ten = Video(pix_fmt="yuv420p10le", tags={"colorspace": 1, "color_range": 1})
    shades = (flat((64 + 9 * k, 400 + k, 600 - k), 62, 34, "yuv420p10le") for k in range(40))
    path = make_video(tmp_path / "a.mkv", shades, ten)
    hardware, found = Hardware(), probe(path)
    assert found.pixel_format == "yuv420p10le"
    assert torch.equal(hardware.read(path, found, wanted(25)), read_frames(path, found, wanted(25)))
    assert hardware.given > 40
    assert hardware.told == []


@pytest.mark.parametrize("lost", [False, True])
def test_where_the_colours_lie_counts(tmp_path: Path, lost: bool) -> None:
    """FFmpeg reads ten bits by the place of the chroma samples, which is no property of a frame."""
    lossy = Video(pix_fmt="yuv420p10le", options={"qp": "24"})
    shades = (flat((64 + 9 * k, 400 + k, 600 - k), 640, 360, "yuv420p10le") for k in range(40))
    path = make_video(tmp_path / "a.mp4", shades, lossy)

    def change(frame: VideoFrame, number: int) -> VideoFrame:
        if not lost:
            return frame
        bare = VideoFrame(frame.width, frame.height, frame.format.name)
        for plane, source in zip(bare.planes, frame.planes, strict=True):
            plane.update(bytes(source))
        bare.pts = frame.pts
        for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
            setattr(bare, name, getattr(frame, name))
        return bare

    hardware, found = Hardware(change), probe(path)
    made = hardware.read(path, found, wanted(25))
    assert torch.equal(made, read_frames(path, found, wanted(25)))
    if lost:
        assert "its colours come out differently in RGB" in hardware.told[0]
    else:
        assert hardware.told == []


def test_odd_sizes_and_full_range_come_from_hardware(tmp_path: Path) -> None:
    full = Video(codec="ffv1", tags={"color_range": 2, "colorspace": 1})
    path = make_video(tmp_path / "a.mkv", moving(30, 161, 91), full)
    hardware, found = Hardware(), probe(path)
    assert torch.equal(hardware.read(path, found, wanted(25)), read_frames(path, found, wanted(25)))
    assert hardware.given > 30
    assert hardware.told == []


def test_one_wrong_value_late_in_the_proof_is_enough(clip: Path) -> None:
    hardware, found = Hardware(off_by_one(47)), probe(clip)
    for _ in range(3):
        made = hardware.read(clip, found, wanted(25))
        assert torch.equal(made, read_frames(clip, found, wanted(25)))
    assert hardware.opens == 1  # the proof, and never again
    (text,) = hardware.told
    assert "h264 High" in text
    assert "decoded in software" in text
    assert "frame 48: 1 of its 3,600 values differ in plane 2" in text


def test_the_frames_after_a_seek_are_compared_too(clip: Path) -> None:
    seeks = 0

    def change(frame: VideoFrame, number: int) -> VideoFrame:
        nonlocal seeks
        if number == 0 and frame.pts:
            seeks += 1
            frame.pts += 1
        return frame

    hardware, found = Hardware(change), probe(clip)
    hardware.read(clip, found, wanted(25))
    assert seeks == 1
    assert "frame 1: its time is" in hardware.told[0]


def test_shifted_times_are_refused(clip: Path) -> None:
    def change(frame: VideoFrame, number: int) -> VideoFrame:
        assert frame.pts is not None
        frame.pts += 512
        return frame

    hardware, found = Hardware(change), probe(clip)
    made = hardware.read(clip, found, wanted(25))
    assert torch.equal(made, read_frames(clip, found, wanted(25)))
    assert "its time is 512 instead of 0 ticks" in hardware.told[0]


def test_other_colour_tags_and_arrangements_are_refused(clip: Path) -> None:
    def tagged(frame: VideoFrame, number: int) -> VideoFrame:
        frame.colorspace = 1
        return frame

    def packed(frame: VideoFrame, number: int) -> VideoFrame:
        return frame.reformat(format="rgb24")

    found = probe(clip)
    for change, words in ((tagged, "tagged"), (packed, "its frames are rgb24")):
        hardware = Hardware(change)
        made = hardware.read(clip, found, wanted(25))
        assert torch.equal(made, read_frames(clip, found, wanted(25)))
        assert words in hardware.told[0]


def test_a_frame_that_is_lost_in_the_proof_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", moving(40))
    hardware, found = Hardware(), probe(path)
    whole = hardware.decoder.frames

    def frames(*given: Any) -> Iterator[VideoFrame]:
        yield from list(whole(*given))[:-1]

    monkeypatch.setattr(hardware.decoder, "frames", frames)
    made = hardware.read(path, found, wanted(25))
    assert torch.equal(made, read_frames(path, found, wanted(25)))
    assert "frame 40 is missing" in hardware.told[0]


def fails(at: int, error: Exception) -> Change:
    def change(frame: VideoFrame, number: int) -> VideoFrame:
        if number >= at:
            raise error
        return frame

    return change


@pytest.mark.parametrize(
    "error",
    [
        av.error.InvalidDataError(errno.EINVAL, "Invalid data found when processing input"),
        RuntimeError("no stream is compatible"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        NotImplementedError("no config"),
    ],
)
def test_hardware_that_fails_at_once_is_told_of_once(clip: Path, error: Exception) -> None:
    hardware, found = Hardware(fails(0, error)), probe(clip)
    for _ in range(3):
        made = hardware.read(clip, found, wanted(25))
        assert torch.equal(made, read_frames(clip, found, wanted(25)))
    (text,) = hardware.told
    assert "hardware cannot decode it: " in text
    assert hardware.opens == 1


def test_a_device_that_is_not_there_is_told_of_once(clip: Path) -> None:
    hardware, found = Hardware(why="no GPU"), probe(clip)
    for _ in range(2):
        made = hardware.read(clip, found, wanted(25))
        assert torch.equal(made, read_frames(clip, found, wanted(25)))
    assert hardware.told == ["no hardware decoding, clips are decoded in software: no GPU"]
    assert hardware.opens == 0


def test_a_clip_that_fails_in_the_middle_is_whole_all_the_same(clip: Path) -> None:
    hardware, found = Hardware(), probe(clip)
    hardware.read(clip, found, wanted(25))  # proved
    assert hardware.told == []
    hardware.change = fails(30, av.error.UnknownError(errno.EIO, "Input/output error"))
    for _ in range(5):
        made = hardware.read(clip, found, wanted(100))
        assert torch.equal(made, read_frames(clip, found, wanted(100)))
    first, later = hardware.told  # one about the clip, one about its kind after three of them
    assert "a.mp4: hardware failed on a clip, which was decoded again in software" in first
    assert "input/output error, after 30 frames" in first
    assert "hardware failed on 3 clips of it" in later


def test_frames_that_stop_early_are_read_again(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware, found = Hardware(), probe(clip)
    hardware.read(clip, found, wanted(25))
    real = hardware.decoder.frames

    def short(*given: Any) -> Iterator[VideoFrame]:
        frames = real(*given)
        yield from (frame for frame, _ in zip(frames, range(50), strict=False))

    monkeypatch.setattr(hardware.decoder, "frames", short)
    made = hardware.read(clip, found, wanted(100))
    assert torch.equal(made, read_frames(clip, found, wanted(100)))
    assert "too short: 50 frames decode" in hardware.told[0]


def test_a_clip_that_is_unlike_its_kind_is_found_by_its_first_frame(clip: Path) -> None:
    hardware, found = Hardware(), probe(clip)
    hardware.read(clip, found, wanted(25))
    hardware.change = off_by_one(0)
    made = hardware.read(clip, found, wanted(25, start=3.0))
    assert torch.equal(made, read_frames(clip, found, wanted(25, start=3.0)))
    assert "its first frame is not software's" in hardware.told[0]


def test_each_kind_is_proved_by_itself(clip: Path, tmp_path: Path) -> None:
    other = make_video(tmp_path / "b.mp4", moving(40, 128, 64))
    hardware = Hardware()
    hardware.read(clip, probe(clip), wanted(25))
    hardware.change = off_by_one(20)
    hardware.read(other, probe(other), wanted(9))
    assert len(hardware.told) == 1
    hardware.change = lambda frame, _: frame
    before = hardware.given
    hardware.read(clip, probe(clip), wanted(25))
    assert hardware.given > before
    before = hardware.given
    hardware.read(other, probe(other), wanted(9))
    assert hardware.given == before


def test_another_stage_of_the_process_is_told_what_is_known(clip: Path) -> None:
    hardware, found = Hardware(off_by_one(10)), probe(clip)
    hardware.read(clip, found, wanted(25))
    told: list[str] = []
    again = HardwareDecoding(hardware.decoder, told.append)
    again.read(clip, found, lambda source: source)
    hardware.decoding = again
    hardware.read(clip, found, wanted(25))
    assert told == hardware.told
    assert hardware.opens == 1


def test_what_is_always_software(clip: Path, tmp_path: Path) -> None:
    noise = [np.random.default_rng(k).integers(16, 235, (48, 64), np.uint8) for k in range(60)]
    whole = make_video(tmp_path / "w.mp4", noise, container_options={"movflags": "faststart"})
    damaged = cut_bytes(whole, tmp_path / "d.mp4", 0.6)
    pq = Video(pix_fmt="yuv420p10le", tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9})
    shade = [flat((500, 512, 512), pix_fmt="yuv420p10le")] * 40
    hdr = make_video(tmp_path / "h.mp4", shade, pq)
    short = make_video(tmp_path / "s.mp4", moving(9))
    hardware = Hardware()
    assert probe(damaged).damaged
    for path in (damaged, hdr, short):
        request = wanted(9, hdr="tonemap")
        made = hardware.read(path, probe(path), request)
        assert torch.equal(made, read_frames(path, probe(path), request))
    assert (hardware.opens, hardware.told) == (0, [])
    off = HardwareDecoding(None, hardware.told.append)
    assert off.read(clip, probe(clip), lambda source: source) is None


def test_an_error_of_the_clip_is_the_clips(clip: Path, tmp_path: Path) -> None:
    hardware, found = Hardware(), probe(clip)
    with pytest.raises(MediaError, match="too short"):
        hardware.read(clip, found, wanted(200))
    with pytest.raises(MediaError, match="does not exist") as caught:
        hardware.read(tmp_path / "none.mp4", found, wanted(25))
    assert caught.value.file == tmp_path / "none.mp4"
    assert hardware.told == []


def test_no_file_stays_open(clip: Path) -> None:
    def held() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(link.is_symlink() and str(link.readlink()) == str(clip) for link in links)

    found = probe(clip)
    for change in (lambda frame, _: frame, off_by_one(3), fails(30, RuntimeError("gone"))):
        Hardware(change).read(clip, found, wanted(25))
        assert held() == 0


def test_a_long_proof_ends(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", moving(150, 64, 48), Video(gop=400))
    hardware, found = Hardware(), probe(path)
    assert hardware.decoder._prove(path, found) == ("", MOST + 24)


def test_the_arrangement_of_hardware_is_undone_and_what_is_unknown_refused(clip: Path) -> None:
    found = probe(clip)
    with contextlib.closing(video_frames(clip, found)) as frames:
        frame = next(frames)
    again = to_plain(arranged(frame), "yuv420p")
    assert difference(again, frame) == ""
    assert (again.dts, again.duration, again.time_base) == (
        frame.dts,
        frame.duration,
        frame.time_base,
    )
    # FFmpeg's own way is exact here, and ours is the same.
    assert difference(arranged(frame).reformat(format="yuv420p"), frame) == ""
    with pytest.raises(HardwareFaultError, match="nv12, where software gives yuv420p10le"):
        to_plain(arranged(frame), "yuv420p10le")
