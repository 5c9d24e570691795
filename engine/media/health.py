"""Look through a clip for what spoils training: black bars, stills, silence, its likeness.

Nothing is judged here but the clip alone, whatever the project wants of it. Frames that others do
not build on are not decoded, and of a long clip only key frames are. Loads no torch.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from engine.errors import MediaError
from engine.media.bars import Bars, Borders
from engine.media.containers import Check, check_file, decode, opened, require_video, salvage
from engine.media.geometry import at_most
from engine.media.images import read_image
from engine.media.likeness import SIDE, picture_hash
from engine.media.listen import Sound, listen
from engine.media.orientation import turned
from engine.media.probe import Probe
from engine.media.video_frames import frame_time

# Part of the key under which looks are cached: raise it when one changes for the same file.
HEALTH_VERSION = 1

Grey = npt.NDArray[np.uint8]

HASHES = 8
_BAR_LOOKS = 10
_STEP = 0.125  # seconds between two looks
_LONG = 90.0  # seconds; of longer clips only key frames are decoded
_MOST_LOOKS = 2000
_PATIENCE = 60.0  # seconds that one clip may take
_SMALL = 128  # the longer side of the pictures that are compared
# A picture is black when nearly all of it is darker than this, of 255.
_DARK, _NEARLY_ALL = 24, 0.98
# Two pictures are the same when no part differs by more, and hardly any does.
_SAME_MOST, _SAME_MEAN = 8, 0.6
BLACK_SECONDS, FROZEN_SECONDS = 0.5, 1.0


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """A part of a clip, in seconds after its first frame."""

    begin: float
    end: float

    def __str__(self) -> str:
        return f"{self.begin:.1f}–{self.end:.1f} s"


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen and heard of a clip.

    Attributes:
        hashes: Of frames evenly over its length; None for one that tells nothing.
        borders: Black bars in pixels as displayed, or None.
        black: Where the picture is black for `BLACK_SECONDS` or more.
        frozen: Where it stands still for `FROZEN_SECONDS` or more, or for all of the clip.
        sound: None where there is no sound track.
        partial: Whether it was not looked through to its end.
    """

    hashes: tuple[int | None, ...] = ()
    borders: Borders | None = None
    black: tuple[Stretch, ...] = ()
    frozen: tuple[Stretch, ...] = ()
    sound: Sound | None = None
    partial: bool = False


def look(path: Path, probe: Probe, *, check: Check | None = None) -> Signs:
    """Look through a clip.

    Args:
        path: A video, an image or a sound.
        probe: What `engine.media.probe.probe` says about it.
        check: Called now and then; what it raises ends the look.

    Raises:
        MediaError: It cannot be opened any more.
    """
    check_file(path)
    sound = listen(path, probe, check=check) if probe.kind != "image" else None
    if probe.kind == "audio":
        return Signs(sound=sound)
    eye = _Eye(probe)
    if probe.kind == "image":
        eye.take_image(read_image(path))
        return eye.signs(None)
    try:
        with contextlib.closing(_looks(path, probe, check)) as frames:
            for moment, frame in frames:
                eye.take(moment, frame)
    except (MediaError, ValueError, _Patience):
        eye.partial = True  # damage, which the probe tells of: the part before it counts
    return eye.signs(sound)


class _Patience(Exception):  # noqa: N818 - no error
    """The clip takes too long."""


def _looks(path: Path, probe: Probe, check: Check | None) -> Generator[tuple[float, VideoFrame]]:
    """Yield frames and when they are shown, one each step."""
    is_long = probe.duration > _LONG
    step = max(_STEP, probe.duration / _MOST_LOOKS)
    end = time.monotonic() + _PATIENCE
    due = 0.0
    read = salvage if probe.damaged else decode
    with opened(path) as container:
        stream = require_video(container, path)
        stream.codec_context.skip_frame = "NONKEY" if is_long else "NONREF"
        for number, frame in enumerate(read(container, stream)):
            if check is not None:
                check()
            if time.monotonic() > end:
                raise _Patience
            moment = float(frame_time(frame, number, probe))
            if moment + 1e-6 >= due:
                yield moment, frame
                due = moment + step * 0.99


