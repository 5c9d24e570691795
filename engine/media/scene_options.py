"""What can be asked about scenes: how they are found, chosen and cut; each option checked."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

import msgspec

from engine.errors import UsageError

DetectorName = Literal["content", "adaptive", "threshold", "histogram", "hash"]
DETECTORS: tuple[DetectorName, ...] = ("content", "adaptive", "threshold", "histogram", "hash")
# PySceneDetect's own: the threshold of each detector, and the greatest that makes sense.
THRESHOLDS: dict[DetectorName, float] = {
    "content": 27.0,
    "adaptive": 3.0,
    "threshold": 12.0,
    "histogram": 0.2,
    "hash": 0.35,
}
_MOST: dict[DetectorName, float] = {"histogram": 1.0, "hash": 1.0}
_MOST_8_BIT = 255.0

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp",
     ".ts", ".m2ts", ".mts"}
)  # fmt: skip
# x264's, from quick and large to slow and small.
PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip

_FRAMES = re.compile(r"[0-9]{1,12}")
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})s")
_CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{1,9})?)")


class Length(NamedTuple):
    """A length of video, in frames or in seconds; the other one is None."""

    frames: int | None
    seconds: Fraction | None

    def frames_at(self, fps: Fraction) -> int:
        """Return the length in frames of a constant rate, rounded as PySceneDetect does."""
        if self.frames is not None:
            return self.frames
        return round((self.seconds or Fraction(0)) * fps)


def parse_length(text: str, option: str) -> Length | None:
    """Read "123" (frames), "5s", "1.5s" or "HH:MM:SS[.nnn]"; nothing for an empty text.

    Raises:
        UsageError: It is none of these.
    """
    text = text.strip()
    if not text:
        return None
    if _FRAMES.fullmatch(text):
        return Length(int(text), None)
    found = _SECONDS.fullmatch(text)
    if found:
        return Length(None, Fraction(found[1]))
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = clock.groups(default="0")
        return Length(None, int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds))
    raise UsageError(
        f"{option} {text!r} is no length", remedy="write 123 (frames), 5s, 1.5s or HH:MM:SS.nnn"
    )


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How scenes are found.

    Attributes:
        detector: PySceneDetect's detector.
        threshold: Its threshold; None for its own default.
        min_scene_length: Frames that the detector holds a scene for at least; None for its own.
        luma_only: Compare brightness alone; content and adaptive.
        adaptive_window: Frames before and after that a frame is held against; adaptive.
        fade_bias: Where in a fade the cut lies, −1 (its beginning) … 1 (its end); threshold.
        downscale: What width and height are divided by; 0 for about 256 pixels, as PySceneDetect.
        frame_skip: Frames that are passed over after each one that is looked at.
        skip_start: Frames left out at the beginning.
        skip_end: Frames left out at the end.
        duration: How much is looked at from there on, see `parse_length`; empty for all.
    """

    detector: DetectorName = "content"
    threshold: float | None = None
    min_scene_length: int | None = None
    luma_only: bool = False
    adaptive_window: int | None = None
    fade_bias: float | None = None
    downscale: int = 0
    frame_skip: int = 0
    skip_start: int = 0
    skip_end: int = 0
    duration: str = ""

    @property
    def level(self) -> float:
        """The threshold that counts."""
        return THRESHOLDS[self.detector] if self.threshold is None else self.threshold

    def check(self, *, with_stats: bool = False) -> None:
        """Refuse what makes no sense.

        Args:
            with_stats: Whether a CSV of all frames is wanted.

        Raises:
            UsageError: A value is out of range, or two do not go together.
        """
        if self.detector not in DETECTORS:
            raise UsageError(
                f"there is no detector {self.detector!r}", remedy=f"use {', '.join(DETECTORS)}"
            )
        most = _MOST.get(self.detector, _MOST_8_BIT)
        if not 0 <= self.level <= most:
            raise UsageError(
                f"--threshold {self.level:g} does not suit the detector {self.detector}",
                remedy=f"use 0 to {most:g}; {THRESHOLDS[self.detector]:g} is the default",
            )
        if self.fade_bias is not None and not -1 <= self.fade_bias <= 1:
            raise UsageError(f"--fade-bias {self.fade_bias:g} is not within -1 to 1")
        if self.adaptive_window is not None and self.adaptive_window < 1:
            raise UsageError("--adaptive-window must be at least 1 frame")
        for option, value in (
            ("--min-scene-length", self.min_scene_length or 0),
            ("--downscale", self.downscale),
            ("--frame-skip", self.frame_skip),
            ("--skip-start", self.skip_start),
            ("--skip-end", self.skip_end),
        ):
            if value < 0:
                raise UsageError(f"{option} cannot be negative")
        parse_length(self.duration, "--duration")
        if with_stats and self.frame_skip:
            raise UsageError(
                "--stats-file needs every frame, and --frame-skip leaves some out",
                remedy="leave one of them out",
            )

    @property
    def idle_options(self) -> list[str]:
        """Options that were given and that the detector does not know."""
        scored = self.detector in ("content", "adaptive")
        given = (
            ("--luma-only", self.luma_only, scored),
            ("--adaptive-window", self.adaptive_window is not None, self.detector == "adaptive"),
            ("--fade-bias", self.fade_bias is not None, self.detector == "threshold"),
        )
        return [option for option, is_given, is_known in given if is_given and not is_known]


class Choosing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which of the scenes are kept, and how much of each.

    Attributes:
        trim: Frames left out at each end that is a cut: the guard against a stray frame of the
            scene beside it.
        filter_shorter_than: See `parse_length`; what is left of a scene counts. Empty for all.
        max_scenes: The first so many; 0 for all.
    """

    trim: int = 1
    filter_shorter_than: str = ""
    max_scenes: int = 0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: A value is out of range.
        """
        if self.trim < 0 or self.max_scenes < 0:
            raise UsageError(f"{'--trim' if self.trim < 0 else '--max-scenes'} cannot be negative")
        parse_length(self.filter_shorter_than, "--filter-shorter-than")


class Cutting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How pieces are written.

    Attributes:
        copy: Copy the packets from key frame to key frame, without encoding; see `cut_copy`.
        crf: x264's quality, 0 (lossless) … 51.
        preset: x264's, from "ultrafast" to "veryslow".
        audio: Whether the sound goes along.
    """

    copy: bool = False
    crf: int = 18
    preset: str = "veryfast"
    audio: bool = True

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: A value is out of range.
        """
        if not 0 <= self.crf <= 51:
            raise UsageError(f"--crf {self.crf} is not within 0 (lossless) to 51")
        if self.preset not in PRESETS:
            raise UsageError(
                f"there is no preset {self.preset!r}", remedy=f"use {', '.join(PRESETS)}"
            )
