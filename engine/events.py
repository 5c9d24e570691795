"""What a running job tells: typed, immutable, and the same for every client.

Every event encodes to one JSON object whose key `event` names it (`ltx-tui … --json` prints them
one a line).
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """The base of all events."""


class StageCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many clips a stage will encode, restore from set-aside outputs, or leave.

    Attributes:
        done: Made by this very job before it was interrupted or paused; not among the fresh.
        failed: Given up by this very job before.
    """

    stage: str
    to_do: int
    fresh: int
    blocked: int
    skipped: int
    done: int = 0
    failed: int = 0


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
    """A clip is in hand.

    Attributes:
        device: "cuda:0", "cpu".
        rung: How the memory guard begins with it, such as "stream 16"; empty where there is no
            choice.
    """

    stage: str
    clip: str
    row: int
    device: str = ""
    rung: str = ""


class ClipDone(Event, frozen=True, tag="clip-done"):
    """An output is written and verified.

    Attributes:
        seconds: Time in hand, decoding ahead not counted.
        detail: How it was made, such as "one-shot" or "stream 16"; empty where there is no choice.
        device: "cuda:0", "cpu".
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
    """

    stage: str
    clip: str
    row: int
    output: str
    seconds: float
    detail: str = ""
    device: str = ""
    peak: int = 0


class ClipFailed(Event, frozen=True, tag="clip-failed"):
    """A clip could not be encoded; the job goes on without it."""

    stage: str
    clip: str
    row: int
    reason: str
    remedy: str = ""


class Guard(Event, frozen=True, tag="guard"):
    """The memory guard did something: another rung, a wait for memory, less read ahead.

    Attributes:
        clip: Empty where it is about the whole stage; `row` is then -1.
        rung: What the clip is encoded with now; empty where that does not apply.
        text: What happened, in words.
        waiting: The work waits for memory that other programs hold.
    """

    stage: str
    clip: str
    row: int
    device: str
    rung: str
    text: str
    waiting: bool = False


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


class StageStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where one stage stands.

    Attributes:
        state: "waiting", "loading", "running", "done"; "stopped" where the job ended before it,
            "restored" where all there was to do was to put set-aside outputs back.
        total: Clips to do, those that this job did before an interruption among them.
        before: How many of `done` and `failed` an earlier life of the job did.
        seconds: How long it has run, or ran.
    """

    stage: str
    state: str = "waiting"
    total: int = 0
    fresh: int = 0
    done: int = 0
    failed: int = 0
    before: int = 0
    seconds: float = 0.0
    model: str = ""
    device: str = ""


class InHand(msgspec.Struct, frozen=True, kw_only=True):
    """The clip that a device works on, and how."""

    device: str
    stage: str
    clip: str
    row: int
    rung: str = ""


class Standing(Event, frozen=True, tag="standing"):
    """Where a job stands: what a client that comes later is told first.

    Attributes:
        scanned: (done, total) of the media while they are probed; None before and after.
        in_hand: One for each device that works.
        waiting: What the work waits for, such as memory that others hold; empty for nothing.
        failures: The latest clips that failed.
        notices: The latest things worth reading.
        guards: The latest things that the memory guard did.
    """

    planned: bool = False
    scanned: tuple[int, int] | None = None
    stages: tuple[StageStanding, ...] = ()
    in_hand: tuple[InHand, ...] = ()
    waiting: str = ""
    failures: tuple[ClipFailed, ...] = ()
    notices: tuple[Notice, ...] = ()
    guards: tuple[Guard, ...] = ()


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
    | Guard
    | StageDone
    | Notice
    | Standing
    | JobDone
)
