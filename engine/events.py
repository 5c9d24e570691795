"""What a running job tells: typed, immutable, and the same for every client.

Every event encodes to one JSON object whose key `event` names it (`ltx-tui … --json` prints them
one a line).
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """The base of all events."""


class StageCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many clips a stage will encode, restore from set-aside outputs, or leave."""

    stage: str
    to_do: int
    fresh: int
    blocked: int
    skipped: int


class JobStarted(Event, frozen=True, tag="job-started"):
    """The plan is made; the work begins."""

    stages: tuple[StageCount, ...]


class Scanning(Event, frozen=True, tag="scanning"):
    """Media files are being probed; the last one has `done == total`."""

    done: int
    total: int


class ModelLoading(Event, frozen=True, tag="model-loading"):
    """A stage loads what it needs."""

    stage: str
    model: str
    device: str


class StageStarted(Event, frozen=True, tag="stage-started"):
    """The models of a stage are ready."""

    stage: str
    total: int
    load_seconds: float


class ClipStarted(Event, frozen=True, tag="clip-started"):
    """A clip is in hand."""

    stage: str
    clip: str
    row: int


class ClipDone(Event, frozen=True, tag="clip-done"):
    """An output is written and verified.

    Attributes:
        seconds: Time in hand, decoding ahead not counted.
        detail: How it was made, such as "one-shot" or "stream 16"; empty where there is no choice.
    """

    stage: str
    clip: str
    row: int
    output: str
    seconds: float
    detail: str = ""


class ClipFailed(Event, frozen=True, tag="clip-failed"):
    """A clip could not be encoded; the job goes on without it."""

    stage: str
    clip: str
    row: int
    reason: str
    remedy: str = ""


class StageDone(Event, frozen=True, tag="stage-done"):
    """A stage has ended."""

    stage: str
    done: int
    failed: int
    seconds: float


class Notice(Event, frozen=True, tag="notice"):
    """Something worth reading: a truncated caption, a moved orphan.

    Attributes:
        level: "info" or "warning".
    """

    level: str
    text: str
    clip: str = ""


class JobDone(Event, frozen=True, tag="job-done"):
    """The end of a job, however it ended.

    Attributes:
        done: Outputs written.
        adopted: Outputs of another tool that were found right and recorded.
        failures: Every clip that failed in this job, or that its plan blocked.
        set_aside: Outputs moved out of the trainer's sight because their clip is not whole.
        cancelled: The user stopped it; a rerun goes on from here.
    """

    done: int
    fresh: int
    failures: tuple[ClipFailed, ...]
    skipped: int
    set_aside: int
    seconds: float
    cancelled: bool = False
    adopted: int = 0


AnyEvent = (
    JobStarted
    | Scanning
    | ModelLoading
    | StageStarted
    | ClipStarted
    | ClipDone
    | ClipFailed
    | StageDone
    | Notice
    | JobDone
)
