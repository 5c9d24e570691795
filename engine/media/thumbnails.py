"""Some frames of a clip, exactly those that are asked for, as small pictures. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from engine.errors import MediaError
from engine.media import colour
from engine.media.containers import DamagedDataError, decode, opened, reason, require_video, salvage
from engine.media.geometry import Geometry
from engine.media.images import read_image
from engine.media.probe import Probe

Pixels = npt.NDArray[np.uint8]
Check = Callable[[], None]

# Where a file has no index, seek when more than so many seconds would be decoded for nothing.
_SEEK_FROM = 10
# So many seconds are decoded without asking the index.
_NEAR = Fraction(1, 2)
# A seek can come down after the frame; the next try aims so many seconds earlier.
_EARLIER = (0, 2)
# The longest side of a small picture.
MOST_SIDE = 2048
# How bright what is not kept is shown.
_DARKER = 0.35


class Box(NamedTuple):
    """A part of a picture; 0 … 1 from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float


def crop_box(place: Geometry) -> Box:
    """Return which part of the source a bucket keeps."""
    return Box(
        place.left / place.width,
        place.top / place.height,
        (place.left + place.crop_width) / place.width,
        (place.top + place.crop_height) / place.height,
    )


def evenly(first: int, last: int, count: int) -> list[int]:
    """Return up to `count` different numbers, evenly from `first` to `last`, both among them."""
    if count < 1 or last < first:
        return []
    if count == 1 or first == last:
        return [first]
    count = min(count, last - first + 1)
    return [first + round(step * (last - first) / (count - 1)) for step in range(count)]


