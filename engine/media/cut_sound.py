"""The sound of a video's pieces: cut to the sample by presentation time, read forwards."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from engine.errors import MediaError
from engine.media.containers import DamagedDataError, audio_stream, opened, reason

Samples = npt.NDArray[np.float32]

# Timestamps are rounded to ticks: frames follow one another without a seam unless they are this
# far from their place, which means that sound is missing.
_GAP = Fraction(1, 20)
# Seek when more than so many seconds would be decoded for nothing, and come down so much early:
# the first frame that a codec gives after a jump may lack what came before.
_SEEK_FROM, _SEEK_EARLY = 10, 1
# Layouts that FFmpeg's AAC encoder takes; others become stereo.
_LAYOUTS = frozenset({"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"})


class Sound:
    """Reads the first sound track of a file forwards, as planar float32."""

    def __init__(self, path: Path) -> None:
        """Look whether there is a track.

        Raises:
            MediaError: There is one, and it cannot be decoded at all.
        """
        self._path = path
        self._run: Generator[tuple[Fraction | None, Samples]] | None = None
        self._parts: deque[tuple[int, Samples]] = deque()
        self._next: int | None = None  # the sample behind the last one that was decoded
        self._ended = False
        self.rate, self.layout, self.channels = self._look()

    def _look(self) -> tuple[int, str, int]:
        with opened(self._path) as container:
            stream = audio_stream(container)
            if stream is None:
                return 0, "", 0
            # None where FFmpeg has no decoder, which PyAV's stubs leave out.
            context: AudioCodecContext | None = stream.codec_context
            rate = context.rate if context else 0
            if context is None or rate < 1:
                raise _unreadable(self._path, "FFmpeg lacks its codec, or its rate is missing")
            layout = context.layout.name
            layout = layout if layout in _LAYOUTS else "stereo"
            return rate, layout, av.AudioLayout(layout).nb_channels

    def close(self) -> None:
        """Close the file."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def is_heard(self, start: Fraction, end: Fraction) -> bool:
        """Whether the track has any sound between two moments of the container's clock."""
        if not self.rate:
            return False
        first, last = round(start * self.rate), round(end * self.rate)
        self._go_to(first)
        self._fill(first + 1)
        self._drop_before(first)
        while not self._parts and not self._ended:
            self._fill((self._next or first) + 1)
            self._drop_before(first)
        return bool(self._parts) and self._parts[0][0] < last

    def read(self, first: int, count: int) -> Samples:
        """Return float32 [channels, count] from sample `first` on; silence where there is none.

        Args:
            first: By the container's clock: seconds times `rate`.
            count: How many.

        Raises:
            MediaError: The track cannot be decoded that far.
        """
        self._go_to(first)
        self._fill(first + count)
        self._drop_before(first)
        samples = np.zeros((self.channels, count), np.float32)
        for at, part in self._parts:
            begin, end = max(at, first), min(at + part.shape[1], first + count)
            if begin < end:
                samples[:, begin - first : end - first] = part[:, begin - at : end - at]
        return samples

    def _go_to(self, first: int) -> None:
        """Open the file, or jump when what lies between is long."""
        here = self._next if self._next is not None else 0
        if self._run is not None and first - here <= _SEEK_FROM * self.rate:
            return
        if self._run is not None and self._ended:
            return
        seek = Fraction(first, self.rate) - _SEEK_EARLY
        if seek > _SEEK_FROM and self._open(seek, first):
            return
        if self._run is None:
            self._open(None, first)

    def _open(self, seek: Fraction | None, first: int) -> bool:
        """Begin to read at a moment; False where that comes down too late."""
        run = _decoded(self._path, seek, self.layout)
        head = next(run, None)
        late = head is None or head[0] is None or head[0] * self.rate > first
        if seek is not None and late:
            run.close()
            return False
        self.close()
        self._run, self._next, self._ended = run, None, head is None
        self._parts.clear()
        if head is not None:
            self._place(*head)
        return True

    def _fill(self, end: int) -> None:
        """Decode as far as a sample."""
        while not self._ended and (self._next is None or self._next < end):
            assert self._run is not None  # noqa: S101 - for the type checker
            head = next(self._run, None)
            if head is None:
                self._ended = True
                return
            self._place(*head)

    def _place(self, time: Fraction | None, samples: Samples) -> None:
        follows = self._next
        at = follows if follows is not None else 0
        if time is not None:
            exact = round(time * self.rate)
            if follows is None or abs(exact - follows) >= _GAP * self.rate:
                at = exact
        self._next = at + samples.shape[1]
        self._parts.append((at, samples))

    def _drop_before(self, first: int) -> None:
        while self._parts and self._parts[0][0] + self._parts[0][1].shape[1] <= first:
            self._parts.popleft()


def _decoded(
    path: Path, seek: Fraction | None, layout: str
) -> Generator[tuple[Fraction | None, Samples]]:
    """Yield when a frame is heard, and its samples: float32 [channels, n]."""
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            return
        if seek is not None:
            # A file that cannot seek is read from its beginning.
            with contextlib.suppress(av.FFmpegError):
                container.seek(int(seek / Fraction(stream.time_base or 1)), stream=stream)
        convert = AudioResampler(format="fltp", layout=layout)
        rate = stream.codec_context.rate
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DamagedDataError("damaged data")
                for frame in packet.decode():
                    if frame.sample_rate != rate:
                        raise _unreadable(path, "its sample rate changes on the way")
                    time = None if frame.pts is None else frame.pts * Fraction(frame.time_base or 1)
                    yield time, _planar(frame, layout, convert)
        except (av.FFmpegError, DamagedDataError, ValueError) as error:
            raise _unreadable(path, reason(error)) from error


def _planar(frame: AudioFrame, layout: str, convert: AudioResampler) -> Samples:
    if frame.format.name == "fltp" and frame.layout.name == layout:
        return frame.to_ndarray().astype(np.float32, copy=False)
    frame.pts = None  # the resampler would fill gaps between frames, which are placed here
    parts = [one.to_ndarray() for one in convert.resample(frame)]
    if not parts:
        return np.empty((av.AudioLayout(layout).nb_channels, 0), np.float32)
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def _unreadable(path: Path, why: str) -> MediaError:
    return MediaError(
        f"has a sound track that cannot be decoded ({why})",
        remedy="export it again, or cut it without sound with --no-audio",
        file=path,
    )
