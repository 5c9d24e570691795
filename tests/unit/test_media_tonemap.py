from fractions import Fraction

import numpy as np
import pytest
import torch

from engine.media.frames import FrameRequest, read_frames
from engine.media.probe import probe
from engine.media.tonemap import light_to_pq, pq_to_light
from tests.media_clips import Video, flat, make_video

PQ = {"color_trc": 16, "color_primaries": 9, "colorspace": 9, "color_range": 1}
HLG = {**PQ, "color_trc": 18}


def test_pq_is_the_standards():
    """Values of ST 2084 as BT.2408 tabulates them."""
    light = np.array([0.0, 100.0, 203.0, 1000.0, 10000.0])
    code = np.array([0.0, 0.508, 0.581, 0.752, 1.0])
    assert np.abs(light_to_pq(light) - code).max() < 1e-3
    assert np.allclose(pq_to_light(light_to_pq(light)), light, atol=1e-6)


def grey(path, code, tags):
    """Return the SDR grey of a 10-bit limited-range HDR grey with signal `code` in 0 … 1."""
    luma = round(64 + 876 * code)
    make_video(
        path,
        [flat((luma, 512, 512), pix_fmt="yuv420p10le")],
        Video(pix_fmt="yuv420p10le", tags=tags, fps=Fraction(24)),
    )
    wanted = FrameRequest(width=64, height=48, frames=1, hdr="tonemap")
    clip = (read_frames(path, probe(path), wanted) + 1) / 2
    assert clip.std() < 1e-3  # grey stays grey, everywhere
    return float(clip.mean())


def test_pq_greys(tmp_path):
    codes = light_to_pq(np.array([0.0, 5.0, 20.0, 50.0, 100.0, 203.0, 500.0, 1000.0, 4000.0]))
    got = [grey(tmp_path / "a.mp4", code, PQ) for code in codes]
    assert got[0] < 0.01
    assert min(np.diff(got)) > -1e-4
    assert got[-2] == pytest.approx(1, abs=0.01)
    assert got[-1] == pytest.approx(1, abs=0.01)
    # Below the knee nothing but scale and gamma: 20 cd/m² of a white of 203.
    assert got[2] == pytest.approx((20 / 203) ** (1 / 2.4), abs=0.01)
    assert got[3] == pytest.approx((50 / 203) ** (1 / 2.4), abs=0.01)
    # Above it room is kept for highlights.
    assert 0.7 < got[5] < 0.95


def test_hlg_greys(tmp_path):
    got = [grey(tmp_path / "a.mp4", code, HLG) for code in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert got == sorted(got)
    assert got[0] < 0.01
    assert got[-1] == pytest.approx(1, abs=0.01)
    # HLG's reference white (75 %) is PQ's 203 cd/m².
    white = grey(tmp_path / "b.mp4", float(light_to_pq(np.array(203.0))), PQ)
    assert got[3] == pytest.approx(white, abs=0.01)


def test_a_saturated_colour_keeps_its_hue(tmp_path):
    """A BT.709 red of 80 cd/m², carried in BT.2020: it must come back red."""
    red_2020 = np.array([0.6274, 0.0691, 0.0164]) * 80
    red, green, blue = light_to_pq(red_2020)
    y = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    cb, cr = (blue - y) / 1.8814, (red - y) / 1.4746
    planes = (round(64 + 876 * y), round(512 + 896 * cb), round(512 + 896 * cr))
    path = make_video(
        tmp_path / "a.mp4",
        [flat(planes, pix_fmt="yuv420p10le")],
        Video(pix_fmt="yuv420p10le", tags=PQ),
    )
    wanted = FrameRequest(width=64, height=48, frames=1, hdr="tonemap")
    got = ((read_frames(path, probe(path), wanted) + 1) / 2)[:, 0, 20, 20]
    assert got[0] == pytest.approx((80 / 203) ** (1 / 2.4), abs=0.02)
    assert got[1:].max() < 0.12
    assert torch.isfinite(got).all()
