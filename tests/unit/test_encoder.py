"""The encoder's loop, against a stage that does what the test says."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from engine.errors import MediaError
from engine.precompute.layout import Stage
from engine.precompute.stages.base import Made
from engine.precompute.steps import StageSetup, TextStep
from engine.worker.encoder import Pipe, StageLoop, failure
from engine.worker.messages import (
    Answer,
    Cancel,
    CloseStage,
    Request,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)


class FakeStage:
    """A stage that writes the prompt, in batches."""

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.setup = StageSetup(stage=Stage.CONDITIONS, checkpoint="x")
        self.batches: list[list[str]] = []
        self.on_make: Callable[[Sequence[TextStep]], None] = lambda _: None

    def prepare(self, step: TextStep) -> str:
        if step.prompt == "unreadable":
            raise MediaError("cannot be read", remedy="export it again")
        return step.prompt

    def make(
        self, steps: Sequence[TextStep], prepared: Sequence[str], cancelled: Callable[[], bool]
    ) -> list[Made]:
        assert all(prepared)
        self.batches.append(list(prepared))
        self.on_make(steps)
        return [Made(payload={"text": torch.zeros(1)}, detail=text) for text in prepared]

    def write(self, step: TextStep, made: Made) -> Path:
        if step.prompt == "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Path(step.output).write_text(made.detail)
        return Path(step.output)


def steps(folder: Path, *prompts: str) -> list[Work]:
    return [
        Work(TextStep(id=i, clip=f"{i}", row=i, output=str(folder / f"{i}"), prompt=text))
        for i, text in enumerate(prompts)
    ]


def do(stage: FakeStage, requests: Sequence[Request]) -> list[Answer]:
    """Send requests, close the input, and return the answers."""
    incoming = io.BytesIO(b"".join(msgspec.json.encode(r) + b"\n" for r in requests))
    return talk(stage, incoming)


def talk(stage: FakeStage, incoming: Any) -> list[Answer]:
    outgoing = io.BytesIO()
    StageLoop(Pipe(incoming, outgoing), stage).run()  # type: ignore[arg-type]
    decoder = msgspec.json.Decoder(Answer)
    return [decoder.decode(line) for line in outgoing.getvalue().splitlines()]


@pytest.fixture
def wire() -> Any:
    """A pipe whose end the test holds, so that the input does not end by itself."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as incoming, os.fdopen(write, "wb") as outgoing:
        yield incoming, outgoing


def send(wire: Any, *requests: Request) -> None:
    for request in requests:
        wire[1].write(msgspec.json.encode(request) + b"\n")
    wire[1].flush()


def test_every_step_is_answered_once_in_batches(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage(batch=2)
    send(wire, *steps(tmp_path, "a", "b", "c"), CloseStage())
    answers = talk(stage, wire[0])
    assert stage.batches == [["a", "b"], ["c"]]
    assert [a.id for a in answers if isinstance(a, StepDone)] == [0, 1, 2]
    assert [a.id for a in answers if isinstance(a, StepStarted)] == [0, 1, 2]
    assert (tmp_path / "2").read_text() == "c"


def test_one_bad_step_fails_alone(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage(batch=4)

    def fail_on_c(batch: Sequence[TextStep]) -> None:
        if any(step.prompt == "c" for step in batch):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    stage.on_make = fail_on_c
    send(wire, *steps(tmp_path, "a", "unreadable", "c", "d"), CloseStage())
    answers = talk(stage, wire[0])
    failed = {a.id: a for a in answers if isinstance(a, StepFailed)}
    assert sorted(failed) == [1, 2]
    assert (failed[1].reason, failed[1].remedy) == ("cannot be read", "export it again")
    assert failed[2].reason == "out of GPU memory: CUDA out of memory"
    assert sorted(a.id for a in answers if isinstance(a, StepDone)) == [0, 3]


def test_a_full_disk_ends_the_job(tmp_path: Path, wire: Any) -> None:
    send(wire, *steps(tmp_path, "full disk"), CloseStage())
    (failed,) = [a for a in talk(FakeStage(), wire[0]) if isinstance(a, StepFailed)]
    assert failed.fatal
    assert "No space left" in failed.reason
    assert not failure(0, ValueError("x")).fatal


def test_a_cancel_drops_what_is_waiting_and_fails_nothing(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage()
    stage.on_make = lambda _: (send(wire, Cancel()), threading.Event().wait(0.2))[0]
    send(wire, *steps(tmp_path, "a", "b", "c"), CloseStage())
    answers = talk(stage, wire[0])
    assert [a.id for a in answers if isinstance(a, StepDone)] == [0]
    assert [a.id for a in answers if isinstance(a, StepDropped)] == [1, 2]
    assert not any(isinstance(a, StepFailed) for a in answers)


def test_nothing_is_done_for_a_scheduler_that_is_gone(tmp_path: Path) -> None:
    stage = FakeStage()
    wait = threading.Event()
    stage.on_make = lambda _: wait.wait(0.2) and None
    answers = do(stage, steps(tmp_path, "a", "b", "c"))
    assert not any(isinstance(a, StepFailed) for a in answers)
    assert len([a for a in answers if isinstance(a, StepDone | StepDropped)]) == 3
    assert not (tmp_path / "2").exists()
