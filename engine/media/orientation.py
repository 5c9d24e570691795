"""Which way is up: display matrices of videos, as a turn and a flip."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Turn(NamedTuple):
    """How a stored picture is brought upright.

    Attributes:
        rotation: Degrees clockwise: 0, 90, 180 or 270.
        mirrored: Whether it is flipped left to right after that.
    """

    rotation: int
    mirrored: bool


def upright_size(width: int, height: int, rotation: int) -> tuple[int, int]:
    """Return width and height after the turn."""
    return (height, width) if rotation in (90, 270) else (width, height)


def turned(pixels: npt.NDArray[_Scalar], turn: Turn) -> npt.NDArray[_Scalar]:
    """Return a stored picture upright: [H, W] or [H, W, channels], contiguous."""
    pixels = np.rot90(pixels, -turn.rotation // 90)
    return np.ascontiguousarray(pixels[:, ::-1] if turn.mirrored else pixels)


def of_frame(frame: VideoFrame) -> Turn:
    """Return a frame's turn from its display matrix; angles in between go to the nearest."""
    # A mapping by Type at run time; PyAV's stub calls it a TypedDict of plain strings.
    side_data = cast("Mapping[Type, bytes]", frame.side_data)
    if Type.DISPLAYMATRIX not in side_data:
        return Turn(0, mirrored=False)
    return of_matrix(bytes(side_data[Type.DISPLAYMATRIX]))


def of_matrix(data: bytes) -> Turn:
    """Read a display matrix: nine int32 in the machine's order, [a b u; c d v; x y w].

    A stored pixel (x, y) is shown at (a·x + c·y, b·x + d·y), y downwards.
    """
    if len(data) < 36:
        return Turn(0, mirrored=False)
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c  # take the flip off; it comes after the turn
    degrees = math.degrees(math.atan2(b, a))
    return Turn(round(degrees / 90) * 90 % 360, mirrored)
