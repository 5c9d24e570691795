"""The journal of one running job: what was sent, tried and ended, and what memory it took."""

from __future__ import annotations

import asyncio
import time

from engine.events import ClipFailed
from engine.memory.peaks import Peak
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage
from engine.precompute.plan_types import PlanItem
from engine.worker.journal import Journal, SentStep, StepKey
from engine.worker.messages import (
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
)
from engine.worker.stage_work import Died, News, Outcome


class Recorder:
    """Writes down one job as it goes."""

    def __init__(self, journal: Journal, job: int) -> None:
        """Write to a job of a journal."""
        self._journal = journal
        self._job = job
        self._attempts: dict[int, int] = {}

    async def send(self, stage: Stage, item: PlanItem, fingerprint: Fingerprint) -> None:
        """A step is about to be given to an encoder."""
        step = SentStep(
            key=StepKey(stage, item.output),
            clip=item.clip,
            row=item.row,
            fingerprint=fingerprint,
            sent=time.time(),
        )
        await asyncio.to_thread(self._journal.send, self._job, [step])

    async def take(self, stage: Stage, item: PlanItem | None, outcome: Outcome, model: str) -> None:
        """Write down what an encoder answered."""
        if item is not None:
            await asyncio.to_thread(self._take, StepKey(stage, item.output), outcome, model)

    def _take(self, key: StepKey, outcome: Outcome, model: str) -> None:
        answer, journal, job = outcome.answer, self._journal, self._job
        if isinstance(answer, StepStarted):
            self._attempts[answer.id] = journal.start(
                job, key, device=outcome.device, rung=answer.rung
            )
            return
        if not isinstance(answer, StepDone | StepFailed | StepDropped):
            return
        attempt = self._attempts.pop(answer.id, None)
        if isinstance(answer, StepDropped):
            if attempt is not None:
                journal.settle(attempt, "dropped")
            journal.drop(job, key)
            return
        journal.learn(outcome.title, model, answer.learned)
        if isinstance(answer, StepFailed):
            if attempt is not None:
                journal.settle(attempt, "failed", reason=answer.reason)
            if answer.fatal:
                journal.drop(job, key)
        elif attempt is not None:
            journal.settle(
                attempt,
                "done",
                rung=answer.rung or answer.detail,
                seconds=answer.seconds,
                peak=answer.peak,
            )

    async def news(self, news: News) -> None:
        """Write down that an encoder died on some steps."""
        if isinstance(news, Died):
            for number in news.steps:
                attempt = self._attempts.pop(number, None)
                if attempt is not None:
                    self._journal.settle(attempt, "died", reason=news.how)

    def known(self, title: str, model: str) -> tuple[Peak, ...]:
        """Return what is known of a model on a device."""
        return self._journal.peaks(title, model)

    def finish(self, key: StepKey) -> None:
        """The output of a step is recorded."""
        self._journal.finish(self._job, key)

    def fail(self, key: StepKey, failure: ClipFailed) -> None:
        """A step is given up."""
        self._journal.fail(self._job, key, failure)
