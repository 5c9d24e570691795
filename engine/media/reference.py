"""Reference videos: a condition of every frame, in a file of the same size, rate and length.

Frames pass in small groups, so that memory does not grow with a clip's length. Loads no torch but
for HDR that is mapped to SDR.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from engine.errors import MediaError
from engine.files import atomic_path
from engine.media import colour
from engine.media.condition import Condition
from engine.media.containers import DamagedDataError, decode, opened, reason, require_video, salvage
from engine.media.images import is_image, read_image
from engine.media.probe import Probe
from engine.media.sink import video_sink, written_suffix
from engine.media.thumbnails import upright
from engine.text import plural

Pixels = npt.NDArray[np.uint8]
Check = Callable[[], None]
# Ticks at which a frame is shown and for which it lasts; None: one frame after the other.
Times = tuple[int | None, int | None]

SUFFIX = "_reference"
# A condition gets at most so many frames, and so many bytes, at a time.
_MOST_FRAMES = 16
_MOST_BYTES = 48 << 20
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class Made(NamedTuple):
    """A reference that was written."""

    frames: int
    fps: Fraction
    width: int
    height: int


def reference_names(sources: Sequence[Path]) -> dict[Path, Path]:
    """Return the reference of each source: `STEM_reference.EXT` beside it, no two the same.

    Where a container cannot hold H.264 at exact times the reference is an MP4; that of an image is
    a PNG. Where two sources would share a reference, or it is a source itself, the name gets the
    source's suffix too: `a.avi_reference.mp4`.

    Args:
        sources: Absolute paths; one that comes twice counts once.
    """
    unique = list(dict.fromkeys(sources))
    taken = {_key(source) for source in unique}
    # Those whose suffix stays go first, so that names do not depend on the order of the rows.
    kept = [source for source in unique if _suffix(source) == source.suffix.lower()]
    names: dict[Path, Path] = {}
    for source in dict.fromkeys([*kept, *unique]):
        for stem in _stems(source):
            name = source.with_name(f"{stem}{SUFFIX}{_ending(source)}")
            if _key(name) not in taken:
                break
        names[source] = name
        taken.add(_key(name))
    return {source: names[source] for source in unique}


def _stems(source: Path) -> Iterator[str]:
    yield source.stem
    yield source.name
    number = 2
    while True:
        yield f"{source.name}~{number}"
        number += 1


def _key(path: PurePath) -> str:
    return str(path).casefold()  # some disks do not tell A from a


def _suffix(source: Path) -> str:
    return ".png" if is_image(source) else written_suffix(source.suffix)


def _ending(source: Path) -> str:
    """Return the reference's suffix, in the letters of the source where it is the same."""
    suffix = _suffix(source)
    return source.suffix if source.suffix.lower() == suffix else suffix


def make_reference(
    source: Path,
    target: Path,
    condition: Condition,
    probe: Probe,
    *,
    tonemap: bool = False,
    check: Check | None = None,
) -> Made:
    """Write the reference of a clip, whole or not at all.

    It has the clip's size as displayed, its number of frames, and its times: the exact rate, or
    in a source of variable rate the time of each frame. It has no sound.

    Args:
        source: A video or an image.
        target: The file to make or replace; see `reference_names`.
        condition: What is made of the frames.
        probe: What `engine.media.probe.probe` says about the source.
        tonemap: Whether HDR is mapped to SDR first; this alone loads torch.
        check: Called before each group of frames; what it raises ends the work.

    Raises:
        MediaError: The source cannot be read, the condition fails, or the disk is full.
    """
    if probe.kind == "audio":
        raise MediaError("holds sound and no video", remedy="take it out", file=source)
    try:
        if probe.kind == "image":
            return _image(source, target, condition)
        return _video(source, target, condition, probe, tonemap=tonemap, check=check)
    except OSError as error:
        raise MediaError(
            f"cannot be written: {error.strerror or error}",
            remedy="make the folder writable, and space on its disk",
            file=target,
        ) from error


def _image(source: Path, target: Path, condition: Condition) -> Made:
    pixels = condition.apply(read_image(source)[None])[0]
    with atomic_path(target) as part:
        Image.fromarray(pixels).save(part, format="PNG")
    return Made(1, Fraction(1), pixels.shape[1], pixels.shape[0])


