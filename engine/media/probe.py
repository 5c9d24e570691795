"""Look at a video, an image or a sound: what it holds, what it will give, what is odd about it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import MediaError
from engine.media import colour, orientation
from engine.media.containers import audio_stream, opened, require_video, seconds, video_stream
from engine.media.images import is_image, read_header
from engine.media.probe_types import PROBE_VERSION, AudioTrack, MediaWarning, Probe
from engine.media.timing import Timing, measure_open, rate_and_regularity
from engine.text import plural

__all__ = ["PROBE_VERSION", "AudioTrack", "MediaWarning", "Probe", "probe"]


def probe(path: Path, *, threads: bool = True) -> Probe:
    """Look at a media file.

    A sound file without a picture gives kind "audio", for datasets with an audio column; see
    `engine.media.selection`, which refuses it where a picture is needed.

    Args:
        path: The file.
        threads: Decode in threads: quicker for one file, slower for many at a time.

    Raises:
        MediaError: It is missing, empty, no media file, or nothing in it decodes.
    """
    if is_image(path):
        return _probe_image(path)
    with opened(path) as container:
        if video_stream(container) is None:
            return _probe_audio(path, container)
        stream = require_video(container, path)
        header = _header(container, stream)
        timing = measure_open(path, container, threads=threads)
    return _probe_video(path, header, timing)


def _probe_image(path: Path) -> Probe:
    header = read_header(path)
    width, height = orientation.upright_size(header.width, header.height, header.rotation)
    warnings = []
    if header.frames > 1:
        warnings.append(
            MediaWarning(
                code="animated",
                text=f"an animated image: only the first of {header.frames} frames is used",
                remedy="convert it to a video to use all of it",
            )
        )
    if header.alpha:
        warnings.append(_alpha_warning())
    return Probe(
        kind="image",
        codec=header.codec,
        pixel_format=header.mode,
        width=width,
        height=height,
        coded_width=header.width,
        coded_height=header.height,
        rotation=header.rotation,
        mirrored=header.mirrored,
        frames=1,
        declared_frames=1,
        duration=1.0,
        alpha=header.alpha,
        warnings=tuple(warnings),
    )


def _probe_audio(path: Path, container: InputContainer) -> Probe:
    stream = audio_stream(container)
    if stream is None:
        raise MediaError(
            "holds neither video nor sound", remedy="check that it is the right file", file=path
        )
    start = seconds(stream.start_time, stream.time_base)
    tracks = _tracks([_track(stream) for stream in container.streams.audio], start)
    return Probe(
        kind="audio",
        codec=tracks[0].codec,
        first_pts=stream.start_time or 0,
        time_base=(stream.time_base or Fraction(1)).as_integer_ratio(),
        start_time=float(start),
        duration=tracks[0].duration,
        audio=tracks,
    )


class _Header(NamedTuple):
    """What a video's header says, before a decoder changes any of it."""

    codec: str
    tick: Fraction
    rate: Fraction | None
    aspect: Fraction
    interlaced: bool
    tracks: tuple[tuple[AudioTrack, Fraction], ...]


def _header(container: InputContainer, stream: VideoStream) -> _Header:
    return _Header(
        codec=stream.codec_context.name,
        tick=Fraction(stream.time_base or 1),
        rate=stream.average_rate or stream.guessed_rate,
        aspect=stream.sample_aspect_ratio or Fraction(1),
        interlaced=stream.codec_context.field_order > 1,
        tracks=tuple(_track(stream) for stream in container.streams.audio),
    )


def _probe_video(path: Path, header: _Header, timing: Timing) -> Probe:
    if timing.first is None:
        raise MediaError(
            "no frame of it decodes",
            remedy="copy or export it again, or take it out of the dataset",
            file=path,
        )
    found = _describe(header, timing, timing.first)
    found = msgspec.structs.replace(found, audio=_tracks(header.tracks, found.origin))
    return msgspec.structs.replace(found, warnings=tuple(_warnings(found)))


def _describe(header: _Header, timing: Timing, first: VideoFrame) -> Probe:
    tick = header.tick
    rate, vfr = rate_and_regularity(timing, tick, header.rate)
    first_pts = timing.pts[0] if timing.pts else first.pts or 0
    turn = orientation.of_frame(first)
    width, height = orientation.upright_size(first.width, first.height, turn.rotation)
    return Probe(
        kind="video",
        codec=header.codec,
        pixel_format=first.format.name,
        width=width,
        height=height,
        coded_width=first.width,
        coded_height=first.height,
        rotation=turn.rotation,
        mirrored=turn.mirrored,
        frames=timing.frames,
        declared_frames=timing.declared,
        frames_source=timing.source,
        damaged=timing.damaged,
        fps_num=rate.numerator,
        fps_den=rate.denominator,
        vfr=vfr,
        first_pts=first_pts,
        time_base=tick.as_integer_ratio(),
        start_time=float(first_pts * tick),
        duration=float(_shown_for(timing, tick, rate)),
        matrix=colour.matrix_name(first.colorspace),
        range=colour.range_name(first.color_range, first.format.name),
        primaries=colour.primaries_name(first.color_primaries),
        transfer=colour.transfer_name(first.color_trc),
        hdr=colour.hdr_kind(first.color_trc),
        pixel_aspect=header.aspect.as_integer_ratio(),
        interlaced=first.interlaced_frame or header.interlaced,
        alpha=any(component.is_alpha for component in first.format.components),
    )


