"""What is known of a media file once it was looked at; without FFmpeg, so that a plan is light."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from engine.media.orientation import Turn

# Part of the key under which probes are cached: raise it when a probe changes for the same file.
PROBE_VERSION = 1


class MediaWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the user should know about a file that can be used.

    Attributes:
        code: A short stable name, such as "truncated".
        text: One sentence.
        remedy: What to do about it.
    """

    code: str
    text: str
    remedy: str


class AudioTrack(msgspec.Struct, frozen=True, kw_only=True):
    """A sound stream, as its header describes it.

    Attributes:
        rate: Samples a second.
        layout: FFmpeg's name for the channels, such as "stereo" or "5.1".
        start: Seconds from the first frame of the picture to the first sample.
        duration: Seconds; 0 where the header does not say.
    """

    codec: str
    rate: int
    channels: int
    layout: str
    start: float
    duration: float


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a media file holds.

    Attributes:
        width: Pixels as displayed, after rotation.
        height: Pixels as displayed.
        coded_width: Pixels as stored.
        coded_height: Pixels as stored.
        rotation: Degrees to turn the stored picture clockwise: 0, 90, 180 or 270.
        mirrored: Whether it is flipped left to right after the turn.
        frames: Frames that decode; 1 for an image.
        declared_frames: Frames that the file says it has.
        frames_source: "header" where its count was found to be right, "decoded" where all of the
            frames were decoded to count them.
        damaged: Whether decoding stops at damaged data after `frames` frames.
        fps_num: Numerator of the average rate; an image has 1 frame a second.
        fps_den: Denominator of the average rate.
        vfr: Whether the time between frames varies.
        first_pts: Presentation time of the first frame, in ticks.
        time_base: Seconds a tick, as numerator and denominator.
        start_time: Presentation time of the first frame, in seconds.
        duration: Seconds that the decodable frames are shown for.
        matrix: Colour matrix, such as "bt709"; "unspecified" where untagged.
        range: "limited", "full" or "unspecified".
        primaries: Colour primaries.
        transfer: Transfer characteristic.
        hdr: "", "pq" or "hlg".
        pixel_aspect: Sample aspect ratio; (1, 1) for square pixels.
        audio: The sound streams; the first is the one that is used.
        warnings: What is odd about it.
    """

    kind: Literal["video", "image", "audio"]
    codec: str
    pixel_format: str = ""
    width: int = 0
    height: int = 0
    coded_width: int = 0
    coded_height: int = 0
    rotation: int = 0
    mirrored: bool = False
    frames: int = 0
    declared_frames: int = 0
    frames_source: Literal["header", "decoded"] = "header"
    damaged: bool = False
    fps_num: int = 1
    fps_den: int = 1
    vfr: bool = False
    first_pts: int = 0
    time_base: tuple[int, int] = (1, 1)
    start_time: float = 0.0
    duration: float = 0.0
    matrix: str = "unspecified"
    range: str = "unspecified"
    primaries: str = "unspecified"
    transfer: str = "unspecified"
    hdr: Literal["", "pq", "hlg"] = ""
    pixel_aspect: tuple[int, int] = (1, 1)
    interlaced: bool = False
    alpha: bool = False
    audio: tuple[AudioTrack, ...] = ()
    warnings: tuple[MediaWarning, ...] = ()

    @property
    def fps(self) -> Fraction:
        """The average frame rate, exactly."""
        return Fraction(self.fps_num, self.fps_den)

    @property
    def tick(self) -> Fraction:
        """Seconds a tick of the video's timestamps."""
        return Fraction(*self.time_base)

    @property
    def turn(self) -> Turn:
        """How a stored picture is brought upright."""
        from engine.media.orientation import Turn

        return Turn(self.rotation, self.mirrored)

    @property
    def origin(self) -> Fraction:
        """Presentation time of the first frame in seconds, exactly."""
        return self.first_pts * self.tick
