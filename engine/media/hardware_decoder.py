"""A hardware decoder, and for which kinds of video it proved to give software's very frames.

A kind is proved by decoding the beginning and the middle of its first clip both ways. Loads no
torch, and makes contexts of its own on a GPU: what goes wrong in them does not reach the encoder,
and no frame waits behind its work.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import logging
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.video.frame import VideoFrame

from engine.errors import MediaError
from engine.media.containers import opened, reason, video_stream
from engine.media.hardware_planes import HardwareFaultError, difference, to_plain
from engine.media.probe_types import Probe
from engine.media.video_frames import Opening, video_frames
from engine.text import plural

log = logging.getLogger("ltx_tui.encoder")

# Frames that a proof compares: so many and a whole group of pictures, but not more than the last.
FEWEST, USUAL, MOST = 24, 48, 96
# Those after a seek into the middle.
AFTER_SEEK = 24
# A kind of which so many clips failed is left to software.
_FAILURES = 3


class Kind(NamedTuple):
    """What a decoder treats alike.

    Attributes:
        profile: As FFmpeg names it; empty where it does not.
        side: Upper bound of width and height in pixels, a power of 2.
        odd: What width and height leave over 16.
        tags: Colour range and matrix.
    """

    codec: str
    profile: str
    pixel_format: str
    side: int
    odd: tuple[int, int]
    tags: tuple[str, str]
    interlaced: bool

    def __str__(self) -> str:
        name = f"{self.codec} {self.profile}".strip()
        lines = "interlaced " if self.interlaced else ""
        return f"{lines}{name} ({self.pixel_format}, sides up to {self.side:,} pixels)"


def kind_of(probe: Probe, profile: str) -> Kind:
    """Return the kind of a video."""
    width, height = probe.coded_width, probe.coded_height
    return Kind(
        codec=probe.codec,
        profile=profile,
        pixel_format=probe.pixel_format,
        side=1 << (max(width, height, 512) - 1).bit_length(),
        odd=(width % 16, height % 16),
        tags=(probe.range, probe.matrix),
        interlaced=probe.interlaced,
    )


class Decoder:
    """One device's decoder, with all that is known of it in this process; for several threads."""

    def __init__(self, opening: Opening, check: Callable[[], str]) -> None:
        """Ask nothing yet.

        Args:
            opening: Opens a file so that hardware decodes it, or fails.
            check: Says why the device cannot be used at all; empty where it can.
        """
        self._opening = opening
        self._check = check
        self._proving = threading.Lock()
        self._refused: dict[Kind, str] = {}
        self._failures: dict[Kind, int] = {}

    @functools.cached_property
    def unusable(self) -> str:
        """Why the device decodes nothing; empty where it can be tried."""
        return self._check()

    def frames(self, path: Path, probe: Probe, ticks: int | None = None) -> Generator[VideoFrame]:
        """Yield what hardware makes of a video, as `video_frames` does and in its arrangement.

        Raises:
            HardwareFaultError: It could not.
        """
        got = 0
        with (
            _faults(lambda: got),
            contextlib.closing(video_frames(path, probe, ticks, 1, self._opening)) as frames,
        ):
            for frame in frames:
                if (frame.width, frame.height) != (probe.coded_width, probe.coded_height):
                    raise HardwareFaultError(f"a frame is {frame.width}x{frame.height}")
                yield to_plain(frame, probe.pixel_format)
                got += 1

    def refusal(self, kind: Kind, path: Path, probe: Probe) -> str:
        """Return why a kind is left to software; empty where hardware has proved equal.

        Args:
            kind: That of the video.
            path: The video; the proof is made with it where there is none yet.
            probe: What is known about it.

        Raises:
            MediaError: Software cannot decode it.
        """
        if kind not in self._refused:
            with self._proving:
                if kind not in self._refused:
                    why, compared = self._prove(path, probe)
                    self._refused[kind] = why
                    words = "to software" if why else "to hardware"
                    log.info("%s: left %s after %s %s", kind, words, plural(compared, "frame"), why)
        return self._refused[kind]

    def failed(self, kind: Kind) -> bool:
        """Take note of a clip that hardware could not decode; whether it is the kind's first."""
        with self._proving:
            count = self._failures[kind] = self._failures.get(kind, 0) + 1
            if count == _FAILURES:
                self._refused[kind] = f"hardware failed on {count} clips of it"
        return count == 1

    def _prove(self, path: Path, probe: Probe) -> tuple[str, int]:
        """Return in which way hardware fails or differs, and after how many frames."""
        middle = probe.first_pts + int(probe.duration / 2 / probe.tick)
        compared = 0
        try:
            for ticks, most in ((None, MOST), (middle, AFTER_SEEK)):
                with (
                    contextlib.closing(self.frames(path, probe, ticks)) as frames,
                    contextlib.closing(video_frames(path, probe, ticks)) as wanted,
                ):
                    for why in _differences(frames, wanted, most):
                        if why:
                            return f"its frames are not software's: {why}", compared
                        compared += 1
        except HardwareFaultError as error:
            return f"hardware cannot decode it: {error}", compared
        return "", compared


