"""The protocol between a scheduler and an encoder process: JSON lines over its stdin and stdout.

The scheduler opens a stage, sends steps (a few at a time, so that neither side runs far ahead),
and closes it. The encoder answers each step once, in any order.
"""

from __future__ import annotations

import msgspec

from engine.precompute.steps import AnyStep, StageSetup

VERSION = 1


class OpenStage(msgspec.Struct, frozen=True, tag="open-stage", tag_field="type"):
    """Open a stage.

    Attributes:
        load: Load its models; not needed to verify outputs that are there.
    """

    setup: StageSetup
    load: bool = True


class Work(msgspec.Struct, frozen=True, tag="work", tag_field="type"):
    """Make one output, unless `check` is set: then compare with the one that is there.

    Attributes:
        check: "" to encode, "verify" to look at the existing output only, "compare" to encode
            again as well and compare the tensors.
    """

    step: AnyStep
    check: str = ""


class CloseStage(msgspec.Struct, frozen=True, tag="close-stage", tag_field="type"):
    """No more steps: finish those in hand and free the models."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="type"):
    """Stop at the next safe point; steps in hand are answered by `StepDropped`."""


Request = OpenStage | Work | CloseStage | Cancel


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The encoder is there."""

    version: int
    pid: int


class Loading(msgspec.Struct, frozen=True, tag="loading", tag_field="type"):
    """A model is being loaded onto a device."""

    model: str
    device: str


class StageOpened(msgspec.Struct, frozen=True, tag="stage-opened", tag_field="type"):
    """The models are ready."""

    seconds: float


class StageRefused(msgspec.Struct, frozen=True, tag="stage-refused", tag_field="type"):
    """The stage cannot run at all.

    Attributes:
        environment: The machine lacks something, rather than the model file.
    """

    reason: str
    remedy: str
    environment: bool


class StepStarted(msgspec.Struct, frozen=True, tag="step-started", tag_field="type"):
    """A step is on the device."""

    id: int


class StepDone(msgspec.Struct, frozen=True, tag="step-done", tag_field="type"):
    """The output is written and verified, or the check passed.

    Attributes:
        output: The path written; a one-frame decode is an image whatever was asked for.
        warnings: Worth telling, such as a truncated caption.
    """

    id: int
    output: str
    size: int
    mtime_ns: int
    seconds: float
    detail: str = ""
    warnings: tuple[str, ...] = ()


class StepFailed(msgspec.Struct, frozen=True, tag="step-failed", tag_field="type"):
    """The step failed; nothing was written.

    Attributes:
        fatal: Going on makes no sense: the disk is full.
    """

    id: int
    reason: str
    remedy: str = ""
    fatal: bool = False


class StepDropped(msgspec.Struct, frozen=True, tag="step-dropped", tag_field="type"):
    """The step was not done because of a cancel."""

    id: int


class StageClosed(msgspec.Struct, frozen=True, tag="stage-closed", tag_field="type"):
    """All steps are answered and the models are freed."""


Answer = (
    Hello
    | Loading
    | StageOpened
    | StageRefused
    | StepStarted
    | StepDone
    | StepFailed
    | StepDropped
    | StageClosed
)
