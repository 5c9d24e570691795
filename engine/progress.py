"""Where a job stands, gathered from its events: the worker's snapshot and every view use this."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    ClipStarted,
    Guard,
    InHand,
    JobDone,
    JobStarted,
    ModelLoading,
    Notice,
    Scanning,
    StageCount,
    StageDone,
    StageStanding,
    StageStarted,
    Standing,
)

# What a client that comes later is told of what happened before.
_FAILURES, _NOTICES, _GUARDS = 200, 50, 20


class StageProgress(msgspec.Struct, kw_only=True):
    """One stage, as `StageStanding` describes it.

    Attributes:
        started: By the clock, when its models were ready.
        seconds: How long it took, once it is done.
    """

    stage: str
    total: int = 0
    fresh: int = 0
    state: str = "waiting"
    done: int = 0
    failed: int = 0
    before: int = 0
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
        self.in_hand: dict[str, InHand] = {}
        self.planned = False
        self.waiting = ""
        self.failures: deque[ClipFailed] = deque(maxlen=_FAILURES)
        self.notices: deque[Notice] = deque(maxlen=_NOTICES)
        self.guards: deque[Guard] = deque(maxlen=_GUARDS)

    @property
    def clip(self) -> str:
        """The clip that was last begun and is still in hand; empty where none is."""
        return next(reversed(self.in_hand.values())).clip if self.in_hand else ""

    def take(self, event: AnyEvent) -> None:
        """Bring the state up to date."""
        match event:
            case Standing():
                self._restore(event)
            case Scanning():
                self.scanned = (event.done, event.total)
            case JobStarted():
                self._plan(event.stages)
            case ModelLoading() | StageStarted() | StageDone():
                self._take_stage(event)
            case ClipStarted() | ClipDone() | ClipFailed():
                self._take_clip(event)
            case Guard():
                self._take_guard(event)
            case Notice():
                self.notices.append(event)
            case JobDone():
                self._end(cancelled=event.cancelled)

    def _plan(self, counts: Iterable[StageCount]) -> None:
        self.planned, self.scanned = True, None
        self.stages = {
            count.stage: StageProgress(
                stage=count.stage,
                total=count.to_do + count.done + count.failed,
                fresh=count.fresh,
                done=count.done,
                failed=count.failed,
                before=count.done + count.failed,
                state="done" if count.done and not count.to_do else "waiting",
            )
            for count in counts
        }

    def _take_stage(self, event: ModelLoading | StageStarted | StageDone) -> None:
        stage = self.stage(event.stage)
        if isinstance(event, ModelLoading):
            stage.model, stage.device = event.model, event.device
            if stage.state == "waiting":
                stage.state = "loading"
        elif isinstance(event, StageStarted):
            # With several devices the first to be ready starts the stage.
            if stage.state != "running":
                stage.state, stage.started = "running", self.clock()
                stage.total = max(stage.total, event.total + stage.before)
        else:
            stage.state, stage.seconds = "done", event.seconds
            stage.done = max(stage.done, event.done)
            stage.failed = max(stage.failed, event.failed)
            self.in_hand.clear()

    def _take_clip(self, event: ClipStarted | ClipDone | ClipFailed) -> None:
        if isinstance(event, ClipStarted):
            self.waiting = ""
            self.in_hand.pop(event.device, None)  # the latest comes last
            self.in_hand[event.device] = InHand(
                device=event.device,
                stage=event.stage,
                clip=event.clip,
                row=event.row,
                rung=event.rung,
            )
            return
        for device, one in list(self.in_hand.items()):
            if (one.stage, one.row, one.clip) == (event.stage, event.row, event.clip):
                del self.in_hand[device]
        if isinstance(event, ClipDone):
            self.stage(event.stage).done += 1
        else:
            self.stage(event.stage).failed += 1
            self.failures.append(event)

    def _take_guard(self, event: Guard) -> None:
        self.guards.append(event)
        self.waiting = event.text if event.waiting else ""
        one = self.in_hand.get(event.device)
        if one is not None and one.row == event.row and event.rung:
            self.in_hand[event.device] = msgspec.structs.replace(one, rung=event.rung)

    def _end(self, *, cancelled: bool) -> None:
        self.in_hand.clear()
        self.waiting = ""
        for stage in self.stages.values():
            if cancelled and stage.ended < stage.total:
                stage.state = "stopped"
            elif stage.state == "waiting" and stage.total:
                stage.state, stage.done = "restored", stage.total

    def standing(self) -> Standing:
        """Return the state as an event that brings another `Progress` to where this one is."""
        return Standing(
            planned=self.planned,
            scanned=self.scanned,
            stages=tuple(
                StageStanding(
                    stage=stage.stage,
                    state=stage.state,
                    total=stage.total,
                    fresh=stage.fresh,
                    done=stage.done,
                    failed=stage.failed,
                    before=stage.before,
                    seconds=self.elapsed(stage),
                    model=stage.model,
                    device=stage.device,
                )
                for stage in self.stages.values()
            ),
            in_hand=tuple(self.in_hand.values()),
            waiting=self.waiting,
            failures=tuple(self.failures),
            notices=tuple(self.notices),
            guards=tuple(self.guards),
        )

    def _restore(self, event: Standing) -> None:
        now = self.clock()
        self.planned, self.scanned = event.planned, event.scanned
        self.in_hand = {one.device: one for one in event.in_hand}
        self.failures = deque(event.failures, _FAILURES)
        self.notices = deque(event.notices, _NOTICES)
        self.guards = deque(event.guards, _GUARDS)
        self.waiting = event.waiting
        self.stages = {
            one.stage: StageProgress(
                stage=one.stage,
                total=one.total,
                fresh=one.fresh,
                state=one.state,
                done=one.done,
                failed=one.failed,
                before=one.before,
                started=now - one.seconds if one.state == "running" else 0.0,
                seconds=one.seconds,
                model=one.model,
                device=one.device,
            )
            for one in event.stages
        }

    def stage(self, name: str) -> StageProgress:
        """Return a stage, making it if no plan announced it."""
        return self.stages.setdefault(name, StageProgress(stage=name))

    @property
    def is_starting(self) -> bool:
        """Whether there is work, and nothing is being loaded or done yet."""
        states = {stage.state for stage in self.stages.values() if stage.total}
        return "waiting" in states and not states & {"loading", "running"}

    def elapsed(self, stage: StageProgress) -> float:
        """Return the seconds that a stage has run, or ran."""
        return self.clock() - stage.started if stage.state == "running" else stage.seconds

    def rate(self, stage: StageProgress) -> float:
        """Return clips a second in this life of the job; 0 where nothing is known."""
        seconds, ended = self.elapsed(stage), stage.ended - stage.before
        return ended / seconds if ended > 0 and seconds > 0 else 0.0

    def remaining(self, stage: StageProgress) -> float | None:
        """Return the seconds that a running stage still needs, if that can be told."""
        rate = self.rate(stage)
        if stage.state != "running" or not rate:
            return None
        return max(0, stage.total - stage.ended) / rate