def _shown_for(timing: Timing, tick: Fraction, rate: Fraction) -> Fraction:
    """Return the seconds from the first frame's start to the last one's end."""
    if len(timing.pts) < 2:
        return timing.frames / rate
    last = timing.last_duration * tick or 1 / rate
    return (timing.pts[-1] - timing.pts[0]) * tick + last


def _tracks(
    tracks: Iterable[tuple[AudioTrack, Fraction]], origin: Fraction
) -> tuple[AudioTrack, ...]:
    """Count the starts of sound streams from a moment on the container's clock."""
    return tuple(
        msgspec.structs.replace(track, start=float(start - origin)) for track, start in tracks
    )


def _track(stream: AudioStream) -> tuple[AudioTrack, Fraction]:
    """Describe a sound stream; with it, when it starts on the container's clock."""
    # None where FFmpeg has no decoder, which PyAV's stubs leave out.
    context: AudioCodecContext | None = stream.codec_context
    track = AudioTrack(
        codec=context.name if context else "unknown",
        rate=context.rate if context else 0,
        channels=context.channels if context else 0,
        layout=context.layout.name if context else "unknown",
        start=0.0,
        duration=float(seconds(stream.duration, stream.time_base)),
    )
    return track, seconds(stream.start_time, stream.time_base)


def _warnings(found: Probe) -> list[MediaWarning]:
    checks = (
        _truncated_warning,
        _rate_warning,
        _pixel_warning,
        _interlace_warning,
        _colour_warning,
        _audio_warning,
    )
    warnings = [warning for check in checks if (warning := check(found)) is not None]
    return [*warnings, _alpha_warning()] if found.alpha else warnings


def _truncated_warning(found: Probe) -> MediaWarning | None:
    if not found.damaged:
        return None
    return MediaWarning(
        code="truncated",
        text=f"damaged or cut short: {found.frames:,} of "
        f"{plural(found.declared_frames, 'frame')} decode",
        remedy="copy or export it again to use the rest",
    )


def _rate_warning(found: Probe) -> MediaWarning | None:
    if not found.vfr:
        return None
    return MediaWarning(
        code="vfr",
        text="variable frame rate: sampled by presentation time at its average of "
        f"{float(found.fps):.5g} frames a second",
        remedy="set a target fps to bring all clips to one rate",
    )


def _pixel_warning(found: Probe) -> MediaWarning | None:
    across, down = found.pixel_aspect
    if across == down:
        return None
    return MediaWarning(
        code="pixel_aspect",
        text=f"its pixels are not square ({across}:{down}): the picture is trained as stored, "
        "which looks stretched",
        remedy="export it with square pixels",
    )


def _interlace_warning(found: Probe) -> MediaWarning | None:
    if not found.interlaced:
        return None
    return MediaWarning(
        code="interlaced",
        text="interlaced: moving edges are combed",
        remedy="de-interlace it first",
    )


def _colour_warning(found: Probe) -> MediaWarning | None:
    if found.hdr:
        return MediaWarning(
            code="hdr",
            text=f"HDR ({found.hdr.upper()}): read as it is, its colours would be grey and flat",
            remedy='set video.hdr = "tonemap" to convert it to SDR',
        )
    rgb = found.pixel_format.startswith(("rgb", "bgr", "gbr", "gray", "pal", "0rgb"))
    if found.matrix == "unspecified" and found.height >= 720 and found.width >= 720 and not rgb:
        return MediaWarning(
            code="untagged_matrix",
            text="its colour matrix is not tagged: read as BT.601, as the official "
            "preprocessing does, while video of this size is mostly BT.709",
            remedy="tag it when exporting if greens and reds look off",
        )
    return None


def _audio_warning(found: Probe) -> MediaWarning | None:
    if len(found.audio) < 2:
        return None
    return MediaWarning(
        code="several_tracks",
        text=f"{len(found.audio)} sound tracks: the first one is used",
        remedy="export it with the one that you want",
    )


def _alpha_warning() -> MediaWarning:
    return MediaWarning(
        code="alpha",
        text="transparent: transparency is dropped, hidden colours may show",
        remedy="put it on a background first",
    )
