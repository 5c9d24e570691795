"""Decode, scale and crop exactly the frames that a bucket keeps.

The arithmetic is that of the official preprocessing, so that pixels are equal to the bit: rgb24,
then what `engine.media.to_bucket` does. But each frame goes through it alone: one source frame and
one clip of the bucket's size are in memory.
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec
import torch
from av.video.frame import VideoFrame

from engine.errors import MediaError, UsageError
from engine.media.arrays import Floats, Pixels
from engine.media.cores import DECODERS, SCALERS, keep_to_one_core
from engine.media.geometry import fit
from engine.media.images import read_image
from engine.media.pictures import picture
from engine.media.probe import Probe
from engine.media.selection import effective_fps, first_index, in_order, selection_count
from engine.media.to_bucket import ToBucket
from engine.media.video_frames import Source, frame_time, numbered_frames
from engine.text import plural

_Source = TypeVar("_Source")


class Bringer(Protocol):
    """Brings pictures of one size to what is wanted, as a `ToBucket` does."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""

    def __call__(self, pixels: Pixels | Floats, result: torch.Tensor, /) -> None:
        """Write what a picture becomes into `result`."""


# Makes one for pictures of the size of [H, W, 3].
Bring = Callable[[Pixels | Floats, "FrameRequest"], Bringer]


