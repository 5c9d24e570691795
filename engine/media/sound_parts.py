"""The first sound track of a file, decoded and placed by presentation time. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from engine.errors import MediaError
from engine.media.arrays import Samples
from engine.media.containers import DamagedDataError, audio_stream, opened, reason

# Timestamps are rounded to ticks (1 ms in Matroska): parts follow one another without a seam
# unless they are this far from their place, which means that sound is missing.
_GAP = Fraction(1, 20)
# Seek when more than so many seconds would be decoded for nothing, and come down so much early:
# the first frame that a codec gives after a jump may lack what came before.
SEEK_FROM, SEEK_EARLY = 10, 1
NO_DECODER = "FFmpeg lacks its codec, or its sample rate is missing"
# What to do about sound that cannot be decoded, beside exporting it again.
WITHOUT = "remove the track to treat the clip as silent"


class SoundError(MediaError):
    """A sound track cannot be decoded.

    Attributes:
        why: The reason alone.
    """

    def __init__(self, path: Path, why: str, without: str = WITHOUT) -> None:
        super().__init__(
            f"has a sound track that cannot be decoded ({why})",
            remedy=f"export it again, or {without}",
            file=path,
        )
        self.why = why


class Part(NamedTuple):
    """Some decoded sound.

    Attributes:
        time: When it is heard on the container's own clock, in seconds; None where unknown.
        samples: float32 [channels, n].
        rate: Samples a second.
        layout: What the channels are.
    """

    time: Fraction | None
    samples: Samples
    rate: int
    layout: av.AudioLayout


def sound_parts(
    path: Path, *, seek: Fraction | None = None, layout: str = "", without: str = WITHOUT
) -> Generator[Part]:
    """Yield the sound part by part; nothing where there is no track.

    Args:
        path: A video or a sound.
        seek: Seconds on the container's own clock to begin before; None, and in a file that cannot
            seek: the beginning.
        layout: FFmpeg's name of the channels that are wanted; empty for the track's own.
        without: What to do where it cannot be decoded.

    Raises:
        SoundError: It cannot be decoded.
        MediaError: The file cannot be opened.
    """
    convert: AudioResampler | None = None
    with (
        contextlib.closing(sound_frames(path, seek=seek, without=without)) as frames,
        decoding(path, without),
    ):
        for frame in frames:
            time = frame_begin(frame)
            if frame.format.name == "fltp" and layout in ("", frame.layout.name):
                yield _part(time, [frame])
                continue
            convert = convert or AudioResampler(format="fltp", layout=layout or None)
            frame.pts = None  # the resampler would fill gaps between frames, which have their times
            converted = convert.resample(frame)
            if converted:
                yield _part(time, converted)


def sound_frames(
    path: Path, *, seek: Fraction | None = None, without: str = WITHOUT
) -> Generator[AudioFrame]:
    """Yield the frames of the sound as they are decoded; the arguments are those of `sound_parts`.

    Raises:
        SoundError: It cannot be decoded.
        MediaError: The file cannot be opened.
    """
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            return
        if seek is not None:
            with contextlib.suppress(av.FFmpegError):
                container.seek(int(seek / Fraction(stream.time_base or 1)), stream=stream)
        with decoding(path, without):
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DamagedDataError("damaged data")
                yield from packet.decode()


@contextlib.contextmanager
def decoding(path: Path, without: str = WITHOUT) -> Iterator[None]:
    """Turn errors of FFmpeg's decoders and converters into one about the sound of a file.

    Raises:
        SoundError: The block failed.
    """
    try:
        yield
    except (av.FFmpegError, DamagedDataError, ValueError) as error:
        raise SoundError(path, reason(error), without) from error


def frame_begin(frame: AudioFrame) -> Fraction | None:
    """Return when a frame is heard on the container's own clock, in seconds."""
    return None if frame.pts is None else frame.pts * Fraction(frame.time_base or 1)


def _part(time: Fraction | None, frames: list[AudioFrame]) -> Part:
    arrays = [frame.to_ndarray().astype(np.float32, copy=False) for frame in frames]
    samples = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
    return Part(time, samples, frames[0].sample_rate, frames[0].layout)


def place_of(part: Part, origin: Fraction, follows: int | None) -> int:
    """Return the number of a part's first sample: behind the part before, or by its time.

    Args:
        part: The part.
        origin: When sample 0 is heard on the container's own clock, in seconds.
        follows: The sample behind the part before; None for the first one.
    """
    if part.time is None:
        return follows if follows is not None else -round(origin * part.rate)
    at = round((part.time - origin) * part.rate)
    return follows if follows is not None and abs(at - follows) < _GAP * part.rate else at
