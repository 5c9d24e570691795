"""What a workbench shows of a dataset: immutable rows, and what is true of all of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from engine.precompute.plan_types import Outlook
from engine.suspicion.types import Reason


class CaptionState(StrEnum):
    """How far a caption has come."""

    NONE = "none"
    DRAFT = "draft"  # typed and not yet in the dataset file
    AUTO = "auto"  # as a captioner or another tool left it
    EDITED = "edited"  # changed by hand in the workbench
    REVIEWED = "reviewed"


class OutputState(StrEnum):
    """How a stage's output stands; the plan's words, and two of a running job."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
    ASIDE = "aside"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    RUNNING = "running"
    FAILED = "failed"


class StageState(msgspec.Struct, frozen=True, array_like=True):
    """One stage of one clip.

    Attributes:
        reason: Why it is stale, skipped, blocked or failed; empty otherwise.
        remedy: What to do about it.
    """

    stage: str
    state: OutputState
    reason: str = ""
    remedy: str = ""


class Made(msgspec.Struct, frozen=True, array_like=True):
    """How an output was made, as far as the journal still knows.

    Attributes:
        seconds: Time in hand.
        rung: How, such as "one-shot" or "stream 16"; empty where there is no choice.
        device: "cuda:0", "cpu".
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
        adopted: Made by another tool, and verified.
    """

    stage: str
    seconds: float = 0.0
    rung: str = ""
    device: str = ""
    peak: int = 0
    adopted: bool = False


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row of the dataset as the workbench shows it.

    Attributes:
        row: 0-based row of the dataset.
        name: The media path as the dataset has it, safe to show; the key of everything.
        media: The file, absolute; empty where the row names none.
        caption: As the dataset has it, or as the draft is where there is one.
        seconds: Length; 0 where it is not known yet.
        size: (width, height) as displayed; (0, 0) where it is not known yet.
        frames: Decoded frames.
        fps: Frames a second.
        audio: Whether it has sound.
        bucket: "WxHxF"; empty where it has none or none is known yet.
        kept: (start, end) of the kept frames in seconds.
        codec: For display, such as "h264 · aac 48 kHz stereo"; may be empty.
        reference: Path of its reference; empty for none.
        warnings: Of the media and of the row, each with its remedy where there is one.
        stages: In the order in which they run.
        output: Path of its output inside every stage's folder, ".pt".
        made: How its outputs were made.
        suspicion: How much there is against its caption, 0 … 1; None where nobody knows. An
            overview has none: scores are found beside it.
        doubts: What there is against it, the weightiest first.
        captioning: Whether a job captions it now, or failed to; None otherwise, as in every
            overview.
    """

    row: int
    name: str
    media: str
    caption: str
    caption_state: CaptionState
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    fps: float = 0.0
    audio: bool = False
    bucket: str = ""
    kept: tuple[float, float] = (0.0, 0.0)
    codec: str = ""
    reference: str = ""
    warnings: tuple[str, ...] = ()
    stages: tuple[StageState, ...] = ()
    output: str = ""
    made: tuple[Made, ...] = ()
    suspicion: float | None = None
    doubts: tuple[Reason, ...] = ()
    captioning: StageState | None = None

    @property
    def worst(self) -> StageState | None:
        """The stage that most needs the user; None where nothing is known."""
        return min(self.stages, key=lambda one: WORST_FIRST.index(one.state), default=None)


WORST_FIRST = (
    OutputState.RUNNING,
    OutputState.FAILED,
    OutputState.BLOCKED,
    OutputState.STALE,
    OutputState.MISSING,
    OutputState.ASIDE,
    OutputState.SKIPPED,
    OutputState.FRESH,
)


class Remark(msgspec.Struct, frozen=True, array_like=True):
    """Something wrong or doubtful in the dataset.

    Attributes:
        row: 0-based row; None when it is about the whole dataset.
        severity: "error" keeps the clip from being encoded, "warning" does not.
        code: A short name for programs, such as "missing-file".
    """

    row: int | None
    severity: Literal["error", "warning"]
    text: str
    remedy: str = ""
    code: str = ""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """What an overview was made from: another identity means that it is out of date.

    Attributes:
        dataset: Size and modification time of the dataset file; (0, 0) where there is none.
        project: The same of project.toml.
        settings: Hash of the settings, those given on a command line included.
        captions: Size and modification time of what is known of captions.
        journal: The latest job, when a job last ended, the latest attempt at an output.
    """

    dataset: tuple[int, int] = (0, 0)
    project: tuple[int, int] = (0, 0)
    settings: str = ""
    captions: tuple[int, int] = (0, 0)
    journal: tuple[int, float, int] = (0, 0.0, 0)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as a workbench shows it.

    Attributes:
        rows: All rows of the dataset: `rows[i].row` is `i`.
        whole: False where media and outputs were not looked at yet.
        stages: Those that the project asks for, in the order in which they run.
        remarks: About the dataset, at most `MOST_REMARKS` of them.
        remark_count: How many there are.
        coverage: Clips a bucket, every asked-for bucket included.
        outlooks: What memory a run would take.
        warnings: About the dataset as a whole, in words.
        orphans: Files in the outputs' folders that no clip accounts for.
    """

    rows: tuple[Row, ...]
    identity: Identity = Identity()
    whole: bool = True
    stages: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    remark_count: int = 0
    coverage: dict[str, int] = {}
    outlooks: tuple[Outlook, ...] = ()
    warnings: tuple[str, ...] = ()
    orphans: int = 0


MOST_REMARKS = 500
