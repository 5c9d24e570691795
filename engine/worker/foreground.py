"""A job from plan to end in the process that asked for it; encoders are its children."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from engine.errors import LtxError
from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    JobDone,
    JobStarted,
    Notice,
    StageCount,
    StageDone,
)
from engine.files import remove_partial_files
from engine.identity import FileIdentity
from engine.precompute.aside import Aside
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import ENCODE_STAGES, Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.make_steps import make_setup, output_path
from engine.precompute.plan import Job, Planner
from engine.precompute.plan_types import PlanItem, Status
from engine.precompute.steps import AnyStep, StageSetup, TextStep, VideoStep
from engine.text import listed, plural
from engine.worker.messages import (
    StepDone,
    StepFailed,
    Work,
)
from engine.worker.scheduler import Scheduler
from engine.worker.tell import to_event

_AGAIN = "run again"


class ForegroundJob:
    """Carries out one plan, exactly."""

    def __init__(self, planner: Planner, ledger: Ledger, state_dir: Path) -> None:
        """Start nothing yet."""
        self._planner = planner
        self._ledger = ledger
        self._aside = Aside(state_dir, planner.folders, ledger)
        self._scheduler = Scheduler(state_dir / "logs" / "encoder.log")
        self._failures: dict[int, ClipFailed] = {}
        # Rows with a failed encode, and what this job has made: (stage, row).
        self._broken: set[int] = set()
        self._whole: set[tuple[Stage, int]] = set()
        self._done = 0
        self._moved = 0

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoder at once."""
        await self._scheduler.cancel()

    async def run(self, job: Job) -> AsyncIterator[AnyEvent]:
        """Do what the plan says, and tell of it.

        Raises:
            EnvironmentFaultError: The disk is full, a model is unusable, or encoders do not start.
            ProjectError: A model that a stage needs is not set.
        """
        began = time.monotonic()
        plan = job.plan
        # Every setup is made first: a missing model is told before anything is moved or encoded.
        setups = {stage: make_setup(stage, self._planner.project) for stage in _busy(job)}
        yield JobStarted(stages=tuple(_count(job, stage) for stage in plan.stages))
        for event in self._clear(job):
            yield event
        try:
            for stage in plan.stages:
                if stage.is_decode and self._scheduler.cancelled:
                    break
                if stage in setups:
                    async for event in self._stage(stage, job, setups[stage]):
                        yield event
        finally:
            await self._scheduler.close()
            # Also after an error: a job that ends early leaves no half clips either.
            notices = self._settle(job)
        for event in notices:
            yield event
        yield self._summary(job, time.monotonic() - began)

    def _clear(self, job: Job) -> list[AnyEvent]:
        """Move orphans and stale outputs away: a job cut short leaves none to be trained on."""
        for stage in job.plan.stages:
            remove_partial_files(self._planner.folders[stage])
        moved: dict[str, list[str]] = {}
        for orphan in job.plan.orphans:
            self._aside.orphan(orphan.stage, orphan.path)
            self._moved += 1
            moved.setdefault(orphan.reason, []).append(f"{orphan.stage}/{orphan.path}")
        for item in job.plan.items:
            if item.status is Status.STALE:
                self._aside.set_aside(item.stage, item.output)
        folder = self._aside.orphans_folder
        return [
            Notice(
                level="info",
                text=f"{plural(len(names), 'orphan')} moved to {folder} ({reason}): "
                f"{listed(names)}",
            )
            for reason, names in moved.items()
        ]

    async def _stage(self, stage: Stage, job: Job, setup: StageSetup) -> AsyncIterator[AnyEvent]:
        todo = [(item, step) for item, step in job.work[stage] if item.row not in self._failures]
        if not todo or self._scheduler.cancelled:
            return
        # Digests of the models, before they are loaded: what is recorded is what was read.
        await asyncio.to_thread(self._planner.facts.read_models, stage)
        began, done, failed = time.monotonic(), 0, 0
        items = {step.id: item for item, step in todo}
        work = [Work(step) for _, step in _in_order(todo)]
        async for outcome in self._scheduler.run(setup, work):
            event = to_event(stage, outcome, len(todo))
            if isinstance(outcome.answer, StepDone | StepFailed) and event is not None:
                item = items[outcome.answer.id]
                for told in await self._settled(stage, job, item, outcome.answer, event):
                    done += isinstance(told, ClipDone)
                    failed += isinstance(told, ClipFailed)
                    yield told
            elif event is not None:
                yield event
        yield StageDone(stage=stage, done=done, failed=failed, seconds=time.monotonic() - began)

    async def _settled(
        self,
        stage: Stage,
        job: Job,
        item: PlanItem,
        answer: StepDone | StepFailed,
        event: AnyEvent,
    ) -> list[AnyEvent]:
        """Record an output, or a failure; return what to tell."""
        if isinstance(answer, StepFailed):
            return [self._failed(stage, item, answer.reason, answer.remedy)]
        clip = job.clips[item.row]
        try:
            fingerprint = await asyncio.to_thread(self._planner.facts.of, stage, clip)
        except (LtxError, OSError) as error:
            self._aside.orphan(stage, item.output)
            return [self._failed(stage, item, f"its files vanished meanwhile: {error}", _AGAIN)]
        if job.has_changed(clip):
            self._aside.orphan(stage, item.output)
            return [self._failed(stage, item, "its media changed while it was encoded", _AGAIN)]
        self._record(stage, item, answer, fingerprint)
        warnings = [Notice(level="warning", text=t, clip=item.clip) for t in answer.warnings]
        return [*warnings, event]

    def _record(
        self, stage: Stage, item: PlanItem, answer: StepDone, fingerprint: Fingerprint
    ) -> None:
        self._aside.drop(stage, item.output)
        record = OutputRecord(
            fingerprint=fingerprint,
            identity=FileIdentity(size=answer.size, mtime_ns=answer.mtime_ns),
            seconds=answer.seconds,
            detail=answer.detail,
        )
        self._ledger.record(self._planner.folders[stage], item.output, record)
        self._done += 1
        self._whole.add((stage, item.row))

    def _failed(self, stage: Stage, item: PlanItem, reason: str, remedy: str) -> ClipFailed:
        event = ClipFailed(stage=stage, clip=item.clip, row=item.row, reason=reason, remedy=remedy)
        self._failures.setdefault(item.row, event)
        if not stage.is_decode:
            self._broken.add(item.row)
        return event

    def _settle(self, job: Job) -> list[AnyEvent]:
        """Keep half clips from the trainer, and give it back those that are whole again."""
        events: list[AnyEvent] = []
        blocked = {item.row for item in job.plan.blocked}
        for row in sorted(self._broken | blocked):
            clip = job.clips.get(row)
            moved = [
                stage
                for stage in ENCODE_STAGES
                if clip is not None and self._aside.set_aside(stage, output_path(stage, clip))
            ]
            if clip is not None and moved:
                self._moved += len(moved)
                what = plural(len(moved), "output")
                text = f"{what} set aside until the clip is whole ({', '.join(moved)})"
                events.append(Notice(level="info", text=text, clip=clip.clip.name))
        by_row: dict[int, list[PlanItem]] = {}
        for item in job.plan.items:
            by_row.setdefault(item.row, []).append(item)
        for items in by_row.values():
            if all(self._is_whole(item) for item in items):
                for item in items:
                    if item.status is Status.ASIDE:
                        self._aside.restore(item.stage, item.output)
                        self._done += 1
        return events

    def _is_whole(self, item: PlanItem) -> bool:
        whole = item.status in (Status.FRESH, Status.SKIPPED, Status.ASIDE)
        return whole or item.stage.is_decode or (item.stage, item.row) in self._whole

    def _summary(self, job: Job, seconds: float) -> JobDone:
        blocked = tuple(
            ClipFailed(
                stage="plan",
                clip=item.clip,
                row=item.row,
                reason="; ".join(item.reasons),
                remedy=item.remedy,
            )
            for item in job.plan.blocked
        )
        statuses = [item.status for item in job.plan.items]
        return JobDone(
            done=self._done,
            fresh=statuses.count(Status.FRESH),
            failures=(*blocked, *self._failures.values()),
            skipped=statuses.count(Status.SKIPPED),
            set_aside=self._moved,
            seconds=seconds,
            cancelled=self._scheduler.cancelled,
        )


def _busy(job: Job) -> list[Stage]:
    return [stage for stage in job.plan.stages if job.work[stage]]


def _count(job: Job, stage: Stage) -> StageCount:
    count = job.plan.count(stage)
    return StageCount(
        stage=stage,
        to_do=sum(number for status, number in count.items() if status.is_work),
        fresh=count[Status.FRESH],
        blocked=count[Status.BLOCKED],
        skipped=count[Status.SKIPPED],
    )


def _in_order(todo: Sequence[tuple[PlanItem, AnyStep]]) -> Sequence[tuple[PlanItem, AnyStep]]:
    """Put together what can share a batch, the largest first: what fails, fails early."""

    def size(pair: tuple[PlanItem, AnyStep]) -> tuple[int, ...]:
        step = pair[1]
        if isinstance(step, TextStep):
            return (len(step.prompt),)
        if isinstance(step, VideoStep):
            return (step.window.frames, *step.size)
        return ()

    return sorted(todo, key=size, reverse=True)
