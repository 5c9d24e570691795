"""One device: an encoder process through all its lives, fed with the steps of a stage."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError, UsageError
from engine.memory.peaks import Peak
from engine.precompute.steps import AnySetup, AnyStep
from engine.worker.messages import (
    Answer,
    Cancel,
    CloseStage,
    Device,
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
from engine.worker.process import ENCODER, EncoderDiedError, EncoderProcess, Program

log = logging.getLogger("ltx_tui.worker")

# Steps an encoder holds beside the batch on the device: being read, or waiting for it.
_AHEAD = 2
# A step in which an encoder dies this often has failed.
_DEATHS = 2
# An encoder that dies this often in a row before it begins a step is given up.
_FALSE_STARTS = 3


class Outcome(msgspec.Struct, frozen=True):
    """An answer of an encoder, the step that it is about, if any, and where it came from.

    Attributes:
        title: The device's own name, such as "NVIDIA H200".
    """

    answer: Answer
    step: AnyStep | None = None
    device: str = ""
    title: str = ""


class Died(msgspec.Struct, frozen=True):
    """An encoder died, and was or will be replaced: an outcome of the lane's own.

    Attributes:
        how: In words.
        steps: What it had begun.
    """

    how: str
    steps: tuple[int, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """A device that cannot be used is left out of the stage, and others go on."""

    device: str
    why: str


News = Died | LeftOut


class FullDiskError(EnvironmentFaultError):
    """Going on makes no sense on any device: outputs cannot be written."""


Sending = Callable[[Work], Awaitable[None]]
Known = Callable[[str], tuple[Peak, ...]]


class StageWork(msgspec.Struct, kw_only=True):
    """A stage's work, shared by all lanes.

    Attributes:
        setup: For the encoders; each lane sets its own device.
        left: What no encoder holds.
        load: Whether models are loaded at once.
        outcomes: What has come of it; bounded, so that a slow consumer slows the lanes.
        sending: Told of each piece of work before an encoder is.
        known: Returns the peaks that are known of a device by its title.
        deaths: How many encoders died on a step.
        unsettled: Steps that an encoder died on and that have not come to an end since.
        stop: Set to end the work.
    """

    setup: AnySetup
    left: deque[Work]
    load: bool
    outcomes: asyncio.Queue[Outcome | News | None]
    sending: Sending
    known: Known
    deaths: Counter[int]
    unsettled: set[int]
    stop: asyncio.Event


class Lane:
    """A device and its encoder process."""

    def __init__(
        self, device: str, logs: Path, patience: float, program: Program = ENCODER
    ) -> None:
        """Start nothing yet.

        Args:
            device: "auto", "cpu", "cuda:1".
            logs: Folder of the log files.
            patience: As in `EncoderProcess.start`.
            program: What is started.
        """
        self.device = device
        self._program = program
        self._log_path = logs / f"encoder-{device.replace(':', '-')}.log"
        self._patience = patience
        self._encoder: EncoderProcess | None = None
        self._turn: _Turn | None = None
        self._false_starts = 0
        self._stopping = 0

    @property
    def pid(self) -> int | None:
        """The encoder's process number, while there is one."""
        return self._encoder.pid if self._encoder is not None else None

    async def gpus(self) -> tuple[Device, ...]:
        """Return the GPUs that the encoder sees, starting it if need be.

        Raises:
            EnvironmentFaultError: It does not start.
        """
        return (await self._started()).gpus

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoder at once.

        An encoder that still loads its models has nothing in hand, so it is not waited for.
        """
        self._stopping += 1
        if self._encoder is None:
            return
        if self._stopping > 1 or self._turn is None or not self._turn.has_begun:
            await self._encoder.kill()
        else:
            await self._encoder.send(Cancel())

    async def close(self) -> None:
        """End the encoder process."""
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await encoder.close()

    async def kill(self) -> None:
        """End the encoder process at once."""
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await encoder.kill()

    async def run(self, stage: StageWork) -> None:
        """Do work of a stage until none is left; every piece has exactly one final outcome.

        A step that kills the encoder is tried once more, a rung lower; then it has failed, and a
        new encoder goes on with the others.

        Raises:
            LtxError: A model is unusable, the encoder process does not start, the device lacks
                memory, or the disk is full.
        """
        self._stopping = 0
        while stage.left and not stage.stop.is_set():
            try:
                encoder = await self._started()
                if stage.stop.is_set():
                    return
                self._turn = _Turn(encoder, self.device, stage)
                await self._turn.run()
                self._false_starts = 0
            except EncoderDiedError as death:
                await self._bury(stage, str(death))
            except BaseException:
                # Other lanes take what this one held.
                if self._turn is not None:
                    stage.left.extendleft(reversed(self._turn.held))
                raise
            finally:
                self._turn = None

    async def _started(self) -> EncoderProcess:
        """Return the encoder; one that does not come up is tried again.

        Raises:
            EnvironmentFaultError: It does not come up.
        """
        while self._encoder is None:
            try:
                self._encoder = await EncoderProcess.start(
                    self._log_path, self._patience, self._program
                )
            except EncoderDiedError as death:
                self._false_start(f"the encoder process does not start: {death}")
        return self._encoder

    def _false_start(self, how: str) -> None:
        self._false_starts += 1
        log.warning("%s: %s", self.device, how)
        if self._false_starts >= _FALSE_STARTS:
            self._false_starts = 0
            raise EnvironmentFaultError(
                how,
                remedy="see the encoder's log (`ltx-tui logs`); often the machine ran out of "
                "memory. `ltx-tui doctor` looks at the rest",
            )

    async def _bury(self, stage: StageWork, how: str) -> None:
        """Settle what the dead encoder held, and make place for another one."""
        await self.kill()
        turn = self._turn
        if turn is None:
            return
        if stage.stop.is_set():
            for outcome in turn.dropped():
                await stage.outcomes.put(outcome)
            return
        suspects = turn.suspects
        await stage.outcomes.put(Died(how, tuple(suspects)))
        for outcome in turn.buried(how):
            await stage.outcomes.put(outcome)
        if suspects:
            self._false_starts = 0
        else:
            self._false_start(f"the encoder process ended while it loaded its models: {how}")


class _Turn:
    """One stage on one life of an encoder process."""

    def __init__(self, encoder: EncoderProcess, device: str, stage: StageWork) -> None:
        self._encoder = encoder
        self._device = device
        self._stage = stage
        titles = {gpu.name: gpu.title for gpu in encoder.gpus}
        # Without an index, torch takes the first.
        self._title = titles.get(f"{device}:0" if device == "cuda" else device, device)
        self._sent: dict[int, Work] = {}
        self._started: set[int] = set()
        self._open = False
        self._setup = msgspec.structs.replace(stage.setup, device=device)
        batch = stage.setup.batch_size
        self._room = 2 * batch - 1 + _AHEAD

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
        stage = self._stage
        known = stage.known(self._title)
        await self._encoder.send(OpenStage(self._setup, load=stage.load, peaks=known))
        closed = False
        while True:
            if self._open and not closed:
                closed = await self._feed()
            answer = await self._encoder.receive()
            if isinstance(answer, StageClosed):
                return
            if isinstance(answer, StageRefused):
                if stage.stop.is_set():
                    return  # it gave up waiting for memory
                kind = EnvironmentFaultError if answer.environment else UsageError
                raise kind(answer.reason, remedy=answer.remedy)
            if isinstance(answer, StageOpened):
                self._open = True
            await stage.outcomes.put(self._outcome(answer))
            if isinstance(answer, StepFailed) and answer.fatal:
                raise FullDiskError(answer.reason, remedy=answer.remedy)

    async def _feed(self) -> bool:
        """Send what there is room for; close the stage when nothing more will come."""
        stage = self._stage
        stopped = stage.stop.is_set()
        while stage.left and len(self._sent) < self._room and not stopped:
            # After a death, one step at a time: the next one to die is then the one to blame.
            careful = bool(stage.unsettled)
            if careful and self._sent:
                break
            work = msgspec.structs.replace(stage.left.popleft(), alone=careful)
            self._sent[work.step.id] = work
            await stage.sending(work)
            await self._encoder.send(work)
        if stage.left and not stopped:
            return False
        await self._encoder.send(CloseStage())
        return True

    def _outcome(self, answer: Answer) -> Outcome:
        if isinstance(answer, StepStarted):
            self._started.add(answer.id)
            return self._of(answer, self._sent[answer.id])
        if isinstance(answer, Guarded) and answer.id in self._sent:
            return self._of(answer, self._sent[answer.id])
        if isinstance(answer, (StepDone, StepFailed, StepDropped)):
            self._stage.unsettled.discard(answer.id)
            return self._of(answer, self._sent.pop(answer.id))
        return self._of(answer, None)

    def _of(self, answer: Answer, work: Work | None) -> Outcome:
        return Outcome(answer, work.step if work is not None else None, self._device, self._title)

    def dropped(self) -> list[Outcome]:
        """Return an outcome for everything in hand of a job that was cancelled."""
        return [self._of(StepDropped(number), work) for number, work in self._sent.items()]

    def buried(self, how: str) -> list[Outcome]:
        """Put back what may be tried again, and return the others as failed."""
        stage = self._stage
        suspects = set(self.suspects)
        stage.deaths.update(suspects)
        stage.unsettled |= suspects
        outcomes = []
        for number in reversed(list(self._sent)):
            work = self._sent[number]
            if stage.deaths[number] < _DEATHS:
                lower = work.lower + (number in suspects)
                stage.left.appendleft(msgspec.structs.replace(work, lower=lower))
                continue
            stage.unsettled.discard(number)
            reason = f"the encoder process ended while it worked on this clip: {how}"
            remedy = "see the encoder's log; if it happens again, take the clip out"
            outcomes.append(self._of(StepFailed(number, reason, remedy), work))
        return outcomes


def split(device: str, gpus: Sequence[Device]) -> list[str]:
    """Return the devices that a setting means: "auto" is every GPU, else the CPU.

    Raises:
        UsageError: The same GPU is named twice, which would hold its models twice.
    """
    if device == "auto":
        return [gpu.name for gpu in gpus] or ["cpu"]
    names = [name.strip() for name in device.split(",") if name.strip()]
    named = [name for name in names if name.startswith("cuda")]
    if len(set(named)) < len(named):
        raise UsageError(f"device {device!r} names a GPU twice", remedy="name each once")
    return names
