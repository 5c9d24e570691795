"""How many frames of a stream truly decode, when each is shown, and at which rate.

Headers lie: a cut made without re-encoding or a broken download keeps the old count. The header is
believed only when all of this holds: its count equals the packets that the file holds; none of them
is marked damaged or to be discarded (edit lists do that); all carry a time; and the last group of
pictures, decoded, gives a frame for each of its packets. Everything else is decoded to the end.

The file is opened and read once: the packets since the latest key frame are kept, and decoded where
they lie. Nobody sees these frames, so the decoder is spared the smoothing of block edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.media.containers import (
    DamagedDataError,
    decode,
    opened,
    require_video,
    salvage,
    whole_frames,
)

FramesSource = Literal["header", "decoded"]

# Bytes of packets that are kept at most; a longer group of pictures is read again.
_MOST_KEPT = 1 << 28
_UNSEEN = {"skip_loop_filter": "all"}


class Timing(NamedTuple):
    """The frames of a stream.

    Attributes:
        frames: Frames that decode.
        declared: Frames that the file says or seems to have.
        source: Where `frames` comes from.
        damaged: Whether decoding stopped at damaged data.
        pts: Presentation times in ticks, in order; empty where the file has none.
        last_duration: Ticks that the last frame is shown for; 0 where unknown.
        first: The first frame, or None when nothing decodes.
    """

    frames: int
    declared: int
    source: FramesSource
    damaged: bool
    pts: list[int]
    last_duration: int
    first: VideoFrame | None


class _Packets(NamedTuple):
    """What a pass over the packets tells.

    Attributes:
        kept: The packets since the latest key frame, and the flush; empty where they are too many.
        first: The first whole frame; None where there is none, or it could not be decoded.
    """

    pts: list[int | None]
    last_duration: int
    last_key: int
    key_time: int | None
    clean: bool
    kept: list[Packet[VideoStream]]
    first: VideoFrame | None


class _Tally:
    """Counts frames that pass by, and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.pts: list[int | None] = []
        self.first: VideoFrame | None = None
        self.last_duration = 0

    def take(self, frames: Iterable[VideoFrame]) -> bool:
        """Count frames; return whether all could be read."""
        try:
            for frame in frames:
                self.count += 1
                self.pts.append(frame.pts)
                self.first = self.first or frame
                self.last_duration = frame.duration or 0
        except (av.FFmpegError, DamagedDataError):
            return False
        return True


def measure(path: Path) -> Timing:
    """Count the frames of a video.

    Raises:
        MediaError: The file cannot be opened.
    """
    with opened(path) as container:
        return measure_open(path, container)


def measure_open(path: Path, container: InputContainer, *, threads: bool = True) -> Timing:
    """Count the frames of a video that was just opened; nothing else can be read from it then.

    Args:
        path: The video.
        container: It, opened.
        threads: Decode in threads: quicker for one file, slower for many at a time.

    Raises:
        MediaError: The file holds no video, or cannot be opened again.
    """
    stream = require_video(container, path)
    header = stream.frames
    stream.codec_context.options = _UNSEEN
    if threads:
        stream.thread_type = "AUTO"
    else:
        stream.codec_context.thread_count = 1
    packets = _scan(container, stream)
    trusted = packets.clean and header == len(packets.pts) and packets.last_key > 0
    if trusted and packets.first is not None and _tail_decodes(stream, packets):
        return Timing(
            frames=header,
            declared=header,
            source="header",
            damaged=False,
            pts=_known(packets.pts),
            last_duration=packets.last_duration,
            first=packets.first,
        )
    declared = max(header, len(packets.pts))
    if packets.clean and packets.kept and packets.last_key == 0:
        stream.codec_context.flush_buffers()
        tally = _Tally()
        if tally.take(whole_frames(packets.kept)):
            return _decoded(tally, declared, damaged=False)
    del packets
    return _decode_all(path, declared)


def _known(pts: list[int | None]) -> list[int]:
    """Return sorted times, or nothing when one is missing or two are the same."""
    known = sorted(p for p in pts if p is not None)
    return known if len(set(known)) == len(pts) else []


