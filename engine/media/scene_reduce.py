"""Reduce frames to the very bytes that PySceneDetect works on.

It converts whole frames to BGR (OpenCV by way of FFmpeg's swscale) and then shrinks them with
OpenCV's plain bilinear filter, which reads two source rows for each row that it makes. So of a
large frame only those rows are converted here: the result is the same to the bit.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from engine.media.arrays import Pixels
from engine.media.orientation import of_frame, turned

# PySceneDetect's: frames are reduced until the longer side has so many pixels.
_SIDE = 256
# Picking rows costs as much as it spares until they are fewer than this share of all.
_FEW = 0.3
_PLAIN = frozenset({"yuv420p", "yuvj420p"})


class Reducer:
    """Brings the frames of one video to a size; may be called in several threads."""

    def __init__(self, first: VideoFrame, downscale: int = 0) -> None:
        """Choose the size.

        Args:
            first: A frame; those of another size later on are brought to the size of this one.
            downscale: What width and height are divided by; 0 for about 256 pixels.
        """
        width, height = first.width, first.height
        factor = downscale or max(1.0, max(width, height) / _SIDE)
        self._size = max(1, round(width / factor)), max(1, round(height / factor))
        self._source = (width, height, first.format.name)
        self._pairs = self._row_pairs(first)
        # Once: PyAV's frames hold themselves alive from the moment that one looks at side data.
        self._turn = of_frame(first)
        self._local = threading.local()

    def _row_pairs(self, first: VideoFrame) -> npt.NDArray[np.int64] | None:
        """Return which pairs of rows, which share their chroma, the filter reads; None for all."""
        if first.format.name not in _PLAIN or first.width % 2 or first.height % 2:
            return None
        scale = first.height / self._size[1]
        places = (np.arange(self._size[1]) + 0.5) * scale - 0.5
        rows = [np.floor(places + slack) + step for slack in (-1e-3, 1e-3) for step in (0, 1)]
        pairs = np.unique(np.concatenate(rows).clip(0, first.height - 1).astype(np.int64) // 2)
        return pairs if len(pairs) <= _FEW * first.height / 2 else None

    def __call__(self, frame: VideoFrame) -> Pixels:
        """Return BGR uint8 [h, w, 3], upright."""
        if (
            self._pairs is not None
            and (frame.width, frame.height, frame.format.name) == self._source
        ):
            pixels = self._sparse(frame, self._pairs)
        else:
            pixels = self._bgr(frame)
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            small = cv2.resize(pixels, self._size, interpolation=cv2.INTER_LINEAR)
            pixels = np.asarray(small, dtype=np.uint8)
        return turned(pixels, self._turn)

    def _bgr(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Return a frame in BGR, as OpenCV reads it: uint8 [h, w, 3]."""
        if not hasattr(self._local, "reformatter"):
            self._local.reformatter = VideoReformatter()  # keeps swscale's tables for a size
        # OpenCV's flags. One thread: several frames are at work at once already.
        bgr = self._local.reformatter.reformat(
            frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1
        )
        rows = _rows(bgr.planes[0], bgr.height)
        pixels: npt.NDArray[np.uint8] = rows[:, : bgr.width * 3].reshape(bgr.height, bgr.width, 3)
        return pixels

    def _sparse(self, frame: VideoFrame, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return a frame in BGR in which only the rows are filled in that will be read."""
        width, height, count = frame.width, frame.height, len(pairs)
        if not hasattr(self._local, "sparse"):
            self._local.yuv = np.empty((3 * count, width), np.uint8)
            self._local.sparse = np.zeros((height // 2, 2, width * 3), np.uint8)
        yuv, sparse = self._local.yuv, self._local.sparse
        luma, *chroma = (_rows(plane, plane.height) for plane in frame.planes)
        stride = luma.shape[1]
        yuv[: 2 * count].reshape(count, 2, width)[:] = luma.reshape(-1, 2, stride)[pairs, :, :width]
        packed = yuv[2 * count :].reshape(2, count, width // 2)
        for place, plane in zip(packed, chroma, strict=True):
            place[:] = plane[pairs, : width // 2]
        few = VideoFrame.from_numpy_buffer(yuv, format=frame.format.name)
        few.colorspace, few.color_range = frame.colorspace, frame.color_range
        sparse[pairs] = self._bgr(few).reshape(count, 2, width * 3)
        whole: npt.NDArray[np.uint8] = sparse.reshape(height, width, 3)
        return whole


def _rows(plane: object, height: int) -> npt.NDArray[np.uint8]:
    """Return the bytes of a plane, padding included: uint8 [height, stride]."""
    data = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
    return data.reshape(height, -1)  # type: ignore[no-any-return]
