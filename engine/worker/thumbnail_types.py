"""What is asked of the program that reads frames, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from engine.worker.spec import Fault

MOST_FRAMES = 64
# Colours of a picture in a palette; terminals that draw sixels have at least so many.
PALETTE = 255


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded clip to hold against its source.

    Attributes:
        file: The video, or the image for one frame.
        latents: What it was decoded from.
    """

    file: Path
    latents: Path


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Show a clip. A new one takes the place of the one before.

    Attributes:
        id: Stands in every answer.
        media: The file; empty where the dataset names none.
        state_dir: Of the project: its journal knows probes.
        bucket: Width, height and frames; None for a clip that has no bucket.
        start: Seconds after the first frame, where the kept frames begin.
        fps: The rate that they are sampled at; 0 for the source's own.
        reshape: Where the crop is taken: "center" or "random".
        seed: Of a random crop.
        crop_key: What tells this clip from the others.
        tonemap: Whether HDR is mapped to SDR.
        count: How many frames to show.
        size: The most pixels of a picture, across and down.
        palette: Give pictures in at most `PALETTE` colours of their own.
        line: Colour of a line around what is kept of a picture; None for none.
        columns: Of the sound's outline; 0 to leave the sound out.
        decoded: Hold the kept frames against those of the decoded clip; None to show the source.
        canny: Low and high threshold: show the Canny edges of each frame beside it; None for not.
        at: Show this frame alone; -1 for a strip of frames, the facts and the sound.
    """

    id: int = 0
    media: Path
    state_dir: Path
    bucket: tuple[int, int, int] | None = None
    start: float = 0.0
    fps: float = 0.0
    reshape: Literal["center", "random"] = "center"
    seed: int = 0
    crop_key: str = ""
    tonemap: bool = False
    count: int = 6
    size: tuple[int, int] = (64, 64)
    palette: bool = False
    line: tuple[int, int, int] | None = None
    columns: int = 0
    decoded: Decoded | None = None
    canny: tuple[float, float] | None = None
    at: int = -1


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag="facts", tag_field="tell"):
    """What the clip is; comes first.

    Attributes:
        kind: "video", "image" or "audio".
        size: (width, height) as displayed; (0, 0) for a sound.
        frames: How many decode.
        seconds: How long it is.
        fps: Its average rate.
        rate: The same, exactly: numerator and denominator.
        vfr: Whether the time between frames varies.
        kept: The first and the last frame that are kept, by number; (0, -1) for none.
        box: Which part of the picture is kept: left, top, right, bottom, 0 … 1.
        numbers: The frames that will be shown.
    """

    id: int
    kind: str
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    rate: tuple[int, int] = (0, 1)
    vfr: bool = False
    kept: tuple[int, int] = (0, -1)
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    numbers: tuple[int, ...] = ()


class Shot(msgspec.Struct, frozen=True, kw_only=True, tag="shot", tag_field="tell"):
    """A small picture; what is not kept of it is darker.

    Attributes:
        place: Its place in the strip, from 0.
        is_right: Whether it stands on the right: of the decoded clip, or the edges of a frame.
        number: Of the frame: in the clip, or among the kept ones where clips are compared.
        seconds: When it is shown.
        size: Width and height in pixels.
        pixels: Row by row, three bytes a pixel; one where there is a palette.
        palette: Three bytes a colour; empty for none.
    """

    id: int
    place: int
    is_right: bool = False
    number: int = 0
    seconds: float = 0.0
    size: tuple[int, int]
    pixels: bytes
    palette: bytes = b""


class Errors(msgspec.Struct, frozen=True, kw_only=True, tag="errors", tag_field="tell"):
    """Mean squared differences of the kept frames from the first on, as far as they are known."""

    id: int
    values: tuple[float, ...]


class Sound(msgspec.Struct, frozen=True, kw_only=True, tag="sound", tag_field="tell"):
    """The outline of the sound over the whole clip, in columns; empty where there is no track.

    Attributes:
        low: The lowest sample, −1 … 1.
        high: The highest.
        rms: The root of the mean square.
        peak: The largest absolute value.
    """

    id: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    rms: tuple[float, ...] = ()
    peak: float = 0.0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed", tag_field="tell"):
    """A part cannot be shown; the others follow."""

    id: int
    part: Literal["clip", "picture", "decoded", "sound"]
    fault: Fault


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="tell"):
    """That was all."""

    id: int


Tell = Facts | Shot | Errors | Sound | Failed | Done
