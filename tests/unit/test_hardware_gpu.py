"""Decoding on a real GPU: the frames are software's, and which kinds of video it takes.

Run it where there is one: `pytest tests/unit/test_hardware_gpu.py -s` prints what it said.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from engine.media.frames import FrameRequest, read_frames
from engine.media.hardware import HardwareDecoding
from engine.media.hardware_decoder import decoder_of, why_unusable
from engine.media.probe import Probe, probe
from tests.hardware import moving
from tests.media_clips import Video, flat, make_video

WHY = why_unusable("cuda", None)
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY), reason=f"needs a GPU: {WHY}")]

LOSSY = {"qp": "24"}
KINDS = {
    "h264": Video(options=LOSSY),
    "h264-full": Video(options=LOSSY, tags={"color_range": 2, "colorspace": 1}),
    "h264-slices": Video(options={**LOSSY, "slices": "4"}, gop=30, b_frames=3),
    "hevc": Video(codec="libx265", options={"x265-params": "log-level=none:crf=24"}),
    "hevc-10": Video(
        codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=none:crf=24"}
    ),
    "h264-10": Video(pix_fmt="yuv420p10le", options=LOSSY),
    "mpeg4": Video(codec="mpeg4", b_frames=0),
}
# What every NVIDIA decoder of the last ten years takes.
EXPECTED = {"h264", "h264-slices", "hevc", "hevc-10"}


def read(decoding: HardwareDecoding, path: Path, found: Probe, wanted: FrameRequest):
    return decoding.read(
        path, found, lambda source: read_frames(path, found, wanted, source=source)
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (322, 182)])
def test_frames_are_those_of_software(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    kind = KINDS[name]
    try:
        av.codec.Codec(kind.codec, "w")
    except av.error.EncoderNotFoundError:
        pytest.skip(f"FFmpeg without {kind.codec}")
    deep = (flat((64 + 9 * k, 400 + k, 600 - k), *size, "yuv420p10le") for k in range(60))
    frames = deep if kind.pix_fmt == "yuv420p10le" else moving(60, *size)
    path = make_video(tmp_path / "a.mp4", frames, kind)
    found, told = probe(path), []
    decoding = HardwareDecoding(decoder_of("cuda"), told.append)
    for more in ({}, {"start": 1.0}, {"fps": Fraction(12), "start": 0.3}):
        wanted = FrameRequest(width=320, height=160, frames=17, **more)
        by_software = read_frames(path, found, wanted)
        assert torch.equal(read(decoding, path, found, wanted), by_software)
    print(f"\n{name} {size[0]}x{size[1]}: {'; '.join(told) or 'decoded by hardware'}")
    if name in EXPECTED:
        assert told == []
