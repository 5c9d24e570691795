"""Proxies: a clip written anew, upright, at a constant rate, in SDR, its sound in its place.

The original is only read. Frames and sound pass one after the other, so that memory does not grow
with a clip's length. Loads no torch but for HDR.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from PIL import Image

from engine.errors import MediaError
from engine.files import atomic_path
from engine.media.bars import Borders
from engine.media.containers import DamagedDataError, audio_stream, opened, reason
from engine.media.images import read_image
from engine.media.probe import Probe
from engine.media.reference import Made, decoded, rgb
from engine.media.selection import in_order, selection_count
from engine.media.sink import AAC_RATES, SoundFormat, VideoSink, video_sink
from engine.media.thumbnails import frames_at

Pixels = npt.NDArray[np.uint8]
Check = Callable[[], None]

# Nearly as large as the original, so that little is lost in being coded twice.
_CRF = 12
# As in `engine.media.audio`: frames of sound that are this near to their place follow one another.
_GAP = Fraction(1, 20)
_LAYOUTS = frozenset({"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"})
_BLOCK = 1 << 16  # samples of silence written at a time


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
    try:
        if probe.kind == "image":
            with atomic_path(target) as part:
                Image.fromarray(_cropped(read_image(source), crop)).save(part, format="PNG")
            return Made(1, Fraction(1), width, height)
        return _video(source, target, probe, treatment, (width, height), check)
    except OSError as error:
        raise MediaError(
            f"cannot be written: {error.strerror or error}",
            remedy="make the folder writable, and space on its disk",
            file=target,
        ) from error


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
    sound = _sound_format(source, probe)
    pixels = np.empty(0, np.uint8)
    done: VideoFrame | None = None
    with (
        contextlib.closing(_frames(source, probe, rate)) as frames,
        video_sink(target, size, rate, sound=sound, crf=_CRF) as sink,
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
        if sound is not None:
            _write_sound(source, probe, sound, Fraction(sink.frames) / rate, sink, check)
    return Made(sink.frames, rate, *size)


def _cropped(pixels: Pixels, crop: Borders) -> Pixels:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(
        pixels[crop.top : height - crop.bottom, crop.left : width - crop.right]
    )


def _frames(source: Path, probe: Probe, rate: Fraction) -> Generator[VideoFrame]:
    """Yield the frames of a constant rate, the same one again where it is shown for longer."""
    if in_order(probe, rate):
        yield from decoded(source, probe)
        return
    times = [number / rate for number in range(max(1, selection_count(probe, rate)))]
    yield from frames_at(source, probe, times, steady=False)


def _sound_format(source: Path, probe: Probe) -> SoundFormat | None:
    if not probe.audio:
        return None
    track = probe.audio[0]
    if track.rate < 1:
        raise MediaError(
            "has a sound track that cannot be decoded (FFmpeg lacks its codec)",
            remedy="export it again, or remove the track",
            file=source,
        )
    rate = track.rate if track.rate in AAC_RATES else AAC_RATES[-1]
    return SoundFormat(rate, track.layout if track.layout in _LAYOUTS else "stereo")


def _write_sound(
    source: Path,
    probe: Probe,
    sound: SoundFormat,
    seconds: Fraction,
    sink: VideoSink,
    check: Check | None,
) -> None:
    """Write the first sound track in its place: silence where there is none, nothing beyond."""
    rate = probe.audio[0].rate
    total = int(seconds * rate)
    at = 0
    for begin, samples in _placed(source, probe, sound.layout):
        if check is not None:
            check()
        if begin >= total:
            break
        if begin > at:
            at = _silence(sink, sound.layout, rate, at, begin, len(samples))
        kept = samples[:, max(0, at - begin) : total - begin]
        if kept.shape[1]:
            sink.write_sound(_sound_frame(kept, sound.layout, rate, at))
            at += kept.shape[1]
    _silence(sink, sound.layout, rate, at, total, _channels(sound.layout))


def _channels(layout: str) -> int:
    return av.AudioLayout(layout).nb_channels


def _silence(sink: VideoSink, layout: str, rate: int, begin: int, end: int, channels: int) -> int:
    """Write silence from one sample to another; return the latter."""
    for at in range(begin, end, _BLOCK):
        empty = np.zeros((channels, min(_BLOCK, end - at)), dtype=np.float32)
        sink.write_sound(_sound_frame(empty, layout, rate, at))
    return max(begin, end)


def _sound_frame(samples: npt.NDArray[np.float32], layout: str, rate: int, at: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
    return frame


def _placed(
    source: Path, probe: Probe, layout: str
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield blocks of sound, float32 [channels, n], each with the sample at which it begins."""
    rate = probe.audio[0].rate
    follows: int | None = None
    for frame in _heard(source, layout, damaged=probe.damaged):
        samples = np.asarray(frame.to_ndarray(), dtype=np.float32)
        begin = follows if follows is not None else round(-probe.origin * rate)
        if frame.pts is not None and frame.time_base is not None:
            at = round((frame.pts * Fraction(frame.time_base) - probe.origin) * rate)
            if follows is None or abs(at - follows) >= _GAP * rate:
                begin = at
        yield begin, samples
        follows = begin + samples.shape[1]


def _heard(source: Path, layout: str, *, damaged: bool) -> Iterator[AudioFrame]:
    """Yield decoded frames as planar float32; of a damaged file, what comes before the damage."""
    with opened(source) as container:
        stream = audio_stream(container)
        if stream is None:
            return
        resampler = AudioResampler(format="fltp", layout=layout)
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DamagedDataError("damaged data")
                for frame in packet.decode():
                    if frame.format.name == "fltp" and frame.layout.name == layout:
                        yield frame
                    else:
                        yield from resampler.resample(frame)
        except (av.FFmpegError, DamagedDataError, ValueError) as error:
            if damaged:
                return
            raise MediaError(
                f"has a sound track that cannot be decoded ({reason(error)})",
                remedy="export it again, or remove the track to treat the clip as silent",
                file=source,
            ) from error
