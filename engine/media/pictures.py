"""Decoded frames as pictures in RGB, upright. Loads no torch but for HDR that is mapped to SDR."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from engine.errors import MediaError
from engine.media import colour
from engine.media.arrays import Floats, Pixels
from engine.media.containers import reason
from engine.media.orientation import turned
from engine.media.probe import Probe

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def picture(
    frame: VideoFrame,
    probe: Probe,
    *,
    tonemap: bool,
    path: Path | None = None,
    matrix: str = "",
    exact: bool = False,
) -> Pixels | Floats:
    """Return a frame upright, with the matrix and the range that it is tagged with.

    By way of rgb24: FFmpeg's own planar RGB (gbrp) is quicker, but leaves the last columns of
    widths that are no multiple of 16 unwritten (seen in swscale 9.5).

    Args:
        frame: A decoded frame.
        probe: Its clip.
        tonemap: Whether HDR is mapped to SDR.
        path: Its file, for errors.
        matrix: The colour matrix to read it with, such as "ITU709"; empty: its own.
        exact: Round to the nearest. FFmpeg's quick way, which the encoder's frames come by, is a
            level or two too dark, and more each time.

    Returns:
        uint8 [H, W, 3]; where HDR was mapped, float32 [H, W, 3] in 0 … 1, gamma-encoded.

    Raises:
        MediaError: Its pixels cannot be converted.
    """
    kind = hdr_of(frame, probe)
    with converting(frame, path):
        if kind and tonemap:
            from engine.media.tonemap import hdr_to_sdr

            light: Floats = hdr_to_sdr(frame, kind).permute(1, 2, 0).numpy()
            return turned(light, probe.turn)
        # By keyword only where it is asked for: None would not mean the frame's own.
        asked: dict[str, Any] = {"src_colorspace": matrix} if matrix else {}
        if exact:
            asked["interpolation"] = _EXACT
        pixels = frame.to_ndarray(format="rgb24", **asked).astype(np.uint8, copy=False)
        return turned(pixels, probe.turn)


def rgb(
    frame: VideoFrame,
    probe: Probe,
    path: Path,
    *,
    tonemap: bool,
    matrix: str = "",
    exact: bool = False,
) -> Pixels:
    """Return a frame upright, as uint8 [H, W, 3] of the clip's size; see `picture`.

    Raises:
        MediaError: Its pixels cannot be converted, or their size changes on the way.
    """
    if (frame.width, frame.height) != (probe.coded_width, probe.coded_height):
        raise MediaError(
            f"its size changes on the way, to {frame.width}x{frame.height}",
            remedy="export it again at one size",
            file=path,
        )
    return as_bytes(picture(frame, probe, tonemap=tonemap, path=path, matrix=matrix, exact=exact))


def as_bytes(pixels: Pixels | Floats) -> Pixels:
    """Return floats in 0 … 1 as uint8, rounded; bytes as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    rounded: Pixels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return rounded


def hdr_of(frame: VideoFrame, probe: Probe) -> Literal["", "pq", "hlg"]:
    """Return a frame's HDR transfer: its own, or its clip's."""
    return colour.hdr_kind(frame.color_trc) or probe.hdr


@contextlib.contextmanager
def converting(frame: VideoFrame, path: Path | None = None) -> Iterator[None]:
    """Turn an error of FFmpeg about a frame's pixels into one that names its format.

    Raises:
        MediaError: The block failed.
    """
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"its pixels ({frame.format.name}) cannot be converted to RGB: {reason(error)}",
            remedy="export it as 8-bit yuv420p",
            file=path,
        ) from error
