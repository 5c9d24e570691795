"""In which order a stage is done, and a job's figures."""

from __future__ import annotations

from collections.abc import Sequence

from engine.events import ClipFailed, JobDone, StageCount
from engine.precompute.plan import Job
from engine.precompute.plan_types import PlanItem, Status
from engine.precompute.steps import AnyStep, TextStep, VideoStep
from engine.worker.journal import History, StepKey


def in_order(todo: Sequence[tuple[PlanItem, AnyStep]]) -> Sequence[tuple[PlanItem, AnyStep]]:
    """Put together what can share a batch, the largest first: what fails, fails early."""

    def size(pair: tuple[PlanItem, AnyStep]) -> tuple[int, ...]:
        step = pair[1]
        if isinstance(step, TextStep):
            return (len(step.prompt),)
        if isinstance(step, VideoStep):
            return (step.window.frames * step.size[0] * step.size[1], *step.size)
        return ()

    return sorted(todo, key=size, reverse=True)


def to_counts(job: Job, history: History) -> tuple[StageCount, ...]:
    """Return what there is to do in each stage, and what this job did before."""
    counts = []
    for stage in job.plan.stages:
        count = job.plan.count(stage)
        items = [item for item in job.plan.items if item.stage is stage]
        keys = {StepKey(stage, item.output): item.status for item in items}
        done = sum(keys.get(key) is Status.FRESH for key in history.done)
        failed = sum(
            key in keys and keys[key] in (Status.MISSING, Status.STALE) for key in history.failed
        )
        work = sum(number for status, number in count.items() if status.is_work)
        counts.append(
            StageCount(
                stage=stage,
                to_do=work - failed,
                fresh=count[Status.FRESH] - done,
                blocked=count[Status.BLOCKED],
                skipped=count[Status.SKIPPED],
                done=done,
                failed=failed,
            )
        )
    return tuple(counts)


def summary(
    job: Job,
    history: History,
    *,
    done: int,
    failures: tuple[ClipFailed, ...],
    set_aside: int,
    seconds: float,
    cancelled: bool,
) -> JobDone:
    """Return the end of a job; see `JobDone`."""
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
    before = sum(count.done for count in to_counts(job, history))
    return JobDone(
        done=done,
        fresh=statuses.count(Status.FRESH) - before,
        failures=(*blocked, *failures),
        skipped=statuses.count(Status.SKIPPED),
        set_aside=set_aside,
        seconds=seconds,
        cancelled=cancelled,
    )