def _scan(container: InputContainer, stream: VideoStream) -> _Packets:
    """Read every packet of the stream, decode the first ones; damage ends the scan and is noted."""
    pts: list[int | None] = []
    clean, last_key, key_time, duration = True, 0, None, 0
    latest: int | None = None
    kept: list[Packet[VideoStream]] = []
    size = 0
    first: VideoFrame | None = None
    try:
        for packet in container.demux(stream):
            if packet.is_keyframe:
                kept, size = [], 0
            size += packet.size
            if size <= _MOST_KEPT:
                kept.append(packet)
            if not packet.size:
                continue
            if first is None and clean:
                first, clean = _first_whole(packet)
            if packet.is_keyframe:
                last_key, key_time = len(pts), packet.pts
            if packet.pts is not None and (latest is None or packet.pts > latest):
                latest, duration = packet.pts, packet.duration or 0
            clean = clean and _is_plain(packet)
            pts.append(packet.pts)
    except av.FFmpegError:
        clean = False
    if size > _MOST_KEPT:
        kept = []
    return _Packets(pts, duration, last_key, key_time, clean, kept, first)


def _first_whole(packet: Packet[VideoStream]) -> tuple[VideoFrame | None, bool]:
    """Return the first whole frame that a packet gives, if any, and whether it can be decoded."""
    try:
        return next((frame for frame in packet.decode() if not frame.is_corrupt), None), True
    except av.FFmpegError:
        return None, False


def _is_plain(packet: Packet[VideoStream]) -> bool:
    return not (packet.is_corrupt or packet.is_discard) and packet.pts is not None


def _tail_decodes(stream: VideoStream, packets: _Packets) -> bool:
    """Whether the last group of pictures gives as many frames as it has packets."""
    stream.codec_context.flush_buffers()
    since = packets.key_time or 0
    try:
        shown = sum(
            frame.pts is not None and frame.pts >= since for frame in whole_frames(packets.kept)
        )
    except (av.FFmpegError, DamagedDataError):
        return False
    return shown == len(packets.pts) - packets.last_key


def _decode_all(path: Path, declared: int) -> Timing:
    """Read the file again, to its end or to the damage."""
    tally = _Tally()
    damaged = False
    if not _run(path, decode, tally):
        # Threads lose frames that were still in flight when one failed: again, in one thread.
        tally, damaged = _Tally(), True
        _run(path, salvage, tally)
    return _decoded(tally, declared, damaged=damaged)


def _decoded(tally: _Tally, declared: int, *, damaged: bool) -> Timing:
    return Timing(
        frames=tally.count,
        declared=max(declared, tally.count),
        source="decoded",
        damaged=damaged,
        pts=_known(tally.pts),
        last_duration=tally.last_duration,
        first=tally.first,
    )


def _run(
    path: Path,
    read: Callable[[InputContainer, VideoStream], Iterable[VideoFrame]],
    tally: _Tally,
) -> bool:
    with opened(path) as container:
        stream = require_video(container, path)
        stream.codec_context.options = _UNSEEN
        return tally.take(read(container, stream))


def rate_and_regularity(
    timing: Timing, time_base: Fraction, declared: Fraction | None
) -> tuple[Fraction, bool]:
    """Return the frame rate, and whether it varies.

    The rate is the container's average where that fits, which is what the official preprocessing
    takes. A rate is constant when no frame is half a frame or more away from its place at that
    rate: then reading in order and sampling by time give the same frames.

    Args:
        timing: The measured stream.
        time_base: Seconds a tick.
        declared: The average rate that the container declares.
    """
    pts = timing.pts
    if len(pts) < 2:
        return declared or Fraction(25), False
    slowest = Fraction(1, 1001)
    measured = max((len(pts) - 1) / ((pts[-1] - pts[0]) * time_base), slowest)
    if declared and _is_constant(pts, time_base, declared):
        return declared, False
    steps = [b - a for a, b in pairwise(pts)]
    usual = 1 / (Fraction(median(steps)) * time_base)
    if _is_constant(pts, time_base, usual):
        return usual, False
    average = measured.limit_denominator(1001)
    if _is_constant(pts, time_base, average):
        return average, False
    near = declared is not None and abs(declared / measured - 1) < Fraction(1, 4)
    return (declared if declared is not None and near else average), True


def _is_constant(pts: list[int], time_base: Fraction, fps: Fraction) -> bool:
    step = 1 / (fps * time_base)  # ticks a frame
    numerator, denominator = step.numerator, step.denominator
    # |pts − i · step| < step / 2, in whole numbers.
    return all(
        2 * abs((p - pts[0]) * denominator - i * numerator) < numerator for i, p in enumerate(pts)
    )
