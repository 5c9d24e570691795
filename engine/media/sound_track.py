"""A file's sound, read forwards: any span of it, to the sample by presentation time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from engine.errors import MediaError
from engine.media.aac import aac_layout
from engine.media.arrays import Samples
from engine.media.containers import audio_stream, opened
from engine.media.sound_parts import (
    NO_DECODER,
    SEEK_EARLY,
    SEEK_FROM,
    WITHOUT,
    Part,
    SoundError,
    place_of,
    sound_parts,
)


class SoundTrack:
    """Reads the first sound track of a file, in a layout that can be written as AAC.

    Attributes:
        rate: Samples a second; 0 where there is no track.
        layout: FFmpeg's name of the channels.
        channels: How many.
    """

    def __init__(
        self,
        path: Path,
        *,
        origin: Fraction = Fraction(0),
        damaged: bool = False,
        without: str = WITHOUT,
    ) -> None:
        """Look whether there is a track.

        Args:
            path: A video or a sound.
            origin: When sample 0 is heard on the container's own clock, in seconds.
            damaged: Take what cannot be decoded for the end of the track.
            without: What to do where it cannot be decoded.

        Raises:
            MediaError: There is a track, and it cannot be decoded at all.
        """
        self._path = path
        self._origin = origin
        self._damaged = damaged
        self._without = without
        self._run: Generator[Part] | None = None
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
            if context is None or context.rate < 1:
                raise SoundError(self._path, NO_DECODER, self._without)
            layout = aac_layout(context.layout.name)
            return context.rate, layout, av.AudioLayout(layout).nb_channels

    def close(self) -> None:
        """Close the file."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def is_heard(self, first: int, end: int) -> bool:
        """Whether the track has any sound from sample `first` up to, but without, `end`."""
        if not self.rate:
            return False
        self._go_to(first)
        self._fill(first + 1)
        self._drop_before(first)
        while not self._parts and not self._ended:
            self._fill((self._next or first) + 1)
            self._drop_before(first)
        return bool(self._parts) and self._parts[0][0] < end

    def read(self, first: int, count: int) -> Samples:
        """Return float32 [channels, count] from sample `first` on; silence where there is none.

        Args:
            first: Seconds after `origin`, times `rate`.
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
        if self._run is not None and first - here <= SEEK_FROM * self.rate:
            return
        if self._run is not None and self._ended:
            return
        seek = self._origin + Fraction(first, self.rate) - SEEK_EARLY
        if seek > SEEK_FROM and self._open(seek, first):
            return
        if self._run is None:
            self._open(None, first)

    def _open(self, seek: Fraction | None, first: int) -> bool:
        """Begin to read at a moment; False where that comes down too late."""
        run = sound_parts(self._path, seek=seek, layout=self.layout, without=self._without)
        head = self._decode(run)
        if seek is not None and (
            head is None or head.time is None or (head.time - self._origin) * self.rate > first
        ):
            run.close()
            return False
        self.close()
        self._run, self._next, self._ended = run, None, head is None
        self._parts.clear()
        if head is not None:
            self._place(head)
        return True

    def _decode(self, run: Generator[Part]) -> Part | None:
        """Return the next part; None at the end."""
        try:
            part = next(run, None)
        except MediaError:
            if not self._damaged:
                raise
            return None
        if part is not None and part.rate != self.rate:
            raise SoundError(self._path, "its sample rate changes on the way", self._without)
        return part

    def _fill(self, end: int) -> None:
        """Decode as far as a sample."""
        while not self._ended and (self._next is None or self._next < end):
            assert self._run is not None  # noqa: S101 - for the type checker
            part = self._decode(self._run)
            if part is None:
                self._ended = True
                return
            self._place(part)

    def _place(self, part: Part) -> None:
        at = place_of(part, self._origin, self._next)
        self._next = at + part.samples.shape[1]
        self._parts.append((at, part.samples))

    def _drop_before(self, first: int) -> None:
        while self._parts and self._parts[0][0] + self._parts[0][1].shape[1] <= first:
            self._parts.popleft()