def spread(frames: int, kept: tuple[int, int], count: int) -> list[int]:
    """Choose frames that show a clip and above all what is kept of it.

    The first and the last kept frame are among them from two frames on. Frames that are not kept
    get their share, at most a third, or what the kept ones leave over.

    Args:
        frames: How many the clip has.
        kept: The first and the last that are kept; (0, -1) for none.
        count: How many to choose, at most.
    """
    first, last = max(0, kept[0]), min(frames - 1, kept[1])
    if last < first:
        return evenly(0, frames - 1, count)
    before, inside, after = first, last - first + 1, frames - 1 - last
    outside = before + after
    share = min(round(count * outside / frames) or 1, count // 3) if outside else 0
    share = min(outside, max(share, count - inside))
    early = round(share * before / outside) if outside else 0
    late = share - early
    return [
        *(first - round(before * (early - step) / early) for step in range(early)),
        *evenly(first, last, count - share),
        *(last + round(after * (step + 1) / late) for step in range(late)),
    ]


def fitting(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same shape that fits; at least a pixel each way."""
    scale = min(most[0] / width, most[1] / height)
    return max(1, min(most[0], round(width * scale))), max(1, min(most[1], round(height * scale)))


def frames_at(
    path: Path,
    probe: Probe,
    times: Iterable[Fraction],
    *,
    steady: bool = True,
    check: Check | None = None,
) -> Generator[VideoFrame]:
    """Yield for each of some times the frame that is shown then.

    Goes to the key frame before and decodes from there, unless what was decoded last is nearer.

    Args:
        path: A video.
        probe: What `engine.media.probe.probe` says about it.
        times: Seconds after the first frame, rising; the same one may come again. Each is asked
            for when the frame before was taken.
        steady: Frame n is shown at n / fps, whatever its timestamp: for sources that are read in
            order. Otherwise timestamps count.
        check: Called before each decoded frame; what it raises ends the reading.

    Raises:
        MediaError: It cannot be decoded that far.
    """
    run: Generator[_Shown] | None = None
    keys = _Keys(path, probe)
    shown: _Shown | None = None
    ahead: _Shown | None = None
    slack = min(probe.tick, Fraction(1, 2000))
    step = 1 / probe.fps if steady else None
    try:
        for time in times:
            if run is None or keys.is_nearer(time, shown.begins if shown else Fraction(0)):
                if run is not None:
                    run.close()
                run, shown, ahead = _from(path, probe, time, steady=steady), None, None
            while shown is None or step is None or shown.begins + step <= time + slack:
                if check is not None:
                    check()
                ahead = ahead or next(run, None)
                if ahead is None or (shown is not None and ahead.begins > time + slack):
                    break
                shown, ahead = ahead, None
            if shown is None:
                raise MediaError("no frame of it decodes", remedy="export it again", file=path)
            yield shown.frame
    finally:
        if run is not None:
            run.close()


class _Shown(NamedTuple):
    """A frame, and when it is first shown: seconds after the first one."""

    begins: Fraction
    frame: VideoFrame


class _Keys:
    """Where a file's key frames are, as far as its index says."""

    def __init__(self, path: Path, probe: Probe) -> None:
        self._probe = probe
        self._path = path

    def is_nearer(self, time: Fraction, position: Fraction) -> bool:
        """Whether a key frame lies between a position and a later time."""
        if time - position < _NEAR:
            return False
        ticks = self._probe.first_pts + int(time / self._probe.tick)
        with opened(self._path) as container:
            index = require_video(container, self._path).index_entries
            if not len(index):
                return time - position > _SEEK_FROM
            at = index.search_timestamp(ticks)
            if at < 0:
                return False
            begins = (index[at].timestamp - self._probe.first_pts) * self._probe.tick
        return begins > position


def _from(path: Path, probe: Probe, time: Fraction, *, steady: bool) -> Generator[_Shown]:
    """Yield frames from some frame at or before `time` on."""
    ticks = probe.first_pts + int(time / probe.tick)
    for earlier in _EARLIER:
        target = ticks - int(earlier / probe.tick)
        if target <= probe.first_pts:
            break
        with contextlib.closing(_decoded(path, probe, target)) as frames:
            head = next(frames, None)
            if head is not None and head.pts is not None and head.pts <= ticks:
                yield from _timed(head, frames, probe, steady=steady)
                return
    with contextlib.closing(_decoded(path, probe, None)) as frames:
        head = next(frames, None)
        if head is not None:
            yield from _timed(head, frames, probe, steady=steady)


def _timed(
    head: VideoFrame, rest: Iterator[VideoFrame], probe: Probe, *, steady: bool
) -> Iterator[_Shown]:
    number = int(_time(head, 0, probe) * probe.fps + Fraction(1, 2))
    yield _Shown(number / probe.fps if steady else _time(head, number, probe), head)
    for frame in rest:
        number += 1
        yield _Shown(number / probe.fps if steady else _time(frame, number, probe), frame)


def _time(frame: VideoFrame, number: int, probe: Probe) -> Fraction:
    if frame.pts is None:
        return number / probe.fps
    return (frame.pts - probe.first_pts) * probe.tick


def _decoded(path: Path, probe: Probe, ticks: int | None) -> Generator[VideoFrame]:
    got = 0
    with opened(path) as container:
        stream = require_video(container, path)
        if ticks is not None:
            # A file that cannot seek is read from its beginning.
            with contextlib.suppress(av.FFmpegError):
                container.seek(ticks, stream=stream)
        try:
            for frame in (salvage if probe.damaged else decode)(container, stream):
                yield frame
                got += 1
        except (av.FFmpegError, DamagedDataError) as error:
            raise MediaError(
                f"damaged: decoding stops after {got} frames ({reason(error)})",
                remedy="copy or export it again, or take the clip out",
                file=path,
            ) from error


def small(frame: VideoFrame, probe: Probe, size: tuple[int, int], *, tonemap: bool) -> Pixels:
    """Return a frame upright and scaled down: uint8 [height, width, 3].

    Args:
        frame: A decoded frame.
        probe: Its clip.
        size: Width and height of the result, at most `MOST_SIDE`.
        tonemap: Whether HDR is mapped to SDR; this alone loads torch.

    Raises:
        MediaError: Its pixels cannot be converted.
    """
    width, height = (max(1, min(MOST_SIDE, side)) for side in size)
    kind = colour.hdr_kind(frame.color_trc) or probe.hdr
    try:
        if kind and tonemap:
            return _sdr(frame, probe, kind, (width, height))
        # Scaled by Pillow: FFmpeg's scaler is up to two steps of 255 off.
        return shrink(upright(frame.to_ndarray(format="rgb24"), probe), (width, height))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"its pixels ({frame.format.name}) cannot be converted to RGB: {reason(error)}",
            remedy="export it as 8-bit yuv420p",
        ) from error


def _sdr(
    frame: VideoFrame, probe: Probe, kind: Literal["pq", "hlg"], size: tuple[int, int]
) -> Pixels:
    """Return a frame of HDR video, scaled first and mapped then, as uint8 [height, width, 3]."""
    from engine.media.tonemap import hdr_to_sdr

    width, height = size if probe.rotation in (0, 180) else size[::-1]
    less = frame.reformat(width=width, height=height, interpolation=Interpolation.AREA)
    less.color_trc, less.colorspace = frame.color_trc, frame.colorspace
    light = hdr_to_sdr(less, kind).permute(1, 2, 0).numpy()
    return upright(np.rint(light.clip(0, 1) * 255).astype(np.uint8), probe)


def upright(pixels: npt.NDArray[np.generic], probe: Probe) -> Pixels:
    """Return [h, w, 3] turned clockwise and flipped as the probe says."""
    turned = np.rot90(pixels, -probe.rotation // 90)
    return np.ascontiguousarray(turned[:, ::-1] if probe.mirrored else turned)


def shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return uint8 [h, w, 3] at another size, each pixel the mean of those that it covers."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def marked(pixels: Pixels, kept: Box | None, line: tuple[int, int, int] | None = None) -> Pixels:
    """Return a picture that is darker outside of what is kept.

    Args:
        pixels: uint8 [h, w, 3].
        kept: The part that stays as it is; None for nothing of it.
        line: Colour of a line around that part, on the darker side; None for none.
    """
    dark = (pixels * _DARKER).astype(np.uint8)
    if kept is None:
        return dark
    height, width = pixels.shape[:2]
    left, right = inner(kept.left, kept.right, width)
    top, bottom = inner(kept.top, kept.bottom, height)
    if line is not None:
        if left:
            dark[max(0, top - 1) : bottom + 1, left - 1] = line
        if right < width:
            dark[max(0, top - 1) : bottom + 1, right] = line
        if top:
            dark[top - 1, max(0, left - 1) : right + 1] = line
        if bottom < height:
            dark[bottom, max(0, left - 1) : right + 1] = line
    dark[top:bottom, left:right] = pixels[top:bottom, left:right]
    return dark


def inner(begin: float, end: float, size: int) -> tuple[int, int]:
    """Return which steps of a side a part of it takes, at least one: (first, behind the last)."""
    first = min(size - 1, round(begin * size))
    return first, max(first + 1, round(end * size))


def still(path: Path, size: tuple[int, int]) -> Pixels:
    """Return an image at a size: uint8 [height, width, 3].

    Raises:
        MediaError: It cannot be read.
    """
    return shrink(read_image(path), size)
