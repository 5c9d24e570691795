"""One device: an encoder process through all its lives, fed with the steps of a stage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from engine.errors import EnvironmentFaultError, UsageError
from engine.worker.messages import Cancel, Device
from engine.worker.process import EncoderDiedError, EncoderLostError, EncoderProcess
from engine.worker.shares import Share
from engine.worker.stage_work import Died, StageWork
from engine.worker.turn import Turn

log = logging.getLogger("ltx_tui.worker")

# An encoder that dies this often in a row before it begins a step is given up.
_FALSE_STARTS = 3
# Seconds before a machine that was lost is looked for again.
_PAUSE = 1.0

Start = Callable[[], Awaitable[EncoderProcess]]


class Lane:
    """A device and its encoder process.

    Attributes:
        device: What it is called; of another machine it changes with the place that is found.
    """

    def __init__(self, device: str, start: Start) -> None:
        """Start nothing yet.

        Args:
            device: "auto", "cpu", "cuda:1".
            start: Starts an encoder, here or elsewhere; raises as `EncoderProcess.start` does.
        """
        self.device = device
        self._start = start
        self._encoder: EncoderProcess | None = None
        self._starting: asyncio.Task[EncoderProcess] | None = None
        # An encoder that still loads models for a stage that ended without it.
        self._late: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._false_starts = 0
        self._stopping = 0

    @property
    def pid(self) -> int | None:
        """The encoder's process number, while there is one on this machine."""
        return self._encoder.pid if self._encoder is not None else None

    async def gpus(self) -> tuple[Device, ...]:
        """Return the GPUs that the encoder sees, starting it if need be.

        Raises:
            EnvironmentFaultError: It does not start.
        """
        self.warm()
        if self._starting is not None:
            starting, self._starting = self._starting, None
            self._encoder = await starting
        return self._encoder.gpus if self._encoder is not None else ()

    def warm(self) -> None:
        """Start the encoder already, without waiting for it: there will be work for it."""
        if self._encoder is None and self._starting is None:
            self._starting = asyncio.create_task(self._started())

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
        await self._give_up_waiting()
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await encoder.close()

    async def kill(self) -> None:
        """End the encoder process at once."""
        await self._give_up_waiting()
        if self._encoder is not None:
            encoder, self._encoder = self._encoder, None
            await encoder.kill()

    async def _give_up_waiting(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            late.cancel()
            await asyncio.wait([late])
        starting, self._starting = self._starting, None
        if starting is None:
            return
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await starting.result().kill()

    async def run(self, stage: StageWork) -> None:
        """Do work of a stage until none can come any more; every piece has exactly one final end.

        A step that kills the encoder is tried once more, a rung lower; then it has failed, and a
        new encoder goes on with the others. A step whose machine was lost is done elsewhere.

        Raises:
            LtxError: A model is unusable, the encoder process does not start, the device lacks
                memory, or the disk is full.
        """
        self._stopping = 0
        share = stage.shares.join()
        try:
            while not stage.has_ended:
                if stage.left:
                    await self._take_turn(stage, share)
                else:
                    # What others have in hand comes back if their encoder dies.
                    await stage.shares.change()
        finally:
            stage.shares.leave(share)

    async def _take_turn(self, stage: StageWork, share: Share) -> None:
        try:
            encoder = await self._ready(stage)
            if encoder is None:
                return
            turn = self._turn = Turn(encoder, self.device, stage, share)
            await turn.run()
            self._false_starts = 0
            if turn.is_late:
                # Nobody waits for it here.
                self._late = asyncio.create_task(turn.come_to_an_end())
        except EncoderDiedError as death:
            await self._bury(stage, death)
        except BaseException:
            # Other lanes take what this one held.
            if self._turn is not None:
                stage.left.extendleft(reversed(self._turn.held))
            raise
        finally:
            self._turn = None
            stage.shares.drop(share)

    async def _ready(self, stage: StageWork) -> EncoderProcess | None:
        """Return the encoder; None if the stage ends before it is there.

        Raises:
            EnvironmentFaultError: It does not come up.
        """
        if self._late is not None:
            if not await _before_the_end(self._late, stage):
                return None
            late, self._late = self._late, None
            if late.exception() is not None:
                await self.kill()
        if self._encoder is None:
            self.warm()
            if self._starting is None or not await _before_the_end(self._starting, stage):
                return None
            starting, self._starting = self._starting, None
            self._encoder = starting.result()
        if self._encoder.place:
            self.device = self._encoder.place
        return self._encoder

    async def _started(self) -> EncoderProcess:
        """Start an encoder; one that does not come up is tried again.

        Raises:
            EnvironmentFaultError: It does not come up.
        """
        while True:
            try:
                return await self._start()
            except EncoderLostError as loss:
                log.warning("%s: %s", self.device, loss)
                await asyncio.sleep(_PAUSE)
            except EncoderDiedError as death:
                self._false_start(f"the encoder process does not start: {death}")

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

    async def _bury(self, stage: StageWork, death: EncoderDiedError) -> None:
        """Settle what the dead encoder held, and make place for another one."""
        await self.kill()
        turn = self._turn
        if turn is None:
            return
        if stage.stop.is_set():
            for outcome in turn.dropped():
                await stage.outcomes.put(outcome)
            return
        how, lost = str(death), isinstance(death, EncoderLostError)
        suspects = turn.suspects
        await stage.outcomes.put(Died(how, tuple(suspects), lost))
        for outcome in turn.buried(how, lost=lost):
            await stage.outcomes.put(outcome)
        if suspects:
            self._false_starts = 0
        elif not lost:
            self._false_start(f"the encoder process ended while it loaded its models: {how}")


async def _before_the_end(task: asyncio.Task[Any], stage: StageWork) -> bool:
    """Wait for something; whether it is done before the stage has ended."""
    while not task.done() and not stage.has_ended:
        change = asyncio.create_task(stage.shares.change())
        await asyncio.wait([task, change], return_when=asyncio.FIRST_COMPLETED)
        change.cancel()
    return not stage.has_ended


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