class _Eye:
    """Takes frames in order of time, and notes what they show."""

    def __init__(self, probe: Probe) -> None:
        self.partial = False
        self._probe = probe
        self._length = probe.duration
        self._bars = Bars()
        self._hashes: list[int | None] = []
        self._next_bars = 0
        self._black = _Runs(BLACK_SECONDS)
        self._frozen = _Runs(FROZEN_SECONDS)
        self._anchor: Grey | None = None

    def take(self, moment: float, frame: VideoFrame) -> None:
        """Take a frame that is shown at `moment` seconds."""
        small = self._upright(_grey(frame, *at_most(frame.width, frame.height, _SMALL)))
        dark = float(np.mean(small <= _DARK)) >= _NEARLY_ALL
        self._black.take(moment, dark)
        still = self._anchor is not None and _is_same(self._anchor, small)
        self._frozen.take(moment, still and not dark)
        if not still:
            self._anchor = small
            self._frozen.anchor(moment)
        share = moment / self._length if self._length else 0.0
        while len(self._hashes) < HASHES and share >= (len(self._hashes) + 0.5) / HASHES - 1e-6:
            self._hashes.append(picture_hash(self._upright(_grey(frame, SIDE, SIDE))))
        if not dark and share >= (self._next_bars + 0.5) / _BAR_LOOKS - 1e-6:
            self._next_bars += 1
            self._bars.take(self._upright(_grey(frame, frame.width, frame.height)))

    def take_image(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Take a still image, upright: uint8 [H, W, 3]."""
        grey = Image.fromarray(pixels).convert("L")
        self._bars.take(np.asarray(grey))
        small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))
        self._hashes = [picture_hash(small)] * HASHES
        self._black.take(0.0, float(np.mean(small <= _DARK)) >= _NEARLY_ALL)

    def signs(self, sound: Sound | None) -> Signs:
        """Return what was seen."""
        hashes = self._hashes + [self._hashes[-1] if self._hashes else None] * HASHES
        return Signs(
            hashes=tuple(hashes[:HASHES]),
            borders=self._bars.found(),
            black=self._black.found(self._length),
            frozen=self._frozen.found(self._length) if self._probe.kind == "video" else (),
            sound=sound,
            partial=self.partial,
        )

    def _upright(self, grey: Grey) -> Grey:
        return turned(grey, self._probe.turn)


def _grey(frame: VideoFrame, width: int, height: int) -> Grey:
    grey = frame.to_ndarray(
        format="gray", width=width, height=height, interpolation=Interpolation.AREA
    )
    return np.asarray(grey, dtype=np.uint8)


def _is_same(one: Grey, other: Grey) -> bool:
    if one.shape != other.shape:
        return False
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16))
    return int(apart.max()) <= _SAME_MOST and float(apart.mean()) <= _SAME_MEAN


class _Runs:
    """Gathers stretches of time in which something holds."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._found: list[Stretch] = []
        self._begin = math.nan
        self._anchor = math.nan

    def anchor(self, moment: float) -> None:
        """Note from which frame on the next stretch would be one."""
        self._anchor = moment

    def take(self, moment: float, holds: bool) -> None:
        """Take a moment, later than the one before."""
        if holds and math.isnan(self._begin):
            self._begin = moment if math.isnan(self._anchor) else self._anchor
        elif not holds and not math.isnan(self._begin):
            self._close(moment)

    def found(self, end: float) -> tuple[Stretch, ...]:
        """Return the stretches of a clip that ends at `end` seconds."""
        if not math.isnan(self._begin):
            # All of a clip counts, however short it is.
            whole = self._begin <= 0.0
            self._close(end, least=0.0 if whole else self._least)
        return tuple(self._found)

    def _close(self, moment: float, least: float | None = None) -> None:
        if moment - self._begin >= (self._least if least is None else least):
            self._found.append(Stretch(round(self._begin, 3), round(moment, 3)))
        self._begin = math.nan


def covered(stretches: Sequence[Stretch]) -> float:
    """Return the seconds that stretches take together."""
    return sum(one.end - one.begin for one in stretches)