def _video(
    source: Path,
    target: Path,
    condition: Condition,
    probe: Probe,
    *,
    tonemap: bool,
    check: Check | None,
) -> Made:
    size = (probe.width, probe.height)
    tick = probe.tick if probe.vfr else None
    with (
        contextlib.closing(_groups(source, probe, tonemap=tonemap)) as groups,
        video_sink(target, size, probe.fps, tick=tick) as sink,
    ):
        for times, frames in groups:
            if check is not None:
                check()
            for (time, lasting), pixels in zip(times, condition.apply(frames), strict=True):
                sink.write(pixels, time, lasting)
        if sink.frames != probe.frames:
            raise MediaError(
                f"{plural(sink.frames, 'frame')} decode, and {probe.frames:,} did before",
                remedy="the file changes, or is damaged: copy or export it again",
                file=source,
            )
    return Made(sink.frames, probe.fps, *size)


def _groups(source: Path, probe: Probe, *, tonemap: bool) -> Generator[tuple[list[Times], Pixels]]:
    """Yield consecutive frames: when and how long they are shown, and their pixels, uint8."""
    bytes_each = probe.width * probe.height * 3
    most = max(1, min(_MOST_FRAMES, _MOST_BYTES // bytes_each))
    times: list[Times] = []
    frames: list[Pixels] = []
    with contextlib.closing(decoded(source, probe)) as shown:
        for frame in shown:
            frames.append(rgb(frame, probe, source, tonemap=tonemap))
            times.append(_times(frame, probe))
            if len(frames) == most:
                yield times, np.stack(frames)
                times, frames = [], []
    if frames:
        yield times, np.stack(frames)


def _times(frame: VideoFrame, probe: Probe) -> Times:
    if not probe.vfr or frame.pts is None:
        return None, None
    return frame.pts - probe.first_pts, frame.duration or None


def decoded(source: Path, probe: Probe) -> Generator[VideoFrame]:
    """Yield all the frames of a video; of a damaged one, those before the damage.

    Raises:
        MediaError: It cannot be decoded.
    """
    got = 0
    with opened(source) as container:
        stream = require_video(container, source)
        try:
            for frame in (salvage if probe.damaged else decode)(container, stream):
                yield frame
                got += 1
        except (av.FFmpegError, DamagedDataError) as error:
            raise MediaError(
                f"damaged: decoding stops after {plural(got, 'frame')} ({reason(error)})",
                remedy="copy or export it again, or take the clip out",
                file=source,
            ) from error


def rgb(
    frame: VideoFrame,
    probe: Probe,
    source: Path,
    *,
    tonemap: bool,
    matrix: str = "",
    exact: bool = False,
) -> Pixels:
    """Return a frame upright, as uint8 [H, W, 3].

    Args:
        frame: A decoded frame.
        probe: Its clip.
        source: Its file, for errors.
        tonemap: Whether HDR is mapped to SDR.
        matrix: The colour matrix to read it with, such as "ITU709"; empty: its own.
        exact: Round to the nearest. FFmpeg's quick way, which the encoder's frames come by, is a
            level or two too dark, and more each time.

    Raises:
        MediaError: Its pixels cannot be converted, or their size changes on the way.
    """
    kind = colour.hdr_kind(frame.color_trc) or probe.hdr
    if (frame.width, frame.height) != (probe.coded_width, probe.coded_height):
        raise MediaError(
            f"its size changes on the way, to {frame.width}x{frame.height}",
            remedy="export it again at one size",
            file=source,
        )
    try:
        if kind and tonemap:
            from engine.media.tonemap import hdr_to_sdr

            light = hdr_to_sdr(frame, kind).permute(1, 2, 0).numpy()
            pixels = np.rint(light.clip(0, 1) * 255).astype(np.uint8)
        else:
            # By keyword only where it is asked for: None would not mean the frame's own.
            asked: dict[str, Any] = {"src_colorspace": matrix} if matrix else {}
            if exact:
                asked["interpolation"] = _EXACT
            pixels = frame.to_ndarray(format="rgb24", **asked)
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"its pixels ({frame.format.name}) cannot be converted to RGB: {reason(error)}",
            remedy="export it as 8-bit yuv420p",
            file=source,
        ) from error
    return upright(pixels, probe)
