"""Cut a video into pieces without encoding: packets are copied, from key frame to key frame.

A piece begins at the first key frame of its scene, because nothing before one can be decoded alone,
and ends where the frames that follow lean on frames beyond the scene: it holds no frame of another
scene, but may miss some of its own. Which frames it really has is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from engine.errors import MediaError
from engine.files.safe import atomic_path
from engine.media.containers import Check, audio_stream, opened, require_video
from engine.media.cut import writing
from engine.media.scene_options import Cutting
from engine.media.scene_types import CutPiece, Found, Range
from engine.media.timing import measure

# What MP4 holds and players expect in it; everything else goes into Matroska.
_MP4_VIDEO = frozenset({"h264", "hevc", "av1", "mpeg4", "vp9"})
_MP4_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"})
# Packets lie out of order by so many seconds at most: when to stop looking for more.
_REORDER = 3


def copy_suffix(path: Path, *, audio: bool) -> str:
    """Return ".mp4", or ".mkv" for codecs that MP4 does not hold.

    Raises:
        MediaError: The file cannot be opened.
    """
    with opened(path) as container:
        video = require_video(container, path).codec_context.name
        sound = audio_stream(container) if audio else None
        fits = video in _MP4_VIDEO and (sound is None or sound.codec_context.name in _MP4_AUDIO)
    return ".mp4" if fits else ".mkv"


class Copied(NamedTuple):
    """What became of a piece.

    Attributes:
        one: What was asked for.
        kept: The frames that it really has, by number in the whole video.
        error: Why there is none.
    """

    one: CutPiece
    kept: Range
    error: MediaError | None = None


def copy(
    path: Path,
    found: Found,
    wanted: Sequence[CutPiece],
    cutting: Cutting,
    *,
    note: Callable[[Copied, Path], None] | None = None,
    check: Check | None = None,
) -> Generator[Copied]:
    """Write pieces of a video by copying packets, and yield what became of each.

    Args:
        path: The video.
        found: What `engine.media.scenes.find` says about it.
        wanted: The pieces; a scene without a key frame cannot be copied.
        cutting: Whether the sound goes along.
        note: Called with a piece and its whole file, just before that gets its name.
        check: Called before each packet; what it raises ends the copying.

    Raises:
        MediaError: The video cannot be read, or has no times to cut by.
        EnvironmentFaultError: The disk is full, or the folder cannot be written to.
    """
    times = found.times()
    if times is None:
        raise MediaError(
            "has no timestamps that tell its frames apart, and cannot be copied in parts",
            remedy="cut it without --copy",
            file=path,
        )
    source = _Source(path, found, times, cutting, check)
    for one in wanted:
        if one.target is None:
            continue
        try:
            with writing(one.target), atomic_path(one.target) as part:
                copied = Copied(one, _copy_one(source, one, part))
                if note is not None:
                    note(copied, part)
        except MediaError as error:
            copied = Copied(one, Range(0, 0), error)
        yield copied


class _Source(NamedTuple):
    path: Path
    found: Found
    times: npt.NDArray[np.int64]
    cutting: Cutting
    check: Check | None


def _copy_one(source: _Source, one: CutPiece, part: Path) -> Range:
    """Copy a piece, and look whether it decodes to as many frames as it has packets."""
    assert one.target is not None  # noqa: S101 - for the type checker
    scene, times = one.piece.scene, source.times
    # The guard at the beginning is not needed: a key frame is where the encoder saw a new scene.
    first = int(times[scene.first])
    behind = one.piece.kept.end
    end = int(times[behind]) if behind < len(times) else int(times[-1]) + 1
    packets = _video_packets(source, first, end)
    if not packets:
        raise MediaError(
            f"scene {one.piece.number} has no key frame, and cannot be copied",
            remedy="cut it without --copy",
            file=source.path,
        )
    begin, last = packets[0], max(packets)
    with opened(source.path) as container:
        _mux(source, container, one.target.suffix, part, (begin, last))
    counted = measure(part).frames
    if counted != len(packets):
        raise MediaError(
            f"scene {one.piece.number} does not decode alone: {counted} of {len(packets)} frames",
            remedy="cut it without --copy",
            file=source.path,
        )
    number = int(np.searchsorted(times, begin))
    return Range(number, number + len(packets))


def _video_packets(source: _Source, first: int, end: int) -> list[int]:
    """Return the times of the packets that make a piece, in the order in which they lie."""
    taken: list[int] = []
    with opened(source.path) as container:
        stream = require_video(container, source.path)
        for packet in _from(container, stream, first, source.check):
            if packet.pts is None or not packet.size:
                continue
            if not taken:
                if packet.pts >= end + _REORDER / source.found.tick:
                    break
                if packet.is_keyframe and first <= packet.pts < end:
                    taken.append(packet.pts)
                continue
            if packet.pts >= end:
                break  # frames behind it may lean on it
            if packet.pts > taken[0]:  # those before the key frame lean on what is not there
                taken.append(packet.pts)
    return taken


def _from(
    container: InputContainer, stream: Stream, ticks: int, check: Check | None
) -> Iterator[Packet[Stream]]:
    """Yield packets from the key frame before a time on."""
    with contextlib.suppress(av.FFmpegError):
        container.seek(ticks, stream=stream)
    for packet in container.demux(stream):
        if check is not None:
            check()
        yield packet


def _mux(
    source: _Source, container: InputContainer, suffix: str, part: Path, span: tuple[int, int]
) -> None:
    """Copy the packets of a span of picture, and the sound that is heard meanwhile."""
    begin, last = span
    video = require_video(container, source.path)
    sound = audio_stream(container) if source.cutting.audio else None
    kind = "mp4" if suffix == ".mp4" else "matroska"
    options = {"movflags": "+faststart"} if kind == "mp4" else {}
    start = begin * source.found.tick
    with av.open(str(part.absolute()), "w", format=kind, options=options) as out:
        streams: dict[int, Stream] = {video.index: out.add_stream_from_template(video)}
        if sound is not None:
            streams[sound.index] = out.add_stream_from_template(sound)
        with contextlib.suppress(av.FFmpegError):
            container.seek(begin, stream=video)
        stop = _stop_of(source, last)
        wanted = [video] if sound is None else [video, sound]
        has_begun = is_over = False
        for packet in container.demux(wanted):
            if source.check is not None:
                source.check()
            if packet.pts is None or not packet.size:
                continue
            pts = packet.pts  # muxing changes the packet's own
            at = pts * Fraction(packet.time_base or 1)
            if packet.stream is video:
                has_begun = has_begun or pts == begin
                if has_begun and not is_over and begin <= pts <= last:
                    _put(out, packet, streams[video.index], start)
                is_over = is_over or pts > last
            elif start < at + _length(packet) and at < stop:
                _put(out, packet, streams[packet.stream.index], start)
            if at > stop + _REORDER:
                break


def _stop_of(source: _Source, last: int) -> Fraction:
    number = int(np.searchsorted(source.times, last)) + 1
    if number < len(source.times):
        return int(source.times[number]) * source.found.tick
    return last * source.found.tick + 1 / source.found.fps


def _length(packet: Packet[Stream]) -> Fraction:
    return (packet.duration or 0) * Fraction(packet.time_base or 1)


def _put(out: OutputContainer, packet: Packet[Stream], stream: Stream, start: Fraction) -> None:
    """Write a packet, its times counted from the piece's first frame."""
    shift = round(start / Fraction(packet.time_base or 1))
    packet.pts = (packet.pts or 0) - shift
    if packet.dts is not None:
        packet.dts -= shift
    packet.stream = stream
    out.mux(packet)
