"""Taking over outputs that another tool made, after holding them against the dataset."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator

import msgspec

from engine.events import AnyEvent, ClipDone, ClipFailed, JobDone, StageDone
from engine.files.identity import FileIdentity
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.make_steps import make_setup
from engine.precompute.plan import Job, Planner
from engine.precompute.plan_types import PlanItem
from engine.precompute.status import UNADOPTED
from engine.precompute.steps import AnyStep
from engine.worker.messages import StepDone, Work
from engine.worker.pool import Pool
from engine.worker.stage_work import Outcome
from engine.worker.tell import to_event, to_notice

_REMEDY = "a run encodes it again"


class AdoptJob:
    """Verifies every output that ltx-tui did not make, and records those that hold."""

    def __init__(self, planner: Planner, ledger: Ledger, pool: Pool) -> None:
        """Start nothing yet."""
        self._planner = planner
        self._ledger = ledger
        self._pool = pool
        self._failures: list[ClipFailed] = []
        self._done = 0

    async def run(self, job: Job, *, sample: int) -> AsyncGenerator[AnyEvent]:
        """Adopt what holds.

        Args:
            job: A plan of the stages to look at.
            sample: How many outputs a stage are encoded again and compared; the same ones each
                time, chosen by the names of the clips.

        Raises:
            LtxError: A model is not set or unusable, or encoders do not start.
        """
        began = time.monotonic()
        for stage in job.plan.stages:
            todo = [(i, s) for i, s in job.work[stage] if UNADOPTED in i.reasons]
            if todo and not self._pool.cancelled:
                async for event in self._stage(stage, job, todo, sample):
                    yield event
        yield JobDone(
            done=0,
            adopted=self._done,
            fresh=0,
            failures=tuple(self._failures),
            skipped=0,
            set_aside=0,
            seconds=time.monotonic() - began,
            cancelled=self._pool.cancelled,
        )

    async def _stage(
        self, stage: Stage, job: Job, todo: list[tuple[PlanItem, AnyStep]], sample: int
    ) -> AsyncGenerator[AnyEvent]:
        began, done, failed = time.monotonic(), 0, 0
        setup = make_setup(stage, self._planner.project)
        items = {step.id: item for item, step in todo}
        chosen = random.Random(0).sample(sorted(items), min(sample, len(items)))  # noqa: S311
        work = [Work(step, check="compare" if step.id in chosen else "verify") for _, step in todo]
        await asyncio.to_thread(self._planner.facts.read_models, stage)
        async for outcome in self._pool.run(setup, work, load=bool(chosen)):
            if not isinstance(outcome, Outcome):
                yield to_notice(outcome)
                continue
            event = to_event(stage, outcome, len(todo))
            if isinstance(event, ClipDone) and isinstance(outcome.answer, StepDone):
                done += 1
                await self._record(stage, job, items[outcome.answer.id], outcome.answer)
                event = msgspec.structs.replace(event, detail=f"adopted: {event.detail}")
            elif isinstance(event, ClipFailed):
                failed += 1
                event = msgspec.structs.replace(event, remedy=event.remedy or _REMEDY)
                self._failures.append(event)
            if event is not None:
                yield event
        yield StageDone(stage=stage, done=done, failed=failed, seconds=time.monotonic() - began)

    async def _record(self, stage: Stage, job: Job, item: PlanItem, answer: StepDone) -> None:
        clip = job.clips[item.row]
        record = OutputRecord(
            fingerprint=await asyncio.to_thread(self._planner.facts.of, stage, clip),
            identity=FileIdentity(size=answer.size, mtime_ns=answer.mtime_ns),
            adopted=True,
            seconds=answer.seconds,
            detail=answer.detail,
        )
        self._ledger.record(self._planner.folders[stage], item.output, record)
        self._done += 1
