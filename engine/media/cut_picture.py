"""How decoded frames become frames for the encoder: upright, even-sized, their colours kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from engine.media.orientation import Turn, turned, upright_size

# What libx264 takes as it is. Others lose their alpha, or are brought to 4:2:0.
_TAKEN = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv420p10le",
     "yuv422p10le", "yuv444p10le"}
)  # fmt: skip
_HALF_CHROMA = frozenset({"yuv420p", "yuvj420p", "yuv420p10le"})
_UNKNOWN = 2  # "unspecified", of matrix, primaries and transfer
_BT709 = 1


class Look(NamedTuple):
    """What the frames of a video have in common.

    Attributes:
        source: The decoded pixel format.
        format: The pixel format that is encoded.
        size: Width and height as decoded.
        turn: How a frame is brought upright.
        tags: Codec context attributes that say what the colours mean.
    """

    source: str
    format: str
    size: tuple[int, int]
    turn: Turn
    tags: dict[str, int]

    @property
    def is_moved(self) -> bool:
        """Whether pixels change their places, or the last row or column goes."""
        odd = self.format in _HALF_CHROMA and (self.size[0] % 2 or self.size[1] % 2)
        return bool(self.turn.rotation or self.turn.mirrored or odd)

    @property
    def out_size(self) -> tuple[int, int]:
        """Width and height as encoded."""
        width, height = upright_size(*self.size, self.turn.rotation)
        even = 2 if self.format in _HALF_CHROMA else 1
        return max(even, width - width % even), max(even, height - height % even)


def look_at(frame: VideoFrame, turn: Turn) -> Look:
    """Decide by the first frame of a piece how it is encoded.

    8-bit and 10-bit YUV stay as they are. What has to be turned, or has an odd side, becomes
    4:2:0 first, which is what most tools read; RGB becomes 4:2:0 in BT.709.

    Args:
        frame: The frame.
        turn: How the video is brought upright, from `engine.media.orientation.of_frame`.
    """
    name = frame.format.name
    deep = max(component.bits for component in frame.format.components) > 8
    plain = "yuv420p10le" if deep else "yuv420p"
    odd = bool(frame.width % 2 or frame.height % 2)
    if name not in _TAKEN or ((turn.rotation or turn.mirrored or odd) and "420" not in name):
        name_out = "yuvj420p" if name.startswith("yuvj") else plain
    else:
        name_out = name
    return Look(name, name_out, (frame.width, frame.height), turn, _tags(frame))


def _tags(frame: VideoFrame) -> dict[str, int]:
    tags: dict[str, int] = {}
    if frame.format.is_rgb:
        tags = {"colorspace": _BT709, "color_primaries": _BT709, "color_trc": _BT709}
    else:
        tags = {
            name: int(getattr(frame, name))
            for name in ("colorspace", "color_primaries", "color_trc")
            if int(getattr(frame, name)) not in (0, _UNKNOWN)
        }
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == int(ColorRange.JPEG)
    if full and not frame.format.is_rgb:
        tags["color_range"] = int(ColorRange.JPEG)
    elif int(frame.color_range) == int(ColorRange.MPEG) or frame.format.is_rgb:
        tags["color_range"] = int(ColorRange.MPEG)
    return tags


def tag(context: VideoCodecContext | CodecContext, look: Look) -> None:
    """Write the meaning of the colours into an encoder."""
    for name, value in look.tags.items():
        setattr(context, name, value)


class Shaper:
    """Turns decoded frames into frames for the encoder."""

    def __init__(self, look: Look) -> None:
        """Prepare for frames that look like this."""
        self._look = look
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame for the encoder: the same one where nothing has to be done.

        Raises:
            ValueError: Its size or format is not that of the first frame.
        """
        look = self._look
        if (frame.width, frame.height) != look.size or frame.format.name != look.source:
            raise ValueError(
                f"changes from {look.size[0]}x{look.size[1]} {look.source} to "
                f"{frame.width}x{frame.height} {frame.format.name} on the way"
            )
        if look.format != look.source:
            frame = self._convert(frame)
        if look.is_moved:
            frame = _moved(frame, look)
        frame.pict_type = PictureType.NONE  # which frames are key frames is the encoder's to say
        return frame

    def _convert(self, frame: VideoFrame) -> VideoFrame:
        if not frame.format.is_rgb:
            return self._reformatter.reformat(frame, format=self._look.format)
        return self._reformatter.reformat(
            frame,
            format=self._look.format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )


def _moved(frame: VideoFrame, look: Look) -> VideoFrame:
    width, height = look.out_size
    moved = VideoFrame(width, height, look.format)
    for old, new in zip(frame.planes, moved.planes, strict=True):
        pixels = turned(_plane(old, deep=look.format.endswith("le")), look.turn)
        pixels = np.ascontiguousarray(pixels[: new.height, : new.width])
        rows = np.zeros((new.height, new.line_size), np.uint8)
        data = pixels.view(np.uint8).reshape(new.height, -1)
        rows[:, : data.shape[1]] = data
        new.update(rows.tobytes())
    return moved


def _plane(plane: object, *, deep: bool) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    height, stride = plane.height, plane.line_size  # type: ignore[attr-defined]
    rows = np.frombuffer(plane, np.uint8).reshape(height, stride)  # type: ignore[call-overload]
    width = plane.width * (2 if deep else 1)  # type: ignore[attr-defined]
    packed = np.ascontiguousarray(rows[:, :width])
    return packed.view(np.uint16) if deep else packed
