"""An encoder's answers as the events that clients see."""

from __future__ import annotations

from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    ClipStarted,
    Guard,
    ModelLoading,
    Notice,
    StageStarted,
)
from engine.precompute.steps import AnyStep
from engine.worker.messages import (
    Guarded,
    Loading,
    Remark,
    StageOpened,
    StepDone,
    StepFailed,
    StepStarted,
)
from engine.worker.stage_work import Died, News, NodeNews, Outcome


def to_event(stage: str, outcome: Outcome, total: int) -> AnyEvent | None:
    """Return the event of an outcome; None where there is nothing to tell.

    Args:
        stage: Which stage runs.
        outcome: What the encoder answered.
        total: How many steps the stage has.
    """
    answer = outcome.answer
    if isinstance(answer, Loading):
        device = _placed(answer.device, outcome.device)
        return ModelLoading(stage=stage, model=answer.model, device=device)
    if isinstance(answer, StageOpened):
        return StageStarted(stage=stage, total=total, load_seconds=answer.seconds)
    if isinstance(answer, Guarded):
        return _guard(stage, answer, outcome)
    if isinstance(answer, Remark):
        return Notice(level="warning", text=answer.text)
    return _of_step(stage, outcome, outcome.step) if outcome.step is not None else None


def _placed(device: str, lane: str) -> str:
    """Return what an encoder calls a device as we do: "node2/cuda:3" for another machine's."""
    node, slash, own = lane.rpartition("/")
    if not slash:
        return device
    return lane if device.startswith("cuda") == own.startswith("cuda") else f"{node}/{device}"


def _guard(stage: str, answer: Guarded, outcome: Outcome) -> Guard:
    step = outcome.step
    return Guard(
        stage=stage,
        clip=step.clip if step is not None else "",
        row=step.row if step is not None else -1,
        device=outcome.device,
        rung=answer.rung,
        text=answer.text,
        waiting=answer.waiting,
    )


def _of_step(stage: str, outcome: Outcome, step: AnyStep) -> AnyEvent | None:
    answer = outcome.answer
    if isinstance(answer, StepStarted):
        return ClipStarted(
            stage=stage, clip=step.clip, row=step.row, device=outcome.device, rung=answer.rung
        )
    if isinstance(answer, StepDone):
        return ClipDone(
            stage=stage,
            clip=step.clip,
            row=step.row,
            output=answer.output,
            seconds=answer.seconds,
            detail=answer.detail,
            device=outcome.device,
            peak=answer.peak,
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


def to_notice(news: News) -> Notice:
    """Return what a client is told of a lane's own news."""
    if isinstance(news, NodeNews):
        text = news.text
    elif isinstance(news, Died) and news.lost:
        text = f"{news.how}; what it had in hand is done elsewhere"
    elif isinstance(news, Died):
        text = f"an encoder ended and is replaced: {news.how}"
    else:
        text = f"{news.device} is left out, the other devices go on: {news.why}"
    return Notice(level="warning", text=text)
