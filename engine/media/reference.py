"""Reference videos: a condition of every frame, in a file of the same size, rate and length.

Frames pass in small groups, so that memory does not grow with a clip's length. Loads no torch but
for HDR that is mapped to SDR.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.arrays import Pixels
from engine.media.condition import Condition
from engine.media.containers import Check
from engine.media.images import is_image, read_image, write_png
from engine.media.pictures import rgb
from engine.media.probe import Probe
from engine.media.sink import disk_faults, video_sink, written_suffix
from engine.media.video_frames import video_frames
from engine.text import plural

# Ticks at which a frame is shown and for which it lasts; None: one frame after the other.
Times = tuple[int | None, int | None]

SUFFIX = "_reference"
# A condition gets at most so many frames, and so many bytes, at a time.
_MOST_FRAMES = 16
_MOST_BYTES = 48 << 20


class Made(NamedTuple):
    """A picture or a video that was written."""

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
        for stem in stems(source):
            name = source.with_name(f"{stem}{SUFFIX}{_ending(source)}")
            if _key(name) not in taken:
                break
        names[source] = name
        taken.add(_key(name))
    return {source: names[source] for source in unique}


def stems(source: Path) -> Iterator[str]:
    """Yield names for a file that is made of a source, the plainest first, without end."""
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
    with disk_faults(target):
        if probe.kind == "image":
            return _image(source, target, condition)
        return _video(source, target, condition, probe, tonemap=tonemap, check=check)


def _image(source: Path, target: Path, condition: Condition) -> Made:
    pixels = condition.apply(read_image(source)[None])[0]
    write_png(target, pixels)
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
    with contextlib.closing(video_frames(source, probe)) as shown:
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
