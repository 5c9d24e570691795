"""All devices of a job: an encoder process on each, fed from one queue of steps."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from engine.errors import LtxError
from engine.precompute.steps import AnySetup
from engine.worker.lane import (
    FullDiskError,
    Known,
    Lane,
    LeftOut,
    News,
    Outcome,
    Sending,
    StageWork,
    split,
)
from engine.worker.messages import Work
from engine.worker.process import ENCODER, Program

log = logging.getLogger("ltx_tui.worker")

# Outcomes that may wait for whoever reads them.
_WAITING = 64


async def _nothing(_work: Work) -> None:
    """Do nothing before a piece of work is sent."""


class Pool:
    """Runs stages on one encoder process a device, replacing those that die."""

    def __init__(
        self, logs: Path, device: str, patience: float, program: Program = ENCODER
    ) -> None:
        """Start nothing yet.

        Args:
            logs: Folder of the encoders' log files.
            device: "auto" (every GPU, else the CPU), "cpu", "cuda:1", "cuda:0,cuda:2".
            patience: Seconds without a sign of life after which an encoder is replaced.
            program: What is started for each device.
        """
        self._program = program
        self._logs = logs
        self._device = device
        self._patience = patience
        self._lanes: list[Lane] = []
        self._stop = asyncio.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the work was stopped."""
        return self._stop.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The encoders' process numbers."""
        return tuple(lane.pid for lane in self._lanes if lane.pid is not None)

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoders at once."""
        self._stop.set()
        await asyncio.gather(*(lane.cancel() for lane in self._lanes))

    async def close(self) -> None:
        """End the encoder processes."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        self._lanes = []

    async def run(
        self,
        setup: AnySetup,
        work: Sequence[Work],
        *,
        load: bool = True,
        sending: Sending = _nothing,
        known: Known = lambda _title: (),
    ) -> AsyncGenerator[Outcome | News]:
        """Do the work of a stage; every piece of it has exactly one final outcome.

        A piece that kills its encoder fails in the end, and a new encoder goes on with the
        others. A device that cannot be used any more is left out as long as there is another.

        Args:
            setup: The stage; its device is replaced by each lane's own.
            work: In the order in which it is begun.
            load: Whether to load the models at once.
            sending: Awaited before a piece is sent to an encoder.
            known: Returns the peaks that are known of a device, by its title.

        Raises:
            LtxError: A model is unusable, no encoder process starts, the devices lack memory, or
                the disk is full.
        """
        stage = StageWork(
            setup=setup,
            left=deque(work),
            load=load,
            outcomes=asyncio.Queue(_WAITING),
            sending=sending,
            known=known,
            deaths=Counter(),
            unsettled=set(),
            stop=self._stop,
        )
        if not work or self._stop.is_set():
            return
        lanes = (await self._ready())[: max(1, len(work))]
        task = asyncio.create_task(_run_all(lanes, stage))
        try:
            while (outcome := await stage.outcomes.get()) is not None:
                yield outcome
        finally:
            if not task.done():
                # Whoever reads has gone: nothing that is in hand is wanted any more.
                task.cancel()
                await asyncio.gather(*(lane.kill() for lane in lanes), return_exceptions=True)
            await asyncio.wait([task])
        task.result()

    async def _ready(self) -> list[Lane]:
        """Return a lane for each device; the first encoder tells which there are."""
        if not self._lanes:
            first = self._lane(self._device)
            if self._device == "auto" or "," in self._device:
                self._lanes = [first]  # so that a cancel reaches it while it starts
                names = split(self._device, await first.gpus())
                first.device = names[0]
                self._lanes = [first]
                self._lanes += [self._lane(name) for name in names[1:]]
            else:
                self._lanes = [first]
        return self._lanes

    def _lane(self, device: str) -> Lane:
        return Lane(device, self._logs, self._patience, self._program)


async def _run_all(lanes: Sequence[Lane], stage: StageWork) -> None:
    """Run all lanes until no work is left, leaving out those that fail.

    Raises:
        LtxError: No lane is left, or the disk is full.
    """
    healthy = list(lanes)
    try:
        while stage.left and healthy and not stage.stop.is_set():
            await _run_once(healthy, stage)
    except LtxError:
        await stage.outcomes.put(None)
        raise
    await stage.outcomes.put(None)


async def _run_once(healthy: list[Lane], stage: StageWork) -> None:
    tasks = {asyncio.create_task(lane.run(stage)): lane for lane in healthy}
    try:
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                lane = tasks.pop(task)
                fault = task.exception()
                if fault is None:
                    continue
                healthy.remove(lane)
                await lane.kill()
                if not isinstance(fault, LtxError) or isinstance(fault, FullDiskError):
                    raise fault
                if not healthy:
                    raise fault
                log.error("%s is left out: %s", lane.device, fault)
                await stage.outcomes.put(LeftOut(lane.device, fault.headline))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
