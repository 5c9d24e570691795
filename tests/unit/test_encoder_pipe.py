"""The encoder's end of the protocol, and the process itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import torch

from engine.precompute.layout import Stage
from engine.precompute.steps import StageSetup
from engine.worker.encoder_pipe import Heart, Pipe, Pulse
from engine.worker.messages import (
    VERSION,
    Answer,
    Beat,
    Cancel,
    CloseStage,
    Hello,
    Loading,
    OpenStage,
    Request,
    StageOpened,
    StageRefused,
    StepDropped,
)

A = TypeVar("A")


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


def test_a_new_stage_is_not_cancelled_by_the_cancel_of_the_last(wire: Any) -> None:
    pipe = Pipe(wire[0], io.BytesIO())
    send(wire, Cancel())
    assert isinstance(pipe.take(), Cancel)
    assert pipe.cancelled()
    send(wire, OpenStage(StageSetup(stage=Stage.CONDITIONS, checkpoint="x")))
    assert isinstance(pipe.take(), OpenStage)
    assert not pipe.cancelled()


def test_half_a_line_ends_the_input() -> None:
    pipe = Pipe(io.BytesIO(msgspec.json.encode(CloseStage()) + b'\n{"type": "clo'), io.BytesIO())
    assert isinstance(pipe.take(), CloseStage)
    assert pipe.take() is None
    assert pipe.cancelled()


def test_nobody_reads_the_answers_any_more() -> None:
    read, write = os.pipe()
    os.close(read)
    gone: list[str] = []
    with os.fdopen(write, "wb", buffering=0) as outgoing:
        pipe = Pipe(io.BytesIO(), outgoing, gone=lambda: gone.append("gone"))
        pipe.send(CloseStage())  # type: ignore[arg-type]
    assert gone == ["gone"]


def test_still_counts_from_the_last_tick_and_not_at_rest() -> None:
    now = [100.0]
    pulse = Pulse(clock=lambda: now[0])
    assert pulse.still == 0
    pulse.tick()
    now[0] = 107.0
    assert pulse.still == 7
    pulse.tick()
    assert pulse.still == 0
    pulse.rest()
    now[0] = 200.0
    assert pulse.still == 0


class Lines(io.BytesIO):
    """Tells when so many lines have come."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough = enough
        self.full = threading.Event()

    def flush(self) -> None:
        if self.getvalue().count(b"\n") >= self.enough:
            self.full.set()


def test_beats_are_whole_lines_among_the_answers_and_end() -> None:
    lines = Lines(300)
    pipe, pulse = Pipe(io.BytesIO(), lines), Pulse(clock=lambda: 5.0)
    pulse.tick()
    with Heart(pipe, pulse, every=0.001):
        senders = [
            threading.Thread(target=lambda: [pipe.send(StepDropped(7)) for _ in range(100)])
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        assert lines.full.wait(20)
        for sender in senders:
            sender.join()
    answers = answers_in(lines)
    assert len(of(answers, StepDropped)) == 200
    beats = of(answers, Beat)
    assert beats
    assert {(beat.still, beat.allocated, beat.reserved) for beat in beats} == {(0.0, 0, 0)}
    size = len(lines.getvalue())
    threading.Event().wait(0.05)
    assert len(lines.getvalue()) == size
    assert not any(thread.name == "heart" for thread in threading.enumerate())


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "engine.worker.encoder"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        yield child
        child.kill()


def receive(child: subprocess.Popen[bytes]) -> Answer:
    """Return the next answer that is no sign of life."""
    assert child.stdout is not None
    for line in child.stdout:
        answer: Answer = msgspec.json.decode(line, type=Answer)
        if not isinstance(answer, Beat):
            return answer
    raise AssertionError("the encoder ended")


def test_the_process_opens_a_stage_and_ends_when_nobody_listens(
    models: tuple[Path, Path], process: subprocess.Popen[bytes]
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    hello = receive(process)
    assert isinstance(hello, Hello)
    assert (hello.version, hello.pid) == (VERSION, process.pid)
    assert len(hello.gpus) == torch.cuda.device_count()
    setup = StageSetup(stage=Stage.LATENTS, checkpoint=str(models[0]), device="cpu", limit=1000)
    for request in (OpenStage(setup), OpenStage(msgspec.structs.replace(setup, limit=0))):
        process.stdin.write(msgspec.json.encode(request) + b"\n")
    process.stdin.flush()
    refused = receive(process)
    assert isinstance(refused, StageRefused)
    assert refused.environment
    assert refused.reason == "needs at least 5.4 MiB in any way, 0.0 of 0.0 MiB free"
    assert isinstance(receive(process), Loading)
    opened = receive(process)
    assert isinstance(opened, StageOpened)
    assert opened.device == "cpu"
    # The scheduler is killed: nobody reads any more, and its next sign of life says so.
    process.stdout.close()
    assert process.wait(30) == 0


def test_the_process_ends_when_its_input_does(process: subprocess.Popen[bytes]) -> None:
    assert isinstance(receive(process), Hello)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0
