"""Frames of a hardware decoder as those of software, and the two compared. Loads no torch.

Decoders in hardware give the same values in another arrangement: both colour planes in one, two by
two (nv12), and more than 8 bits at the upper end of 16 (p010). They are only moved here, never
computed: FFmpeg's conversion may round. It makes the frame all the same, for what it copies beside
the pixels and nothing else can: where the colours lie between the pixels decides what they come out
as in RGB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

Values = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# The arrangements that are known, and what software gives for the same video.
_PLAIN = {
    "nv12": ("yuv420p", "yuvj420p"),
    "nv16": ("yuv422p", "yuvj422p"),
    "yuv444p": ("yuvj444p",),
    "p010le": ("yuv420p10le",),
    "p012le": ("yuv420p12le",),
    "p016le": ("yuv420p10le", "yuv420p12le"),
    "p210le": ("yuv422p10le",),
    "p212le": ("yuv422p12le",),
    "p216le": ("yuv422p10le", "yuv422p12le"),
    "yuv444p10msble": ("yuv444p10le",),
    "yuv444p12msble": ("yuv444p12le",),
    "yuv444p16le": ("yuv444p10le", "yuv444p12le"),
}
# What software's frames can look like here: planes of their own for luma and both colours.
PLAIN_FORMATS = frozenset({"yuv444p"}.union(*_PLAIN.values()))
_TAGS = ("colorspace", "color_range", "color_trc", "color_primaries")


class HardwareFaultError(Exception):
    """Hardware gave no frame, or a wrong one; leads to software, and never to a user."""


def to_plain(frame: VideoFrame, pixel_format: str) -> VideoFrame:
    """Return a frame in the arrangement of software, with its times and its colour tags.

    Args:
        frame: As hardware gave it, in the machine's memory.
        pixel_format: What software gives, one of `PLAIN_FORMATS`.

    Raises:
        HardwareFaultError: Its arrangement is another one.
    """
    given = frame.format.name
    if given == pixel_format:
        return frame
    if pixel_format not in _PLAIN.get(given, ()):
        raise HardwareFaultError(f"its frames are {given}, where software gives {pixel_format}")
    plain = frame.reformat(format=pixel_format)
    bits = plain.format.components[0].bits
    down = 16 - bits if bits > 8 else 0
    together = len(frame.planes) == 2
    for number, plane in enumerate(plain.planes):
        source = frame.planes[min(number, 1) if together else number]
        values = _values(source, plane.height, bits)
        if together and number:
            values = values[:, number - 1 :: 2]
        np.right_shift(values[:, : plane.width], down, out=pixels_of(plane, bits))
    for name in _TAGS:
        setattr(plain, name, getattr(frame, name))
    return plain


def difference(got: VideoFrame, wanted: VideoFrame) -> str:
    """Return in which way two plain frames differ, in words; empty where they are the same.

    Both their values and what FFmpeg makes of them in RGB are compared.
    """
    if got.pts != wanted.pts:
        return f"its time is {got.pts} instead of {wanted.pts} ticks"
    is_like, like = _likeness(got), _likeness(wanted)
    if is_like != like:
        return f"it is {is_like} instead of {like}"
    bits = wanted.format.components[0].bits
    for number, other in enumerate(wanted.planes):
        values, expected = pixels_of(got.planes[number], bits), pixels_of(other, bits)
        if not np.array_equal(values, expected):
            count = np.count_nonzero(values != expected)
            return f"{count:,} of its {values.size:,} values differ in plane {number}"
    if not np.array_equal(_rgb(got), _rgb(wanted)):
        return "its colours come out differently in RGB"
    return ""


def _likeness(frame: VideoFrame) -> str:
    tags = "/".join(str(int(getattr(frame, name))) for name in _TAGS)
    return f"{frame.format.name} {frame.width}x{frame.height} tagged {tags}"


def _rgb(frame: VideoFrame) -> npt.NDArray[np.generic]:
    return frame.to_ndarray(format="rgb24")


def pixels_of(plane: VideoPlane, bits: int) -> Values:
    """Return the values of a plane of one component, [H, W]: a view that can be written to."""
    return _values(plane, plane.height, bits)[:, : plane.width]


def _values(plane: VideoPlane, height: int, bits: int) -> Values:
    """Return the rows of a plane as far as they reach in memory, padding included."""
    if bits == 8:
        return np.frombuffer(memoryview(plane), np.uint8).reshape(height, -1)
    return np.frombuffer(memoryview(plane), np.uint16).reshape(height, -1)
