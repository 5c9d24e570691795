"""The units of work that an encoder process is given: complete in themselves, plain data.

A step names files and numbers only, so that it can be sent to a process on this machine or on
another one.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import msgspec

from engine.dataset.windows import WHOLE, Span
from engine.media.probe_types import Probe
from engine.precompute.layout import CAPTIONS, Stage


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The frames of a clip that are kept.

    Attributes:
        start: Seconds from the clip's first frame.
        frames: How many.
        fps: Frames a second of the kept frames, as (numerator, denominator).
        resample: Take frames by presentation time at `fps` instead of one after another.
    """

    start: float
    frames: int
    fps: tuple[int, int]
    resample: bool

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(*self.fps)

    @property
    def duration(self) -> Fraction:
        """Seconds, exactly: frames / fps."""
        return self.frames / self.rate


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One output to make.

    Attributes:
        id: Number inside the job.
        clip: Name for display.
        row: 0-based row of the dataset; -1 where there is no dataset.
        output: Absolute path of the file to write.
    """

    id: int
    clip: str
    row: int
    output: str


class VideoStep(Step, frozen=True, tag="video"):
    """Encode the frames of a clip, or of its reference, into latents.

    Attributes:
        size: (width, height) of the bucket.
        crop_key: What a random crop is drawn from, together with the seed; a clip and its
            reference share it, so that they are cropped alike.
    """

    media: str
    probe: Probe
    window: Window
    size: tuple[int, int]
    reshape: Literal["center", "random"]
    seed: int
    crop_key: str
    hdr: Literal["refuse", "tonemap"]


class AudioStep(Step, frozen=True, tag="audio"):
    """Encode the sound of the kept frames.

    Attributes:
        silence: Encode silence, for a clip without sound.
    """

    media: str
    probe: Probe
    window: Window
    silence: bool = False


class TextStep(Step, frozen=True, tag="text"):
    """Encode a prompt."""

    prompt: str


class DecodeStep(Step, frozen=True, tag="decode"):
    """Turn latents back into a video, an image or a sound."""

    source: str


class CaptionStep(Step, frozen=True, tag="caption"):
    """Have a clip captioned; the answer is written as an `AnswerFile`.

    Attributes:
        with_audio: Whether the sound is heard, where there is any.
        instruction: The user's own; empty for ours.
        fps: Frames a second that are looked at.
        clean: Whether openings such as "The video shows" are dropped.
        base: What tells the caption that the clip has now from others; kept with the answer.
        span: Which part of the clip is captioned.
    """

    media: str
    base: str
    with_audio: bool
    instruction: str
    fps: float
    clean: bool
    span: Span = WHOLE


AnyStep = VideoStep | AudioStep | TextStep | DecodeStep | CaptionStep


class StageSetup(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stage"):
    """What a stage needs before its first step.

    Attributes:
        checkpoint: The file that holds the stage's weights (a unified checkpoint, or the
            component's own file of a split pack).
        text_encoder: Folder of the language model; only `conditions` reads it.
        device: "cpu", "cuda", "cuda:1", or "auto": the first GPU, else the CPU. A scheduler
            that has several encoders gives each of them its own.
        chunk: Frames a streaming chunk; 0 lets the stage choose.
        vae_tiling: The approximate feathered tiles, only when asked for by name.
        batch_size: Steps done at a time, at least 1.
        limit: Bytes that may be used on the device; 0 for all there is.
        reserve: Bytes of the device's memory to leave free for others.
        host_reserve: Bytes of the machine's own memory to leave free.
        wait: Seconds to wait for memory that other programs hold.
        cpu_fallback: Encode on the CPU what does not fit the device in any way.
        eight_bit_fallback: Load a text encoder that does not fit in 8 bits, approximately.
        hardware_decoding: What decodes clips where it proved to give the same frames; "off" for
            software alone.
        scale_on: "device" to scale frames where they are encoded, "cpu" while they are read.
        tune: Find out on an NVIDIA GPU which layout of memory encodes fastest.
    """

    stage: Stage
    checkpoint: str
    text_encoder: str = ""
    device: str = "auto"
    dtype: str = "bfloat16"
    chunk: int = 0
    vae_tiling: bool = False
    batch_size: int = 8
    padding: str = "trimmed"
    eight_bit: bool = False
    conditions_schema: str = "current"
    limit: int = 0
    reserve: int = 0
    host_reserve: int = 0
    wait: float = 0.0
    cpu_fallback: bool = True
    eight_bit_fallback: bool = False
    hardware_decoding: str = "off"
    scale_on: str = "cpu"
    tune: bool = False

    @property
    def checkpoint_path(self) -> Path:
        """The weights' file."""
        return Path(self.checkpoint)


class CaptionSetup(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="captions"):
    """What captioning needs before its first clip.

    Attributes:
        captioner: Which; see `engine.captioners.base.CaptionerName`.
        model: Its folder or name; empty for the captioner's own choice.
        base_url: Of a server; empty for the vendor's.
        device: As in `StageSetup`; a service elsewhere needs none.
        batch_size: Clips at a time.
        eight_bit: Load the model in 8 bits.
        limit: As in `StageSetup`, and so are the others.
    """

    captioner: str
    model: str = ""
    base_url: str = ""
    device: str = "auto"
    batch_size: int = 1
    eight_bit: bool = False
    limit: int = 0
    reserve: int = 0
    host_reserve: int = 0
    wait: float = 0.0
    cpu_fallback: bool = True

    @property
    def stage(self) -> str:
        """What it is called where others have a stage."""
        return CAPTIONS


AnySetup = StageSetup | CaptionSetup
