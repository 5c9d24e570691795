"""Carrying out a plan: every step of it once, recorded as it is done, so that it can go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from engine.errors import LtxError
from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    JobDone,
    JobStarted,
    Notice,
    StageDone,
)
from engine.files.identity import FileIdentity
from engine.files.safe import remove_partial_files
from engine.precompute.aside import Aside
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import ENCODE_STAGES, Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.make_steps import make_setup, output_path
from engine.precompute.plan import Job, Planner
from engine.precompute.plan_types import PlanItem, Status
from engine.precompute.steps import StageSetup
from engine.text import listed, plural
from engine.worker.journal import History, StepKey
from engine.worker.messages import Remark, StepDone, StepDropped, StepFailed, Work
from engine.worker.order import in_order, summary, to_counts
from engine.worker.pool import Pool
from engine.worker.record import Recorder
from engine.worker.stage_work import Died, Outcome
from engine.worker.tell import to_event, to_notice

_AGAIN = "run again"


class EncodeJob:
    """Carries out one plan, exactly."""

    def __init__(
        self, planner: Planner, ledger: Ledger, recorder: Recorder, pool: Pool, history: History
    ) -> None:
        """Start nothing yet.

        Args:
            planner: Made the plan; gives the fingerprints.
            ledger: Gets a record of each output.
            recorder: Keeps the job's journal.
            pool: Does the steps.
            history: What earlier lives of this job did.
        """
        self._planner = planner
        self._ledger = ledger
        self._recorder = recorder
        self._pool = pool
        self._history = history
        self._aside = Aside(planner.project.state_dir, planner.folders, ledger)
        self._failures: dict[int, ClipFailed] = {}
        # Rows with a failed encode, and what this job has made: (stage, row).
        self._broken: set[int] = set()
        self._whole: set[tuple[Stage, int]] = set()
        self._remarks: set[str] = set()
        self._done = len(history.done)
        self._moved = 0
        # An encoder that died, or was lost with its machine, may have left half a file.
        self._has_died = False

    async def run(self, job: Job) -> AsyncGenerator[AnyEvent]:
        """Do what the plan says, and tell of it.

        Raises:
            EnvironmentFaultError: The disk is full, a model is unusable, encoders do not start, or
                the machines that they are to run on do not see the same files.
            ProjectError: A model that a stage needs is not set.
        """
        began = time.monotonic()
        plan = job.plan
        self._take_up(job)
        # Every setup is made first: a missing model is told before anything is moved or encoded.
        busy = [stage for stage in plan.stages if job.work[stage]]
        setups = {stage: make_setup(stage, self._planner.project) for stage in busy}
        for stage, setup in setups.items():
            await self._pool.check(setup, [step for _, step in job.work[stage]])
        yield JobStarted(stages=to_counts(job, self._history))
        for event in await asyncio.to_thread(self._clear, job):
            yield event
        try:
            for stage in plan.stages:
                if stage.is_decode and self._pool.cancelled:
                    break
                if stage in setups:
                    async for event in self._stage(stage, job, setups[stage]):
                        yield event
        finally:
            await self._pool.close()
            # Also after an error: a job that ends early leaves no half clips either.
            notices = self._settle(job)
        for event in notices:
            yield event
        yield self._summary(job, time.monotonic() - began)

    def _take_up(self, job: Job) -> None:
        """Take over what an earlier life of this job gave up: it is not tried again by itself."""
        items = {StepKey(item.stage, item.output): item for item in job.plan.items}
        for key, failure in self._history.failed.items():
            item = items.get(key)
            if item is not None and item.status in (Status.MISSING, Status.STALE):
                self._keep(key.stage, item, failure)

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

    async def _stage(self, stage: Stage, job: Job, setup: StageSetup) -> AsyncGenerator[AnyEvent]:
        todo = [(item, step) for item, step in job.work[stage] if item.row not in self._failures]
        if not todo or self._pool.cancelled:
            return
        # Digests of the models, before they are loaded: what is recorded is what was read.
        await asyncio.to_thread(self._planner.facts.read_models, stage)
        model = self._planner.facts.model(stage)
        began, done, failed = time.monotonic(), 0, 0
        items = {step.id: item for item, step in todo}

        async def sending(work: Work) -> None:
            item = items[work.step.id]
            await self._recorder.send(stage, item, await self._fingerprint(stage, job, item))

        outcomes = self._pool.run(
            setup,
            [Work(step) for _, step in in_order(todo)],
            sending=sending,
            known=lambda title: self._recorder.known(title, model),
        )
        async for outcome in outcomes:
            if not isinstance(outcome, Outcome):
                await self._recorder.news(outcome)
                self._has_died |= isinstance(outcome, Died)
                yield to_notice(outcome)
                continue
            item = items.get(outcome.step.id) if outcome.step is not None else None
            for told in await self._take(stage, job, item, outcome, len(todo)):
                done += isinstance(told, ClipDone)
                failed += isinstance(told, ClipFailed)
                yield told
        yield StageDone(stage=stage, done=done, failed=failed, seconds=time.monotonic() - began)

    async def _fingerprint(self, stage: Stage, job: Job, item: PlanItem) -> Fingerprint:
        """Return what the output depends on now; empty where its files cannot be read."""
        try:
            return await asyncio.to_thread(self._planner.facts.of, stage, job.clips[item.row])
        except (LtxError, OSError):
            return Fingerprint({})  # the encoder will say what is wrong with them

    async def _take(
        self, stage: Stage, job: Job, item: PlanItem | None, outcome: Outcome, total: int
    ) -> list[AnyEvent]:
        """Record what came of a step; return what to tell."""
        answer = outcome.answer
        if isinstance(answer, Remark):
            # Each encoder of each stage makes the same one.
            if answer.text in self._remarks:
                return []
            self._remarks.add(answer.text)
        await self._recorder.take(stage, item, outcome, self._planner.facts.model(stage))
        event = to_event(stage, outcome, total)
        if item is None or not isinstance(answer, StepDone | StepFailed | StepDropped):
            return [event] if event is not None else []
        if isinstance(answer, StepDropped):
            return []
        if isinstance(answer, StepFailed):
            # A full disk is not the clip's fault: it is done again when the job goes on.
            return [] if answer.fatal else [self._failed(stage, item, answer.reason, answer.remedy)]
        problem = await self._record(stage, job, item, answer)
        if problem is not None:
            self._aside.orphan(stage, item.output)
            return [self._failed(stage, item, problem, _AGAIN)]
        self._done += 1
        self._whole.add((stage, item.row))
        warnings = [Notice(level="warning", text=t, clip=item.clip) for t in answer.warnings]
        return [*warnings, *([event] if event is not None else [])]

    async def _record(self, stage: Stage, job: Job, item: PlanItem, answer: StepDone) -> str | None:
        """Record an output, or return why it is of no use."""
        clip = job.clips[item.row]
        try:
            fingerprint = await asyncio.to_thread(self._planner.facts.of, stage, clip)
        except (LtxError, OSError) as error:
            return f"its files vanished meanwhile: {error}"
        if job.has_changed(clip):
            return "its media changed while it was encoded"
        if answer.approximate:
            fingerprint = self._planner.facts.approximated(fingerprint, answer.approximate)
        record = OutputRecord(
            fingerprint=fingerprint,
            identity=FileIdentity(size=answer.size, mtime_ns=answer.mtime_ns),
            seconds=answer.seconds,
            detail=answer.detail,
        )
        await asyncio.to_thread(self._commit, stage, item, record)
        return None

    def _commit(self, stage: Stage, item: PlanItem, record: OutputRecord) -> None:
        self._aside.drop(stage, item.output)
        with self._ledger.database.transaction():
            self._ledger.record(self._planner.folders[stage], item.output, record)
            self._recorder.finish(StepKey(stage, item.output))

    def _failed(self, stage: Stage, item: PlanItem, reason: str, remedy: str) -> ClipFailed:
        event = ClipFailed(stage=stage, clip=item.clip, row=item.row, reason=reason, remedy=remedy)
        self._recorder.fail(StepKey(stage, item.output), event)
        self._keep(stage, item, event)
        return event

    def _keep(self, stage: Stage, item: PlanItem, failure: ClipFailed) -> None:
        self._failures.setdefault(item.row, failure)
        if not stage.is_decode:
            self._broken.add(item.row)

    def _settle(self, job: Job) -> list[AnyEvent]:
        """Keep half clips from the trainer, and give it back those that are whole again."""
        events: list[AnyEvent] = []
        for stage in job.plan.stages if self._has_died else ():
            remove_partial_files(self._planner.folders[stage])
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
                self._restore(items)
        return events

    def _restore(self, items: Sequence[PlanItem]) -> None:
        for item in items:
            if item.status is Status.ASIDE:
                self._aside.restore(item.stage, item.output)
                self._done += 1

    def _is_whole(self, item: PlanItem) -> bool:
        whole = item.status in (Status.FRESH, Status.SKIPPED, Status.ASIDE)
        return whole or item.stage.is_decode or (item.stage, item.row) in self._whole

    def _summary(self, job: Job, seconds: float) -> JobDone:
        return summary(
            job,
            self._history,
            done=self._done,
            failures=tuple(self._failures.values()),
            set_aside=self._moved,
            seconds=seconds,
            cancelled=self._pool.cancelled,
        )
