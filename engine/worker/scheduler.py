"""Feeds one encoder process with the steps of a stage, and turns its answers into outcomes."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError, UsageError
from engine.precompute.steps import AnyStep, StageSetup
from engine.worker.messages import (
    Answer,
    Cancel,
    CloseStage,
    OpenStage,
    StageClosed,
    StageOpened,
    StageRefused,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)
from engine.worker.process import EncoderDiedError, EncoderProcess

# Steps an encoder holds beside the batch on the device: being read, or waiting for it.
_AHEAD = 2
# A step in which the encoder dies this often has failed.
_DEATHS = 2


class Outcome(msgspec.Struct, frozen=True):
    """An answer of the encoder together with the step that it is about, if any."""

    answer: Answer
    step: AnyStep | None = None


class Scheduler:
    """Runs stages on one encoder process, replacing it when it dies."""

    def __init__(self, log_path: Path) -> None:
        """Start nothing yet.

        Args:
            log_path: Where the encoder's log goes.
        """
        self._log_path = log_path
        self._encoder: EncoderProcess | None = None
        self._stage: _StageRun | None = None
        self._stop = asyncio.Event()

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoder at once.

        An encoder that still loads its models has nothing in hand, so it is not waited for.
        """
        again = self._stop.is_set()
        self._stop.set()
        if self._encoder is None:
            return
        if again or self._stage is None or not self._stage.has_begun:
            await self._encoder.kill()
        else:
            await self._encoder.send(Cancel())

    @property
    def cancelled(self) -> bool:
        """Whether the user stopped the job."""
        return self._stop.is_set()

    async def close(self) -> None:
        """End the encoder process."""
        if self._encoder is not None:
            await self._encoder.close()
            self._encoder = None

    async def run(
        self, setup: StageSetup, work: Sequence[Work], *, load: bool = True
    ) -> AsyncIterator[Outcome]:
        """Do the work of a stage; every piece of it has exactly one final outcome.

        A piece that kills the encoder fails, and a new encoder goes on with the others.

        Raises:
            EnvironmentFaultError: A model is unusable, the encoder process does not start, the
                device lacks memory, or the disk is full.
        """
        left = deque(work)
        deaths: Counter[int] = Counter()
        while left:
            # After a death, one step at a time: the next one to die is then the one to blame.
            careful = bool(deaths)
            encoder = await self._started()
            if self._stop.is_set():
                return
            stage = self._stage = _StageRun(
                encoder,
                left,
                msgspec.structs.replace(setup, batch_size=1) if careful else setup,
                ahead=0 if careful else _AHEAD,
            )
            try:
                async for outcome in stage.run(load=load):
                    yield outcome
            except EncoderDiedError as death:
                await self.close()
                for outcome in stage.buried(str(death), deaths, cancelled=self._stop.is_set()):
                    yield outcome
                if self._stop.is_set():
                    return

    async def _started(self) -> EncoderProcess:
        if self._encoder is None:
            self._encoder = await EncoderProcess.start(self._log_path)
        return self._encoder


class _StageRun:
    """One stage on one life of an encoder process."""

    def __init__(
        self, encoder: EncoderProcess, left: deque[Work], setup: StageSetup, *, ahead: int
    ) -> None:
        self._encoder = encoder
        self._left = left
        self._setup = setup
        self._sent: dict[int, Work] = {}
        self._started: set[int] = set()
        self._open = False
        batch = setup.batch_size
        self._room = batch + (batch - 1) * bool(ahead) + ahead

    @property
    def has_begun(self) -> bool:
        """Whether a step is on the device, or may be."""
        return self._open and bool(self._sent)

    async def run(self, *, load: bool) -> AsyncIterator[Outcome]:
        await self._encoder.send(OpenStage(self._setup, load=load))
        closed = False
        while True:
            if self._open and not closed:
                closed = await self._feed()
            answer = await self._encoder.receive()
            if isinstance(answer, StageClosed):
                return
            if isinstance(answer, StageRefused):
                kind = EnvironmentFaultError if answer.environment else UsageError
                raise kind(answer.reason, remedy=answer.remedy)
            if isinstance(answer, StageOpened):
                self._open = True
            yield self._outcome(answer)
            if isinstance(answer, StepFailed) and answer.fatal:
                raise EnvironmentFaultError(answer.reason, remedy=answer.remedy)

    async def _feed(self) -> bool:
        while self._left and len(self._sent) < self._room:
            work = self._left.popleft()
            self._sent[work.step.id] = work
            await self._encoder.send(work)
        if self._left:
            return False
        await self._encoder.send(CloseStage())
        return True

    def _outcome(self, answer: Answer) -> Outcome:
        if isinstance(answer, StepStarted):
            self._started.add(answer.id)
            return Outcome(answer, self._sent[answer.id].step)
        if isinstance(answer, (StepDone, StepFailed, StepDropped)):
            return Outcome(answer, self._sent.pop(answer.id).step)
        return Outcome(answer)

    def buried(self, how: str, deaths: Counter[int], *, cancelled: bool) -> list[Outcome]:
        """Settle what the dead encoder held.

        A step that it had begun is tried once more, alone; the second death in it is its own
        failure. The other steps go back to the queue.

        Raises:
            EnvironmentFaultError: It died before any step.
        """
        if cancelled:
            return [Outcome(StepDropped(n), work.step) for n, work in self._sent.items()]
        suspects = [number for number in self._sent if number in self._started]
        if not suspects and not (self._open and self._sent and not deaths):
            raise EnvironmentFaultError(
                f"the encoder process ended while it loaded its models: {how}",
                remedy="see the encoder's log; often the machine ran out of memory",
            )
        deaths.update(suspects or list(self._sent))
        outcomes = []
        for number in reversed(list(self._sent)):
            work = self._sent[number]
            if deaths[number] < _DEATHS:
                self._left.appendleft(work)
                continue
            reason = f"the encoder process ended while it worked on this clip: {how}"
            remedy = "see the encoder's log; if it happens again, take the clip out"
            outcomes.append(Outcome(StepFailed(number, reason, remedy), work.step))
        return outcomes
