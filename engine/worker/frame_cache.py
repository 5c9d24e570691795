"""Frames that were read before: stepping through a clip and turning knobs reads none twice."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from engine.files.identity import stat_identity
from engine.media.arrays import Pixels
from engine.media.containers import Check
from engine.media.images import read_image
from engine.media.pictures import rgb
from engine.media.probe import Probe
from engine.media.thumbnails import frames_at, shrink, small

# Bytes of pictures that are kept: small ones, and whole ones without colour for the edges.
_SMALL_BYTES = 64 << 20
_GREY_BYTES = 192 << 20
# So many frames before are read along when one steps back: each is on the way to the next.
_BACK = 12

Grey = npt.NDArray[np.uint8]


class Taken(NamedTuple):
    """A frame by number: small, and whole without colour where that was asked for."""

    number: int
    pixels: Pixels
    grey: Grey | None


class FrameCache:
    """The frames of the clips that were looked at last."""

    def __init__(self) -> None:
        self._small: _Kept = _Kept(_SMALL_BYTES)
        self._grey: _Kept = _Kept(_GREY_BYTES)
        self._reel: _Reel | None = None

    def frames(
        self,
        path: Path,
        probe: Probe,
        numbers: Sequence[int],
        size: tuple[int, int],
        *,
        tonemap: bool,
        grey: bool,
        check: Check,
    ) -> Generator[Taken]:
        """Yield some frames of a clip.

        Args:
            path: A video or an image.
            probe: What is known about it.
            numbers: Of the frames, rising; in a source of variable rate, by time at its average.
            size: Width and height of the small pictures.
            tonemap: Whether HDR is mapped to SDR.
            grey: Whether whole frames without colour are wanted too.
            check: Called before each decoded frame; what it raises ends the reading.

        Raises:
            MediaError: It cannot be read that far.
        """
        clip = _Clip(path, probe, size, tonemap, _stamp(path))
        missing = [n for n in dict.fromkeys(numbers) if self._known(clip, n, grey=grey) is None]
        with contextlib.closing(_read(clip, missing, check)) as frames:
            for number in numbers:
                known = self._known(clip, number, grey=grey)
                yield known or self._keep(clip, number, next(frames), grey=grey)

    def frame(
        self,
        path: Path,
        probe: Probe,
        number: int,
        size: tuple[int, int],
        *,
        tonemap: bool,
        grey: bool,
        check: Check,
    ) -> Taken:
        """Return one frame, as one steps through a clip; see `frames`.

        Where that is quicker the decoding goes on where it was.

        Raises:
            MediaError: It cannot be read that far.
        """
        clip = _Clip(path, probe, size, tonemap, _stamp(path))
        known = self._known(clip, number, grey=grey)
        if known is not None:
            return known
        if probe.kind == "image":
            with contextlib.closing(_read(clip, [number], check)) as frames:
                return self._keep(clip, number, next(frames), grey=grey)
        if self._reel is None or self._reel.of != (path, clip.stamp):
            first = number
        else:
            first = number if number > self._reel.number else max(0, number - _BACK)
        if self._reel is None or first <= self._reel.number or self._reel.of != (path, clip.stamp):
            self.close()
            self._reel = _Reel(clip, check)
        try:
            for each in range(first, number + 1):
                taken = self._keep(clip, each, self._reel.frame(each), grey=grey)
        except BaseException:
            self.close()
            raise
        return taken

    def close(self) -> None:
        """Close the clip that one stepped through."""
        if self._reel is not None:
            self._reel.close()
            self._reel = None

    def _known(self, clip: _Clip, number: int, *, grey: bool) -> Taken | None:
        pixels = self._small.get((*clip.key, clip.size, number))
        whole = self._grey.get((*clip.key, number)) if grey else None
        return None if pixels is None or (grey and whole is None) else Taken(number, pixels, whole)

    def _keep(self, clip: _Clip, number: int, frame: VideoFrame | Pixels, *, grey: bool) -> Taken:
        """Make pictures of a frame, and keep them."""
        if isinstance(frame, np.ndarray):
            pixels = shrink(frame, clip.size)
        else:
            pixels = small(frame, clip.probe, clip.size, tonemap=clip.tonemap)
        self._small.put((*clip.key, clip.size, number), pixels)
        if not grey:
            return Taken(number, pixels, None)
        if not isinstance(frame, np.ndarray):
            frame = rgb(frame, clip.probe, clip.path, tonemap=clip.tonemap)
        whole = _grey(frame)
        self._grey.put((*clip.key, number), whole)
        return Taken(number, pixels, whole)


def drawn_edges(grey: Grey, low: float, high: float, size: tuple[int, int]) -> Pixels:
    """Return the edges of a whole frame as a small picture: uint8 [height, width, 3].

    A line that is thinner than a pixel of it is drawn darker, but not as dark as its share of
    that pixel would be: it could not be seen.
    """
    import cv2  # not before edges are asked for

    from engine.media.canny import edges

    # Of three equal colours OpenCV makes the same grey again.
    found = edges(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), dtype=np.uint8), low, high)
    share = shrink(found, size).astype(np.float32) / 255
    brighter: Pixels = np.rint(255 * np.cbrt(share)).astype(np.uint8)
    return brighter


def _grey(frame: Pixels) -> Grey:
    import cv2

    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


class _Clip(NamedTuple):
    path: Path
    probe: Probe
    size: tuple[int, int]
    tonemap: bool
    stamp: tuple[int, int]

    @property
    def key(self) -> tuple[object, ...]:
        return self.path, self.stamp, self.tonemap


class _Kept:
    """Pictures, those that were asked for longest ago given up first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._pictures: OrderedDict[tuple[object, ...], npt.NDArray[np.uint8]] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> npt.NDArray[np.uint8] | None:
        found = self._pictures.get(key)
        if found is not None:
            self._pictures.move_to_end(key)
        return found

    def put(self, key: tuple[object, ...], picture: npt.NDArray[np.uint8]) -> None:
        before = self._pictures.pop(key, None)
        self._bytes += picture.nbytes - (before.nbytes if before is not None else 0)
        self._pictures[key] = picture
        while self._bytes > self._most and len(self._pictures) > 1:
            self._bytes -= self._pictures.popitem(last=False)[1].nbytes


class _Reel:
    """A clip that is being stepped through.

    Attributes:
        of: The file, and what tells it from another of its name.
        number: The frame that was read last; -1 before the first.
    """

    def __init__(self, clip: _Clip, check: Check) -> None:
        self.of = (clip.path, clip.stamp)
        self.number = -1
        self._fps = clip.probe.fps
        self._frames = frames_at(
            clip.path, clip.probe, self._times(), steady=not clip.probe.vfr, check=check
        )

    def _times(self) -> Iterator[Fraction]:
        while True:
            yield self.number / self._fps

    def frame(self, number: int) -> VideoFrame:
        """Return a frame no earlier than the last one."""
        self.number = number
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()


def _read(clip: _Clip, numbers: Sequence[int], check: Check) -> Generator[VideoFrame | Pixels]:
    if clip.probe.kind == "image":
        for _ in numbers:
            yield read_image(clip.path)
        return
    times = [number / clip.probe.fps for number in numbers]
    steady = not clip.probe.vfr
    with contextlib.closing(
        frames_at(clip.path, clip.probe, times, steady=steady, check=check)
    ) as frames:
        yield from frames


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = stat_identity(path)
    except OSError:
        return 0, 0  # reading it says why
    return found.size, found.mtime_ns