def plain_memory(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor with anything in it."""
    return torch.empty(shape, dtype=dtype)


class FrameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which frames are wanted, and how.

    Attributes:
        width: Of the bucket, in pixels.
        height: Of the bucket.
        frames: How many.
        start: Seconds after the first frame; a source that is read in order starts at the frame
            nearest to it.
        fps: Rate to sample at; None for the source's own, see `engine.media.selection`.
        reshape: "center" or "random".
        seed: For a random crop.
        crop_key: For a random crop: what tells this clip from the others.
        hdr: What to do with HDR video.
    """

    width: int
    height: int
    frames: int
    start: float = 0.0
    fps: Fraction | None = None
    reshape: Literal["center", "random"] = "center"
    seed: int = 0
    crop_key: str = ""
    hdr: Literal["refuse", "tonemap"] = "refuse"


def read_frames(
    path: Path,
    probe: Probe,
    request: FrameRequest,
    dtype: torch.dtype = torch.float32,
    source: Source | None = None,
    empty: Callable[[tuple[int, ...], torch.dtype], torch.Tensor] = plain_memory,
) -> torch.Tensor:
    """Read a clip at the bucket's size.

    Args:
        path: A video or an image.
        probe: What `engine.media.probe.probe` says about it.
        request: Which frames.
        dtype: Of the result. Arithmetic is in float32 and rounded once.
        source: What decodes a video; None for `engine.media.video_frames.video_frames`.
        empty: Makes room for the clip, given its shape and dtype.

    Returns:
        [3, F, H, W] in −1 … 1, contiguous.

    Raises:
        MediaError: It cannot be read, has too few frames, or is HDR and that is refused.
    """
    clip = empty((3, request.frames, request.height, request.width), dtype)
    made = _frames(path, probe, request, lambda at: clip[:, at], source)
    with contextlib.closing(made) as frames:
        for index, frame in enumerate(frames):
            if frame.data_ptr() != clip[:, index].data_ptr():  # one that is shown again
                clip[:, index] = frame
    return clip


def iter_frames(
    path: Path, probe: Probe, request: FrameRequest, dtype: torch.dtype = torch.float32
) -> Generator[torch.Tensor]:
    """Read a clip frame by frame at the bucket's size; the arguments are those of `read_frames`.

    Decoding runs as far as the frames that are asked for, and a few of them ahead: they are scaled
    in threads meanwhile.

    Yields:
        [3, H, W] in −1 … 1. A frame that is shown for long may be yielded more than once, as the
        same tensor: do not write into it.

    Raises:
        MediaError: As for `read_frames`; too few frames in a file that was probed as damaged are
            noticed at once, others when they are missing.
    """
    shape = (3, request.height, request.width)
    return _frames(path, probe, request, lambda _: torch.empty(shape, dtype=dtype))


def brought_frames(
    path: Path,
    probe: Probe,
    request: FrameRequest,
    room: Callable[[int], torch.Tensor],
    bring: Bring,
    source: Source | None = None,
) -> Generator[torch.Tensor]:
    """Read a clip frame by frame, each brought to what is wanted in another way than scaled.

    Args:
        path: As for `read_frames`, and so are the others.
        probe: What is known of it.
        request: Which frames.
        room: Gives the tensor to write a frame into, by its number.
        bring: How frames are brought there.
        source: What decodes a video.

    Yields:
        What `room` gave; that of another frame where the same is shown again.

    Raises:
        MediaError: As for `read_frames`; and whatever `bring` raises.
    """
    return _frames(path, probe, request, room, source, bring)


def _frames(
    path: Path,
    probe: Probe,
    request: FrameRequest,
    room: Callable[[int], torch.Tensor],
    source: Source | None = None,
    bring: Bring | None = None,
) -> Generator[torch.Tensor]:
    """Yield the frames; `room` gives the tensor to write a frame into, by its number."""
    _check(path, probe, request)
    if probe.kind == "image":
        yield from _scaled([path], read_image, request, room, bring)
        return
    got = 0
    shown = functools.partial(picture, probe=probe, tonemap=True, path=path)
    with (
        contextlib.closing(_select(path, probe, request, source)) as selected,
        contextlib.closing(_scaled(selected, shown, request, room, bring)) as scaled,
    ):
        for pixels in scaled:
            yield pixels
            got += 1
    if got < request.frames:
        raise _too_few(path, got, request)


def _scaled(
    sources: Iterable[_Source],
    read: Callable[[_Source], Pixels | Floats],
    request: FrameRequest,
    room: Callable[[int], torch.Tensor],
    bring: Bring | None = None,
) -> Generator[torch.Tensor]:
    """Bring pictures to the bucket's size in threads, in order; the same source once."""
    idle: list[Bringer] = []
    bring = bring or _to_bucket

    def scale(source: _Source, number: int) -> torch.Tensor:
        pixels = read(source)
        try:
            to_bucket = idle.pop()
        except IndexError:
            to_bucket = bring(pixels, request)
        if to_bucket.size != pixels.shape[:2]:
            to_bucket = bring(pixels, request)
        scaled = room(number)
        to_bucket(pixels, scaled)
        idle.append(to_bucket)
        return scaled

    last: _Source | None = None
    under_way: deque[Future[torch.Tensor]] = deque()
    with ThreadPoolExecutor(SCALERS, "scale", initializer=keep_to_one_core) as pool:
        try:
            for number, source in enumerate(sources):
                again = source is last
                under_way.append(under_way[-1] if again else pool.submit(scale, source, number))
                last = source
                while len(under_way) > SCALERS:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _check(path: Path, probe: Probe, request: FrameRequest) -> None:
    if probe.hdr and request.hdr == "refuse":
        raise MediaError(
            f"HDR video ({probe.hdr.upper()})",
            remedy='set video.hdr = "tonemap" to convert it to SDR, or take the clip out',
            file=path,
        )
    if request.start < 0:
        raise UsageError(f"a clip cannot start at {request.start} s", file=path)
    try:
        offered = selection_count(probe, request.fps, request.start)
    except MediaError as error:
        raise MediaError(error.message, remedy=error.remedy, file=path) from error
    if offered < request.frames:
        raise _too_few(path, offered, request, probe)


def _too_few(path: Path, got: int, request: FrameRequest, probe: Probe | None = None) -> MediaError:
    if probe is not None and probe.damaged:
        return MediaError(
            f"damaged or cut short: {probe.frames:,} of "
            f"{plural(probe.declared_frames, 'frame')} decode, and {request.frames:,} are needed",
            remedy="copy or export it again, or use a shorter bucket",
            file=path,
        )
    word = "decodes" if got == 1 else "decode"
    return MediaError(
        f"too short: {plural(got, 'frame')} {word} from {request.start:g} s on, and "
        f"{request.frames:,} are needed",
        remedy="use a shorter bucket, or take the clip out",
        file=path,
    )


def _select(
    path: Path, probe: Probe, request: FrameRequest, source: Source | None
) -> Generator[VideoFrame]:
    """Yield the wanted frames; the same one again where it is shown for more than one."""
    if in_order(probe, request.fps):
        return _take_in_order(path, probe, request, source)
    return _sample(path, probe, request, source)


def _take_in_order(
    path: Path, probe: Probe, request: FrameRequest, source: Source | None = None
) -> Generator[VideoFrame]:
    first = first_index(probe, request.start)
    last = first + request.frames - 1
    decoded = numbered_frames(path, probe, first / probe.fps, DECODERS, source)
    with contextlib.closing(decoded) as numbered:
        for index, frame in numbered:
            if index >= first:
                yield frame
            if index >= last:
                return


def _sample(
    path: Path, probe: Probe, request: FrameRequest, source: Source | None = None
) -> Generator[VideoFrame]:
    """Yield for k = 0, 1, … the frame that is shown at start + k / fps."""
    step = 1 / effective_fps(probe, request.fps)
    start = Fraction(request.start)
    # Timestamps are rounded to ticks: a frame that starts within one of them has started.
    slack = min(probe.tick, Fraction(1, 2000))
    count = 0
    shown: VideoFrame | None = None
    decoded = numbered_frames(path, probe, start, DECODERS, source)
    with contextlib.closing(decoded) as numbered:
        for index, frame in numbered:
            begins = frame_time(frame, index, probe)
            while shown is not None and start + count * step + slack < begins:
                yield shown
                count += 1
                if count == request.frames:
                    return
            shown = frame
    end = Fraction(probe.duration)
    while shown is not None and count < request.frames and start + count * step < end + slack:
        yield shown
        count += 1


def _to_bucket(pixels: Pixels | Floats, request: FrameRequest) -> ToBucket:
    """Return what brings pictures of the size of [H, W, 3] to the bucket's."""
    height, width = pixels.shape[:2]
    place = fit(
        width,
        height,
        request.width,
        request.height,
        request.reshape,
        seed=request.seed,
        crop_key=request.crop_key,
    )
    return ToBucket(width, height, place)
