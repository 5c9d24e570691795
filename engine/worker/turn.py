"""One stage on one life of an encoder: what it is sent, and what its answers mean."""

from __future__ import annotations

import asyncio

import msgspec

from engine.errors import EnvironmentFaultError, UsageError
from engine.worker.messages import (
    Answer,
    CloseStage,
    Guarded,
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
from engine.worker.process import EncoderProcess
from engine.worker.shares import Share
from engine.worker.stage_work import FullDiskError, Outcome, StageWork

# Steps an encoder holds beside the batch on the device: being read, or waiting for it.
_AHEAD = 2
# A step in which an encoder dies this often has failed.
_DEATHS = 2
# The same for the loss of whole machines: it is seldom a clip's fault.
_LOSSES = 5


class Turn:
    """A stage on an encoder, from its opening to its end."""

    def __init__(
        self, encoder: EncoderProcess, device: str, stage: StageWork, share: Share
    ) -> None:
        """Send nothing yet.

        Args:
            encoder: Does the work.
            device: What it is called.
            stage: The work.
            share: The device's part of it.
        """
        self._encoder = encoder
        self._device = device
        self._stage = stage
        self._share = share
        own = encoder.device or device
        titles = {gpu.name: gpu.title for gpu in encoder.gpus}
        # Without an index, torch takes the first.
        self._title = titles.get(f"{own}:0" if own == "cuda" else own, own)
        self._sent: dict[int, Work] = {}
        self._started: set[int] = set()
        self._open = False
        self._setup = msgspec.structs.replace(stage.setup, device=own)
        # Another batch is sent while there is room for one step of it.
        self._room = stage.setup.batch_size + _AHEAD
        self._receiving: asyncio.Task[Answer] | None = None
        # The stage ended elsewhere while the models were being loaded here.
        self.is_late = False

    @property
    def has_begun(self) -> bool:
        """Whether a step is on the device, or may be."""
        return self._open and bool(self._sent)

    @property
    def suspects(self) -> list[int]:
        """What may have killed the encoder: the steps it had begun, or was reading."""
        begun = [number for number in self._sent if number in self._started]
        return begun or (list(self._sent) if self._open else [])

    @property
    def held(self) -> list[Work]:
        """What the encoder has been sent and has not answered."""
        return list(self._sent.values())

    async def run(self) -> None:
        """Work until nothing is left to send; where that is so before it begins, it `is_late`.

        Raises:
            EncoderDiedError: The encoder ended.
            LtxError: A model is unusable, the device lacks memory, or the disk is full.
        """
        try:
            await self._run()
        finally:
            if self._receiving is not None:
                self._receiving.cancel()
                await asyncio.wait([self._receiving])

    async def _run(self) -> None:
        stage = self._stage
        # Until it has shown a pace, it counts as one of those that will take their part.
        self._share.ready = self._share.pace is None
        known = stage.known(self._title)
        await self._encoder.send(OpenStage(self._setup, load=stage.load, peaks=known))
        closed = False
        while True:
            if self._open and not closed:
                closed = await self._feed()
            answer = await self._answer(closed=closed)
            if answer is None:
                if not self._open and stage.has_ended and not stage.stop.is_set():
                    self.is_late = True
                    await self._encoder.send(CloseStage())
                    return
                continue
            if isinstance(answer, StageClosed):
                return
            if isinstance(answer, StageRefused):
                if stage.stop.is_set():
                    return  # it gave up waiting for memory
                kind = EnvironmentFaultError if answer.environment else UsageError
                raise kind(answer.reason, remedy=answer.remedy)
            if isinstance(answer, StageOpened):
                self._open = self._share.ready = True
            await stage.outcomes.put(self._outcome(answer))
            if isinstance(answer, StepFailed) and answer.fatal:
                raise FullDiskError(answer.reason, remedy=answer.remedy)

    async def come_to_an_end(self) -> None:
        """Wait, in a stage that has ended without us, until the encoder can open another one.

        Raises:
            EncoderDiedError: It ended instead.
        """
        while not isinstance(await self._encoder.receive(), StageClosed | StageRefused):
            pass

    async def _answer(self, *, closed: bool) -> Answer | None:
        """Return the next answer; None when other devices have moved, so that more may be sent."""
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._encoder.receive())
        if not closed:
            # What others do may leave us more to do, or nothing.
            change = asyncio.create_task(self._stage.shares.change())
            try:
                await asyncio.wait([self._receiving, change], return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
            if not self._receiving.done():
                return None
        answer = await self._receiving
        self._receiving = None
        return answer

    async def _feed(self) -> bool:
        """Send what there is room for; close the stage when nothing more will come."""
        stage = self._stage
        stopped = stage.stop.is_set()
        while stage.left and len(self._sent) < self._room and not stopped:
            # After a death, one step at a time: the next one to die is then the one to blame.
            careful = bool(stage.unsettled)
            if self._sent if careful else not self._may_take():
                break
            for work in self._next(alone=careful):
                await stage.sending(work)
                await self._encoder.send(work)
        if stage.left and not stopped:
            return False
        await self._encoder.send(CloseStage())
        return True

    def _next(self, *, alone: bool) -> list[Work]:
        """Take what shares a batch, all at once: no other lane gets a part of it."""
        left = self._stage.left
        works = [left.popleft()]
        while not alone and left and left[0].batch == works[0].batch:
            works.append(left.popleft())
        works = [msgspec.structs.replace(work, alone=alone, together=len(works)) for work in works]
        for work in works:
            self._sent[work.step.id] = work
            self._stage.shares.give(self._share)
        return works

    def _may_take(self) -> bool:
        return self._stage.shares.may_take(self._share, len(self._stage.left))

    def _outcome(self, answer: Answer) -> Outcome:
        if isinstance(answer, StepStarted):
            self._started.add(answer.id)
            return self._of(answer, self._sent[answer.id])
        if isinstance(answer, Guarded) and answer.id in self._sent:
            return self._of(answer, self._sent[answer.id])
        if isinstance(answer, (StepDone, StepFailed, StepDropped)):
            self._stage.unsettled.discard(answer.id)
            work = self._sent.pop(answer.id)
            self._stage.shares.settle(self._share)
            return self._of(answer, work)
        return self._of(answer, None)

    def _of(self, answer: Answer, work: Work | None) -> Outcome:
        return Outcome(answer, work.step if work is not None else None, self._device, self._title)

    def dropped(self) -> list[Outcome]:
        """Return an outcome for everything in hand of a job that was cancelled."""
        return [self._of(StepDropped(number), work) for number, work in self._sent.items()]

    def buried(self, how: str, *, lost: bool = False) -> list[Outcome]:
        """Put back what may be tried again, and return the others as failed.

        Args:
            how: How the encoder ended.
            lost: Its machine was lost: nothing that was in hand is to blame for it.
        """
        stage = self._stage
        suspects = set(self.suspects)
        ends, most = (stage.losses, _LOSSES) if lost else (stage.deaths, _DEATHS)
        ends.update(suspects)
        if not lost:
            stage.unsettled |= suspects
        outcomes = []
        for number in reversed(list(self._sent)):
            work = self._sent[number]
            if ends[number] < most:
                lower = work.lower + (number in suspects and not lost)
                stage.left.appendleft(msgspec.structs.replace(work, lower=lower))
                continue
            stage.unsettled.discard(number)
            outcomes.append(self._of(_given_up(number, how, lost=lost), work))
        return outcomes


def _given_up(number: int, how: str, *, lost: bool) -> StepFailed:
    if lost:
        reason = f"{_LOSSES} machines were lost while they worked on this clip; the last: {how}"
        return StepFailed(number, reason, "see the logs of those machines, then try again")
    reason = f"the encoder process ended while it worked on this clip: {how}"
    return StepFailed(
        number, reason, "see the encoder's log; if it happens again, take the clip out"
    )
