"""How many frames of a stream truly decode, when each is shown, and at which rate.

Headers lie: a cut made without re-encoding or a broken download keeps the old count. The header is
believed only when all of this holds: its count equals the packets that the file holds; none of them
is marked damaged or to be discarded (edit lists do that); all carry a time; and the last group of
pictures, decoded, gives a frame for each of its packets. Everything else is decoded to the end.
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

from engine.media.containers import DamagedDataError, decode, opened, require_video, salvage

FramesSource = Literal["header", "decoded"]


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
    """What a pass over the packets tells, without decoding."""

    pts: list[int | None]
    last_duration: int
    last_key: int
    key_time: int | None
    clean: bool


class _Tally:
    """Counts frames that pass by, and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.pts: list[int | None] = []
        self.first: VideoFrame | None = None
        self.last_duration = 0

    def add(self, frame: VideoFrame) -> None:
        self.count += 1
        self.pts.append(frame.pts)
        self.first = self.first or frame
        self.last_duration = frame.duration or 0


def measure(path: Path) -> Timing:
    """Count the frames of a video.

    Raises:
        MediaError: The file cannot be opened.
    """
    with opened(path) as container:
        stream = require_video(container, path)
        header = stream.frames
        packets = _scan(container, stream)
    trusted = packets.clean and header == len(packets.pts) and packets.last_key > 0
    if trusted and packets.key_time is not None and _tail_decodes(path, packets):
        with opened(path) as container:
            first = next(decode(container, require_video(container, path)), None)
        return Timing(
            frames=header,
            declared=header,
            source="header",
            damaged=False,
            pts=_known(packets.pts),
            last_duration=packets.last_duration,
            first=first,
        )
    return _decode_all(path, max(header, len(packets.pts)))


def _known(pts: list[int | None]) -> list[int]:
    """Return sorted times, or nothing when one is missing or two are the same."""
    known = sorted(p for p in pts if p is not None)
    return known if len(set(known)) == len(pts) else []


def _scan(container: InputContainer, stream: VideoStream) -> _Packets:
    """Read every packet of the stream; damage ends the scan and is noted."""
    pts: list[int | None] = []
    clean, last_key, key_time, duration = True, 0, None, 0
    latest: int | None = None
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_keyframe:
                last_key, key_time = len(pts), packet.pts
            if packet.pts is not None and (latest is None or packet.pts > latest):
                latest, duration = packet.pts, packet.duration or 0
            clean = clean and _is_plain(packet)
            pts.append(packet.pts)
    except av.FFmpegError:
        clean = False
    return _Packets(pts, duration, last_key, key_time, clean)


def _is_plain(packet: Packet[VideoStream]) -> bool:
    return not (packet.is_corrupt or packet.is_discard) and packet.pts is not None


def _tail_decodes(path: Path, packets: _Packets) -> bool:
    """Whether the last group of pictures gives as many frames as it has packets."""
    with opened(path) as container:
        stream = require_video(container, path)
        try:
            container.seek(packets.key_time or 0, stream=stream)
            shown = sum(
                1
                for frame in decode(container, stream)
                if frame.pts is not None and frame.pts >= (packets.key_time or 0)
            )
        except (av.FFmpegError, DamagedDataError):
            return False
    return shown == len(packets.pts) - packets.last_key


def _decode_all(path: Path, declared: int) -> Timing:
    tally = _Tally()
    damaged = False
    if not _run(path, decode, tally):
        # Threads lose frames that were still in flight when one failed: again, in one thread.
        tally, damaged = _Tally(), True
        _run(path, salvage, tally)
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
        try:
            for frame in read(container, require_video(container, path)):
                tally.add(frame)
        except (av.FFmpegError, DamagedDataError):
            return False
    return True


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
