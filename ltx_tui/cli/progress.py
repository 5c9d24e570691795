"""Where a job stands, gathered from its events; every view draws from this."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    ClipStarted,
    JobDone,
    JobStarted,
    ModelLoading,
    Scanning,
    StageDone,
    StageStarted,
)

NAMES = {
    "decoded_videos": "decode videos",
    "decoded_reference_videos": "decode references",
    "decoded_audio": "decode audio",
    "plan": "blocked",  # how a job calls clips that its plan did not let in
}


def stage_name(stage: str) -> str:
    """Return a stage's name for people: "audio latents"."""
    return NAMES.get(stage, stage.replace("_", " "))


class StageProgress(msgspec.Struct, kw_only=True):
    """One stage.

    Attributes:
        state: "waiting", "loading", "running", "done"; "stopped" where a job was cancelled before
            its end, "restored" where all there was to do was to put set-aside outputs back.
        started: By the clock, when its models were ready.
        seconds: How long it took, once it is done.
    """

    stage: str
    total: int = 0
    fresh: int = 0
    state: str = "waiting"
    done: int = 0
    failed: int = 0
    started: float = 0.0
    seconds: float = 0.0
    model: str = ""
    device: str = ""

    @property
    def ended(self) -> int:
        """Clips that are through, well or not."""
        return self.done + self.failed


class Progress:
    """A job as its events tell it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin before the first event.

        Args:
            clock: Seconds, never going back.
        """
        self.clock = clock
        self.stages: dict[str, StageProgress] = {}
        self.scanned: tuple[int, int] | None = None
        self.clip = ""
        self.planned = False

    def take(self, event: AnyEvent) -> None:
        """Bring the state up to date."""
        match event:
            case Scanning():
                self.scanned = (event.done, event.total)
            case JobStarted():
                self.planned = True
                self.stages = {
                    count.stage: StageProgress(
                        stage=count.stage, total=count.to_do, fresh=count.fresh
                    )
                    for count in event.stages
                }
            case ModelLoading():
                stage = self.stage(event.stage)
                stage.model, stage.device = event.model, event.device
                if stage.state == "waiting":
                    stage.state = "loading"
            case StageStarted():
                stage = self.stage(event.stage)
                stage.state, stage.total, stage.started = "running", event.total, self.clock()
            case ClipStarted():
                self.clip = event.clip
            case ClipDone():
                self.stage(event.stage).done += 1
            case ClipFailed():
                self.stage(event.stage).failed += 1
            case StageDone():
                stage = self.stage(event.stage)
                stage.state, stage.seconds = "done", event.seconds
                stage.done, stage.failed = event.done, event.failed
                self.clip = ""
            case JobDone():
                self._end(cancelled=event.cancelled)
            case _:
                pass

    def _end(self, *, cancelled: bool) -> None:
        self.clip = ""
        for stage in self.stages.values():
            if cancelled and stage.ended < stage.total:
                stage.state = "stopped"
            elif stage.state == "waiting" and stage.total:
                stage.state, stage.done = "restored", stage.total

    def stage(self, name: str) -> StageProgress:
        """Return a stage, making it if no plan announced it."""
        return self.stages.setdefault(name, StageProgress(stage=name))

    @property
    def is_starting(self) -> bool:
        """Whether there is work, and nothing is being loaded or done yet."""
        states = {stage.state for stage in self.stages.values() if stage.total}
        return "waiting" in states and not states & {"loading", "running"}

    def rate(self, stage: StageProgress) -> float:
        """Return clips a second; 0 where nothing is known."""
        seconds = stage.seconds if stage.state == "done" else self.clock() - stage.started
        return stage.ended / seconds if stage.ended and seconds > 0 else 0.0

    def remaining(self, stage: StageProgress) -> float | None:
        """Return the seconds that a running stage still needs, if that can be told."""
        rate = self.rate(stage)
        if stage.state != "running" or not rate:
            return None
        return max(0, stage.total - stage.ended) / rate


def rate_words(rate: float) -> str:
    """Return "1.9 clips/s", or "12 s/clip" for slow ones."""
    if rate <= 0:
        return ""
    if rate >= 9.95:
        return f"{rate:.0f} clips/s"
    return f"{rate:.1f} clips/s" if rate >= 0.95 else f"{1 / rate:.1f} s/clip"