def _differences(
    frames: Iterable[VideoFrame], wanted: Iterable[VideoFrame], most: int
) -> Iterator[str]:
    """Compare frame by frame: yield how each one differs, empty where it does not."""
    groups = 0
    for number, (got, expected) in enumerate(itertools.zip_longest(frames, wanted)):
        if got is None or expected is None:
            yield f"frame {number + 1} is {'missing' if got is None else 'one too many'}"
            return
        groups += expected.key_frame
        if number >= most or (number >= USUAL and groups > 1):
            return
        why = difference(got, expected)
        yield f"frame {number + 1}: {why}" if why else ""


@contextlib.contextmanager
def _faults(got: Callable[[], int]) -> Iterator[None]:
    """Turn what goes wrong with hardware into a HardwareFaultError."""
    try:
        yield
    except HardwareFaultError as error:
        raise HardwareFaultError(_after(str(error), got())) from error
    except (MediaError, av.FFmpegError, RuntimeError, ValueError, OSError) as error:
        cause = error.__cause__ if isinstance(error, MediaError) else error
        why = reason(cause) if isinstance(cause, Exception) else str(error)
        raise HardwareFaultError(_after(why, got())) from error


def _after(why: str, frames: int) -> str:
    return f"{why}, after {plural(frames, 'frame')}" if frames else why


@functools.cache
def decoder_of(name: str, index: int | None = None) -> Decoder:
    """Return a device's decoder, the same one each time.

    Args:
        name: The kind of device, as FFmpeg calls it: "cuda".
        index: Which of them; None for the first.
    """

    @contextlib.contextmanager
    def opening(path: Path) -> Iterator[InputContainer]:
        with opened(path, _device(name, index)) as container:
            stream = video_stream(container)
            if stream is None or not stream.codec_context.is_hwaccel:
                raise HardwareFaultError(f"{name} does not know the codec")
            yield container

    return Decoder(opening, functools.partial(why_unusable, name, index))


def _device(name: str, index: int | None) -> HWAccel:
    # Without the fallback, as only what hardware gives may be called hardware's.
    device = None if index is None else str(index)
    return HWAccel(name, device=device, allow_software_fallback=False)


def why_unusable(name: str, index: int | None) -> str:
    """Return why a device decodes nothing here, in words; empty where it can be tried."""
    if name not in hwdevices_available():
        return f"this FFmpeg was built without {name}"
    try:
        _device(name, index).create(Codec("h264", "r"))
    except (av.FFmpegError, RuntimeError, ValueError, OSError) as error:
        which = "no GPU and driver" if index is None else f"no GPU {index} and driver"
        return f"FFmpeg finds {which} for {name} ({reason(error)})"
    if name == "cuda" and sys.platform == "linux":
        try:
            ctypes.CDLL("libnvcuvid.so.1")
        except OSError:
            return (
                "the driver's libnvcuvid is missing; in a container, "
                "NVIDIA_DRIVER_CAPABILITIES must have video in it"
            )
    return ""
