"""Clips decoded in hardware where that gives software's very frames, and in software elsewhere.

A kind of video (codec, profile, pixel format, size, colours) is proved once a process, on its
first clip; see `engine.media.hardware_decoder`. The first frame of each further clip is held
against software's as well, which tells clips that only look like the others, such as one with film
grain. Whatever fails on the way is done again in software: no clip fails because of hardware.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

from av.container import InputContainer
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.containers import opened, require_video
from engine.media.hardware_decoder import FEWEST, Decoder, Kind, kind_of
from engine.media.hardware_planes import PLAIN_FORMATS, HardwareFaultError, difference
from engine.media.probe_types import Probe
from engine.media.video_frames import Known, Source, video_frames
from engine.text import visible

log = logging.getLogger("ltx_tui.encoder")

R = TypeVar("R")


class HardwareDecoding:
    """Reads clips for one stage, and says once what is left to software and why."""

    def __init__(self, decoder: Decoder | None, tell: Callable[[str], object]) -> None:
        """Open nothing yet.

        Args:
            decoder: The hardware; None for software alone.
            tell: Told in words, once each, why something is decoded in software.
        """
        self._decoder = decoder
        self._tell = tell
        self._told: set[str] = set()

    def read(self, path: Path, probe: Probe, read: Callable[[Source | None], R]) -> R:
        """Read a clip by way of hardware if it may, else by way of software.

        Args:
            path: The clip.
            probe: What is known about it.
            read: Does it with the frames of a source, or in software where that is None; it is
                called again in software where hardware fails on the way.

        Returns:
            What `read` does.

        Raises:
            MediaError: The clip cannot be read in software.
        """
        decoder = self._decoder
        if decoder is None or not suits(probe):
            return read(None)
        if why := decoder.unusable:
            self._say(f"no hardware decoding, clips are decoded in software: {why}")
            return read(None)
        clip = _Clip(decoder, probe)
        try:
            return read(clip.frames)
        except _RefusedError as refused:
            self._say(f"{clip.kind} is decoded in software: {refused}")
            fault = ""
        except (HardwareFaultError, MediaError) as error:
            fault = error.message if isinstance(error, MediaError) else str(error)
        found = read(None)
        if fault and clip.kind is not None:
            text = f"hardware failed on a clip, which was decoded again in software: {fault}"
            log.warning("%s: %s (%s)", path.name, text, clip.kind)
            if decoder.failed(clip.kind):
                self._say(f"{visible(path.name)}: {text}")
        return found

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def suits(probe: Probe) -> bool:
    """Whether hardware is asked at all: not for images, damage, HDR, or a handful of frames."""
    return (
        probe.kind == "video"
        and not probe.damaged
        and not probe.hdr
        and probe.pixel_format in PLAIN_FORMATS
        and probe.frames >= FEWEST
    )


class _RefusedError(Exception):
    """The clip is of a kind that is left to software; the text says why."""


class _Clip:
    """One clip that is read in hardware.

    Attributes:
        kind: Known once it was opened.
    """

    def __init__(self, decoder: Decoder, probe: Probe) -> None:
        self._decoder = decoder
        self._probe = probe
        self.kind: Kind | None = None

    def frames(
        self,
        path: Path,
        known: Known,  # noqa: ARG002 (a source's arguments; the probe says more)
        ticks: int | None,
        threads: int,  # noqa: ARG002 (that is for the hardware to decide)
    ) -> Generator[VideoFrame]:
        """Be a source of frames; the first one is held against software's.

        Raises:
            HardwareFaultError: Hardware failed, or gave another frame.
            _RefusedError: The clip's kind is left to software.
            MediaError: Software cannot decode the first frame.
        """
        probe = self._probe
        with contextlib.closing(video_frames(path, probe, ticks, 1, self._opening)) as software:
            wanted = next(software, None)
        with contextlib.closing(self._decoder.frames(path, probe, ticks)) as frames:
            first = next(frames, None)
            if first is None and wanted is None:
                return  # a seek behind the last frame
            if first is None or wanted is None:
                raise HardwareFaultError("it gives no frame, or one too many")
            if why := difference(first, wanted):
                raise HardwareFaultError(f"its first frame is not software's: {why}")
            yield first
            yield from frames

    @contextlib.contextmanager
    def _opening(self, path: Path) -> Iterator[InputContainer]:
        with opened(path) as container:
            profile = require_video(container, path).codec_context.profile or ""
            self.kind = kind_of(self._probe, profile)
            if why := self._decoder.refusal(self.kind, path, self._probe):
                raise _RefusedError(why)
            yield container
