"""The encoder's loop, against a stage that does what the test says."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import torch

from engine.errors import LtxError, MediaError
from engine.memory.host import HostRoom, host_room
from engine.memory.peaks import Peak
from engine.memory.ways import MemoryShortError
from engine.precompute.layout import Stage
from engine.precompute.stages.base import Made
from engine.precompute.steps import StageSetup, TextStep
from engine.worker.encoder_pipe import Pipe
from engine.worker.messages import (
    Answer,
    Cancel,
    CloseStage,
    Guarded,
    Request,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)
from engine.worker.stage_loop import StageLoop, failure

A = TypeVar("A")


class FakeStage:
    """A stage that writes the prompt, in batches."""

    def __init__(self, batch: int = 1, size: int = 0) -> None:
        self.batch = batch
        self.size = size
        self.setup = StageSetup(stage=Stage.CONDITIONS, checkpoint="x")
        self.read: list[str] = []
        self.batches: list[list[str]] = []
        self.lower: list[int] = []
        self.learned: list[Peak] = []
        self.on_make: Callable[[Sequence[TextStep]], object] = lambda _: None
        self.on_write: Callable[[TextStep], object] = lambda _: None

    def host_bytes(self, step: TextStep) -> int:
        return self.size

    def prepare(self, step: TextStep) -> str:
        if step.prompt == "unreadable":
            raise MediaError("cannot be read", remedy="export it again")
        self.read.append(step.prompt)
        return step.prompt

    def begins_with(self, steps: Sequence[TextStep], lower: int = 0) -> str:
        return f"batch {len(steps)}"

    def make(
        self,
        steps: Sequence[TextStep],
        prepared: Sequence[str],
        cancelled: Callable[[], bool],
        lower: int = 0,
    ) -> list[Made]:
        assert all(prepared)
        self.batches.append(list(prepared))
        self.lower.append(lower)
        self.on_make(steps)
        return [
            Made(payload={"text": torch.zeros(1)}, detail=text, rung="one", peak=7)
            for text in prepared
        ]

    def take_learned(self) -> tuple[Peak, ...]:
        learned, self.learned = tuple(self.learned), []
        return learned

    def verify(self, step: TextStep) -> None:
        if Path(step.output).read_text() != step.prompt:
            raise LtxError("is not the prompt")

    def compare(self, step: TextStep, made: Made) -> tuple[float, bool]:
        return 0.5, Path(step.output).read_text() == made.detail

    def write(self, step: TextStep, made: Made) -> Path:
        self.on_write(step)
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


def talk(stage: FakeStage, incoming: Any, look: Callable[[], HostRoom] = host_room) -> list[Answer]:
    outgoing = io.BytesIO()
    StageLoop(Pipe(incoming, outgoing), stage, look=look).run()  # type: ignore[arg-type]
    return answers_in(outgoing)


def answers_in(outgoing: io.BytesIO) -> list[Answer]:
    decoder = msgspec.json.Decoder(Answer)
    return [decoder.decode(line) for line in outgoing.getvalue().splitlines()]


def of(answers: Sequence[Answer], kind: type[A]) -> list[A]:
    return [answer for answer in answers if isinstance(answer, kind)]


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
    assert failed[2].reason == "out of memory: CUDA out of memory"
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


def test_what_the_guard_did_is_told(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage(batch=2)
    stage.learned = [Peak(shape="s", rung="one", bytes=7)]
    send(wire, *steps(tmp_path, "a", "b"), CloseStage())
    answers = talk(stage, wire[0])
    assert [a.rung for a in of(answers, StepStarted)] == ["batch 2", "batch 2"]
    first, second = of(answers, StepDone)
    assert (first.rung, first.peak) == ("one", 7)
    assert first.learned == (Peak(shape="s", rung="one", bytes=7),)
    assert second.learned == ()


def test_what_was_learned_from_a_failure_is_told_too(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage(batch=2)
    known = Peak(shape="s", rung="one", bytes=7, fits=False)

    def too_little(batch: Sequence[TextStep]) -> None:
        if len(batch) == 2:
            stage.learned = [known]
        raise MemoryShortError("needs at least 0.8 GiB in any way, 0.3 of 8.0 GiB free")

    stage.on_make = too_little
    send(wire, *steps(tmp_path, "a", "b"), CloseStage())
    failed = of(talk(stage, wire[0]), StepFailed)
    assert {one.reason for one in failed} == {
        "needs at least 0.8 GiB in any way, 0.3 of 8.0 GiB free"
    }
    assert [one.learned for one in failed] == [(known,), ()]


def test_a_step_that_killed_an_encoder_is_done_alone_and_lower(tmp_path: Path, wire: Any) -> None:
    stage = FakeStage(batch=3)
    first, second, third = steps(tmp_path, "a", "b", "c")
    send(wire, first, msgspec.structs.replace(second, alone=True, lower=2), third, CloseStage())
    talk(stage, wire[0])
    assert stage.batches == [["a"], ["b"], ["c"]]
    assert stage.lower == [0, 2, 0]


def test_a_step_alone_is_not_kept_waiting_for_a_batch(tmp_path: Path, wire: Any) -> None:
    stage, done = FakeStage(batch=8), threading.Event()
    stage.on_write = lambda _: done.set()
    (work,) = steps(tmp_path, "a")
    send(wire, msgspec.structs.replace(work, alone=True))
    loop = threading.Thread(target=talk, args=(stage, wire[0]))
    loop.start()
    assert done.wait(20)
    send(wire, CloseStage())
    loop.join(20)
    assert not loop.is_alive()


def test_checks(tmp_path: Path, wire: Any) -> None:
    for name, text in (("0", "a"), ("1", "wrong"), ("2", "c"), ("3", "d")):
        (tmp_path / name).write_text(text)
    kinds = ("verify", "verify", "compare", "verify")
    checks = [
        msgspec.structs.replace(work, check=kind)
        for work, kind in zip(steps(tmp_path, "a", "b", "c", "d"), kinds, strict=True)
    ]
    (tmp_path / "3").unlink()
    stage = FakeStage()
    send(wire, *checks, CloseStage())
    answers = talk(stage, wire[0])
    details = {a.id: a.detail for a in of(answers, StepDone)}
    assert details == {0: "verified", 2: "compared, relative error 0.5"}
    assert stage.batches == [["c"]]
    reasons = {a.id: a.reason for a in of(answers, StepFailed)}
    assert reasons[1] == "is not the prompt"
    assert "No such file" in reasons[3]
    assert {a.id: a.rung for a in of(answers, StepStarted)} == {0: "", 1: "", 2: "batch 1", 3: ""}


def test_writing_goes_on_while_the_next_clip_is_on_the_device(tmp_path: Path, wire: Any) -> None:
    stage, second_made = FakeStage(), threading.Event()
    overlapped = []

    def on_make(batch: Sequence[TextStep]) -> None:
        if batch[0].prompt == "b":
            second_made.set()

    stage.on_make = on_make
    stage.on_write = lambda step: overlapped.append(step.prompt == "b" or second_made.wait(20))
    send(wire, *steps(tmp_path, "a", "b"), CloseStage())
    talk(stage, wire[0])
    # The first write ended only because the second clip was made meanwhile.
    assert overlapped == [True, True]


def test_a_slow_disk_holds_the_device_back(tmp_path: Path, wire: Any) -> None:
    stage, full, go_on = FakeStage(), threading.Event(), threading.Event()
    made_before: list[int] = []

    def on_write(step: TextStep) -> None:
        if step.id == 0:
            full.set()
            go_on.wait(20)
            made_before.append(len(stage.batches))

    stage.on_write = on_write
    send(wire, *steps(tmp_path, *"abcdefghij"), CloseStage())
    loop = threading.Thread(target=talk, args=(stage, wire[0]))
    loop.start()
    assert full.wait(20)
    # One is being written, two wait; nothing more is made until that write ends.
    while len(stage.batches) < 3:
        threading.Event().wait(0.01)
    threading.Event().wait(0.2)
    go_on.set()
    loop.join(20)
    assert made_before == [3]
    assert len(stage.batches) == 10


def test_a_full_disk_behind_fails_that_step_and_answers_the_others(
    tmp_path: Path, wire: Any
) -> None:
    send(wire, *steps(tmp_path, "a", "full disk", "c"), CloseStage())
    answers = talk(FakeStage(), wire[0])
    (failed,) = of(answers, StepFailed)
    assert (failed.id, failed.fatal) == (1, True)
    assert [a.id for a in of(answers, StepDone)] == [0, 2]
    assert not (tmp_path / "1").exists()


def test_less_is_read_ahead_where_memory_is_short(tmp_path: Path, wire: Any) -> None:
    gib = 1 << 30
    stage = FakeStage(size=gib)
    most: list[int] = []
    stage.on_make = lambda _: most.append(len(stage.read) - len(stage.batches))
    send(wire, *steps(tmp_path, *"abcde"), CloseStage())
    answers = talk(stage, wire[0], look=lambda: HostRoom(gib // 2, 16 * gib))
    assert stage.batches == [["a"], ["b"], ["c"], ["d"], ["e"]]
    # Nothing but the clip on the device.
    assert most == [0, 0, 0, 0, 0]
    (told,) = of(answers, Guarded)
    assert told.id == -1
    assert told.text == "reads fewer clips ahead: 0.5 of 16.0 GiB of the machine's memory is free"


def test_a_batch_is_smaller_where_memory_is_short(tmp_path: Path, wire: Any) -> None:
    gib = 1 << 30
    stage = FakeStage(batch=4, size=gib)
    send(wire, *steps(tmp_path, *"abcd"), CloseStage())
    answers = talk(stage, wire[0], look=lambda: HostRoom(0, 16 * gib))
    assert stage.batches == [["a"], ["b"], ["c"], ["d"]]
    assert len(of(answers, StepDone)) == 4
