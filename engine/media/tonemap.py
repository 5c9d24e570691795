"""HDR to SDR: PQ or HLG light, BT.2390's roll-off, BT.2020 to BT.709, display gamma.

Sources: SMPTE ST 2084 (PQ); ITU-R BT.2100-2 tables 4 and 5 (PQ, HLG and its system gamma);
ITU-R BT.2390-10 § 5.4.1 (the roll-off, "EETF"); ITU-R BT.2087-0 (the gamut); ITU-R BT.1886 (the
display gamma of 2.4); ITU-R BT.2408 (diffuse white at 203 cd/m²).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from av.video.frame import VideoFrame

# Light that becomes SDR white, and the brightest that the curve leaves room for, in cd/m².
_WHITE = 203.0
_PEAK = 1000.0

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

_HLG_A = 0.17883277
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * np.log(4 * _HLG_A)
_HLG_GAMMA = 1.2  # the system gamma for a peak of 1000 cd/m²

_TO_709 = (
    (1.660491, -0.587641, -0.072850),
    (-0.124550, 1.132900, -0.008349),
    (-0.018151, -0.100579, 1.118730),
)
_LUMINANCE_2020 = (0.2627, 0.6780, 0.0593)

_STEPS = 4096  # of the roll-off's table


def hdr_to_sdr(frame: VideoFrame, kind: Literal["pq", "hlg"]) -> torch.Tensor:
    """Return a frame of HDR video as SDR.

    The matrix is the frame's own, or BT.2020's where it names none; all bits are used.

    Args:
        frame: A decoded frame.
        kind: Its transfer.

    Returns:
        float32 [3, H, W] in 0 … 1, gamma-encoded BT.709.
    """
    known = frame.colorspace not in (0, 2)
    wide = frame.to_ndarray(format="rgb48le", src_colorspace=None if known else "BT2020")
    codes = torch.from_numpy(wide.astype(np.int32).transpose(2, 0, 1).copy())
    light = _light_table(kind)[codes]
    if kind == "hlg":
        light = _system_gamma(light)
    return _encode(_to_709(_roll_off(light)))


def pq_to_light(
    code: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return cd/m² for PQ code values in 0 … 1."""
    power = code ** (1 / _M2)
    return np.asarray(
        10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1), dtype=np.float64
    )


def light_to_pq(
    light: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return PQ code values in 0 … 1 for cd/m²."""
    power = (np.maximum(light, 0) / 10000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, dtype=np.float64)


@cache
def _light_table(kind: Literal["pq", "hlg"]) -> torch.Tensor:
    """Return light for every 16-bit code: cd/m² (PQ), or scene light in 0 … 1 (HLG)."""
    code = np.arange(65536, dtype=np.float64) / 65535
    if kind == "pq":
        light = pq_to_light(code)
    else:
        low = code**2 / 3
        high = (np.exp((code - _HLG_C) / _HLG_A) + _HLG_B) / 12
        light = np.where(code <= 0.5, low, high)
    return torch.from_numpy(light.astype(np.float32))


def _system_gamma(scene: torch.Tensor) -> torch.Tensor:
    """Return cd/m² on a display of 1000 cd/m² for HLG scene light (BT.2100's OOTF)."""
    weights = torch.tensor(_LUMINANCE_2020).view(3, 1, 1)
    luminance = (scene * weights).sum(0, keepdim=True)
    return scene.mul_(_PEAK * luminance.clamp_(min=0).pow_(_HLG_GAMMA - 1))


@cache
def _gain_table() -> torch.Tensor:
    """Return what light is multiplied by, over its PQ code: roll-off and scale to SDR white.

    BT.2390's spline, in PQ normalised to the source's peak: unchanged below the knee, a Hermite
    curve from there to the target's peak.
    """
    peak = float(light_to_pq(np.array(_PEAK)))
    top = float(light_to_pq(np.array(_WHITE))) / peak
    knee = 1.5 * top - 0.5
    code = np.arange(_STEPS + 1, dtype=np.float64) / _STEPS
    level = np.minimum(code / peak, 1)
    t = np.maximum(level - knee, 0) / (1 - knee)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * top
    )
    mapped = pq_to_light(np.where(level < knee, level, curve) * peak)
    light = pq_to_light(code)
    gain = np.divide(mapped, light, out=np.ones_like(light), where=light > 0) / _WHITE
    gain[0] = 1 / _WHITE
    return torch.from_numpy(gain.astype(np.float32))


def _roll_off(light: torch.Tensor) -> torch.Tensor:
    """Scale cd/m² to 0 … 1 by one factor a pixel, from its largest channel, which keeps its hue."""
    power = (light.amax(0) / 10000).pow_(_M1)
    code = ((_C1 + _C2 * power) / (1 + _C3 * power)).pow_(_M2)
    table = _gain_table()
    place = (code * _STEPS).clamp_(0, _STEPS - 1e-3)
    below = place.to(torch.int64)
    gain = torch.lerp(table[below], table[below + 1], place - below)
    return light.mul_(gain)


def _to_709(linear: torch.Tensor) -> torch.Tensor:
    """Return BT.709 light for BT.2020 light; colours outside of it are clipped."""
    _, height, width = linear.shape
    mixed = torch.tensor(_TO_709) @ linear.reshape(3, -1)
    return mixed.clamp_(0, 1).reshape(3, height, width)


def _encode(linear: torch.Tensor) -> torch.Tensor:
    return linear.pow_(1 / 2.4)
