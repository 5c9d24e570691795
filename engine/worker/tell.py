"""An encoder's answers as the events that clients see."""

from __future__ import annotations

from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    ClipStarted,
    ModelLoading,
    StageStarted,
)
from engine.precompute.layout import Stage
from engine.worker.messages import Loading, StageOpened, StepDone, StepFailed, StepStarted
from engine.worker.scheduler import Outcome


def to_event(stage: Stage, outcome: Outcome, total: int) -> AnyEvent | None:
    """Return the event of an outcome; None where there is nothing to tell.

    Args:
        stage: Which stage runs.
        outcome: What the encoder answered.
        total: How many steps the stage has.
    """
    answer, step = outcome.answer, outcome.step
    if isinstance(answer, Loading):
        return ModelLoading(stage=stage, model=answer.model, device=answer.device)
    if isinstance(answer, StageOpened):
        return StageStarted(stage=stage, total=total, load_seconds=answer.seconds)
    if step is None:
        return None
    if isinstance(answer, StepStarted):
        return ClipStarted(stage=stage, clip=step.clip, row=step.row)
    if isinstance(answer, StepDone):
        return ClipDone(
            stage=stage,
            clip=step.clip,
            row=step.row,
            output=answer.output,
            seconds=answer.seconds,
            detail=answer.detail,
        )
    if isinstance(answer, StepFailed):
        return ClipFailed(
            stage=stage,
            clip=step.clip,
            row=step.row,
            reason=answer.reason,
            remedy=answer.remedy,
        )
    return None
