"""Proxies: a clip written anew, upright, at a constant rate, in SDR, its sound in its place.

The original is only read. Frames and sound pass one after the other, so that memory does not grow
with a clip's length. Loads no torch but for HDR.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.aac import sound_frame
from engine.media.arrays import Pixels
from engine.media.bars import Borders
from engine.media.containers import Check
from engine.media.images import read_image, write_png
from engine.media.pictures import rgb
from engine.media.probe import Probe
from engine.media.reference import Made
from engine.media.selection import in_order, selection_count
from engine.media.sink import SoundFormat, VideoSink, disk_faults, video_sink
from engine.media.sound_track import SoundTrack
from engine.media.thumbnails import frames_at
from engine.media.video_frames import video_frames

# Nearly as large as the original, so that little is lost in being coded twice.
_CRF = 12


class Treatment(msgspec.Struct, frozen=True, kw_only=True):
    """What a proxy has that its source has not; upright, SDR and in place it always is.

    Attributes:
        rate: Frames a second, numerator and denominator; None for the source's own in the mean.
        crop: Lines to leave out on each side, as displayed.
        matrix: The colour matrix that the source is read with, such as "ITU709"; empty: its own.
    """

    rate: tuple[int, int] | None = None
    crop: Borders | None = None
    matrix: str = ""


def make_proxy(
    source: Path,
    target: Path,
    probe: Probe,
    treatment: Treatment,
    *,
    check: Check | None = None,
) -> Made:
    """Write a proxy, whole or not at all.

    Args:
        source: A video or an image; it is not changed.
        target: The file to make or replace: .mp4, or .png for an image.
        probe: What `engine.media.probe.probe` says about the source.
        treatment: What is changed.
        check: Called before each frame; what it raises ends the work.

    Raises:
        MediaError: The source cannot be read, nothing of it is left, or the disk is full.
    """
    if probe.kind == "audio":
        raise MediaError("holds sound and no video", remedy="take it out", file=source)
    crop = treatment.crop or Borders()
    width = probe.width - crop.left - crop.right
    height = probe.height - crop.top - crop.bottom
    if width < 1 or height < 1:
        raise MediaError("nothing is left without its bars", remedy="take it out", file=source)
    with disk_faults(target):
        if probe.kind == "image":
            write_png(target, _cropped(read_image(source), crop))
            return Made(1, Fraction(1), width, height)
        return _video(source, target, probe, treatment, (width, height), check)


def _video(
    source: Path,
    target: Path,
    probe: Probe,
    treatment: Treatment,
    size: tuple[int, int],
    check: Check | None,
) -> Made:
    rate = Fraction(*treatment.rate) if treatment.rate else probe.fps
    crop = treatment.crop or Borders()
    sound = SoundTrack(source, origin=probe.origin, damaged=probe.damaged)
    heard = SoundFormat(sound.rate, sound.layout) if sound.rate else None
    pixels = np.empty(0, np.uint8)
    done: VideoFrame | None = None
    with (
        contextlib.closing(sound),
        contextlib.closing(_frames(source, probe, rate)) as frames,
        video_sink(target, size, rate, sound=heard, crf=_CRF) as sink,
    ):
        for frame in frames:
            if check is not None:
                check()
            if frame is not done:
                upright = rgb(
                    frame, probe, source, tonemap=True, matrix=treatment.matrix, exact=True
                )
                pixels, done = _cropped(upright, crop), frame
            sink.write(pixels)
        if heard is not None:
            _write_sound(sound, sink.frames / rate, sink, check)
    return Made(sink.frames, rate, *size)


def _cropped(pixels: Pixels, crop: Borders) -> Pixels:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(
        pixels[crop.top : height - crop.bottom, crop.left : width - crop.right]
    )


def _frames(source: Path, probe: Probe, rate: Fraction) -> Generator[VideoFrame]:
    """Yield the frames of a constant rate, the same one again where it is shown for longer."""
    if in_order(probe, rate):
        yield from video_frames(source, probe)
        return
    times = [number / rate for number in range(max(1, selection_count(probe, rate)))]
    yield from frames_at(source, probe, times, steady=False)


def _write_sound(
    sound: SoundTrack, seconds: Fraction, sink: VideoSink, check: Check | None
) -> None:
    """Write the sound of so many seconds: silence where there is none, nothing beyond."""
    total = int(seconds * sound.rate)
    for at in range(0, total, sound.rate):
        if check is not None:
            check()
        samples = sound.read(at, min(sound.rate, total - at))
        sink.write_sound(sound_frame(samples, sound.layout, sound.rate, at))
