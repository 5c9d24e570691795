"""The protocol between a scheduler and an encoder process: JSON lines over its stdin and stdout.

The scheduler opens a stage, sends steps (a few at a time, so that neither side runs far ahead),
and closes it. The encoder answers each step once, in any order.
"""

from __future__ import annotations

import msgspec

from engine.memory.peaks import Peak
from engine.precompute.steps import AnySetup, AnyStep

VERSION = 5


class OpenStage(msgspec.Struct, frozen=True, tag="open-stage", tag_field="type"):
    """Open a stage.

    Attributes:
        load: Load its models; not needed to verify outputs that are there.
        peaks: What is known of this device and model from before.
    """

    setup: AnySetup
    load: bool = True
    peaks: tuple[Peak, ...] = ()


class Work(msgspec.Struct, frozen=True, tag="work", tag_field="type"):
    """Make one output, unless `check` is set: then compare with the one that is there.

    Attributes:
        check: "" to encode, "verify" to look at the existing output only, "compare" to encode
            again as well and compare the tensors.
        lower: Begin this many rungs lower than the guard would, since an encoder died on it.
        alone: Do it at once and by itself, without waiting for others to share a batch with.
        batch: Which steps share one: those of the same number. What shares a batch is settled
            before anything is given out, so that a result does not depend on who is how fast:
            numbers are rounded otherwise in another batch.
        together: How many steps share it now; 0 for as many as come, up to the stage's own number.
    """

    step: AnyStep
    check: str = ""
    lower: int = 0
    alone: bool = False
    batch: int = 0
    together: int = 0


class CloseStage(msgspec.Struct, frozen=True, tag="close-stage", tag_field="type"):
    """No more steps: finish those in hand and free the models."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="type"):
    """Stop at the next safe point; steps in hand are answered by `StepDropped`."""


Request = OpenStage | Work | CloseStage | Cancel


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU as torch sees it.

    Attributes:
        name: "cuda:0".
        title: The model's name, such as "NVIDIA H200".
        uuid: As NVML writes it, without "GPU-"; empty where torch does not tell.
        total: Bytes.
    """

    name: str
    title: str
    uuid: str
    total: int


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The encoder is there.

    Attributes:
        gpus: All that torch sees; empty on a machine without.
    """

    version: int
    pid: int
    gpus: tuple[Device, ...] = ()


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="type"):
    """A sign of life, every two seconds.

    Attributes:
        still: Seconds since the work last moved on; 0 while the encoder waits for work.
        allocated: Bytes of tensors on the device now.
        reserved: Bytes that torch's allocator holds on the device.
    """

    still: float
    allocated: int = 0
    reserved: int = 0


class Guarded(msgspec.Struct, frozen=True, tag="guarded", tag_field="type"):
    """The memory guard did something about a step, or about the stage.

    Attributes:
        id: The step; -1 where it is about the stage.
        rung: What it is done with now; empty where that does not apply.
        text: What happened, in words for the user.
        waiting: The step waits for memory that others hold.
    """

    id: int
    rung: str
    text: str
    waiting: bool = False


class Remark(msgspec.Struct, frozen=True, tag="remark", tag_field="type"):
    """Something about how the stage works that the user should know, in words."""

    text: str


class Loading(msgspec.Struct, frozen=True, tag="loading", tag_field="type"):
    """A model is being loaded onto a device."""

    model: str
    device: str


class StageOpened(msgspec.Struct, frozen=True, tag="stage-opened", tag_field="type"):
    """The models are ready.

    Attributes:
        device: Where they are: "cuda:0", "cpu".
    """

    seconds: float
    device: str = ""


class StageRefused(msgspec.Struct, frozen=True, tag="stage-refused", tag_field="type"):
    """The stage cannot run at all.

    Attributes:
        environment: The machine lacks something, rather than the model file.
    """

    reason: str
    remedy: str
    environment: bool


class StepStarted(msgspec.Struct, frozen=True, tag="step-started", tag_field="type"):
    """A step is on the device.

    Attributes:
        rung: How the guard begins with it; empty where there is no choice.
    """

    id: int
    rung: str = ""


class StepDone(msgspec.Struct, frozen=True, tag="step-done", tag_field="type"):
    """The output is written and verified, or the check passed.

    Attributes:
        output: The path written; a one-frame decode is an image whatever was asked for.
        warnings: Worth telling, such as a truncated caption.
        rung: How it was made in the end; empty where there is no choice.
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
        learned: What there is to remember of it.
        approximate: In which approximate way the memory guard made it, where the settings allow
            that: "8-bit"; empty where it is exact.
    """

    id: int
    output: str
    size: int
    mtime_ns: int
    seconds: float
    detail: str = ""
    warnings: tuple[str, ...] = ()
    rung: str = ""
    peak: int = 0
    learned: tuple[Peak, ...] = ()
    approximate: str = ""


class StepFailed(msgspec.Struct, frozen=True, tag="step-failed", tag_field="type"):
    """The step failed; nothing was written.

    Attributes:
        fatal: Going on makes no sense: the disk is full.
        learned: What there is to remember of it.
    """

    id: int
    reason: str
    remedy: str = ""
    fatal: bool = False
    learned: tuple[Peak, ...] = ()


class StepDropped(msgspec.Struct, frozen=True, tag="step-dropped", tag_field="type"):
    """The step was not done because of a cancel."""

    id: int


class StageClosed(msgspec.Struct, frozen=True, tag="stage-closed", tag_field="type"):
    """All steps are answered and the models are freed."""


Answer = (
    Hello
    | Beat
    | Guarded
    | Remark
    | Loading
    | StageOpened
    | StageRefused
    | StepStarted
    | StepDone
    | StepFailed
    | StepDropped
    | StageClosed
)
