"""All devices of a job: an encoder process on each, fed from one queue of steps."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec

from engine.errors import LtxError
from engine.memory.monitor import NodeMemory
from engine.precompute.steps import AnySetup, AnyStep
from engine.worker.cluster import Cluster
from engine.worker.lane import Lane, split
from engine.worker.messages import Work
from engine.worker.process import ENCODER, EncoderProcess, Program
from engine.worker.stage_work import (
    FullDiskError,
    Known,
    LeftOut,
    News,
    NodeNews,
    Outcome,
    Sending,
    StageWork,
)

log = logging.getLogger("ltx_tui.worker")

# Outcomes that may wait for whoever reads them.
_WAITING = 64


async def _nothing(_work: Work) -> None:
    """Do nothing before a piece of work is sent."""


class Pool:
    """Runs stages on one encoder process a device, replacing those that die."""

    def __init__(
        self,
        logs: Path,
        device: str,
        patience: float,
        program: Program = ENCODER,
        cluster: Cluster | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            logs: Folder of the encoders' log files.
            device: "auto" (every GPU, else the CPU), "cpu", "cuda:1", "cuda:0,cuda:2".
            patience: Seconds without a sign of life after which an encoder is replaced.
            program: What is started for each device.
            cluster: The machines that encoders run on, and not this one; `device` is then its.
        """
        self._program = program
        self._cluster = cluster
        self._logs = logs
        self._device = device
        self._patience = patience
        self._lanes: list[Lane] = []
        self._stage: StageWork | None = None
        self._stop = asyncio.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the work was stopped."""
        return self._stop.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process numbers of the encoders here, and of what talks to those elsewhere."""
        pids = [lane.pid for lane in self._lanes]
        pids += [self._cluster.pid] if self._cluster is not None else []
        return tuple(pid for pid in pids if pid is not None)

    @property
    def nodes(self) -> tuple[NodeMemory, ...]:
        """The memory of other machines that encoders run on."""
        return self._cluster.memory() if self._cluster is not None else ()

    async def check(self, setup: AnySetup, steps: Sequence[AnyStep]) -> None:
        """See that every machine finds what the encoders read, and where they write.

        Nothing has to be checked where they run here.

        Raises:
            LtxError: One does not, or they cannot be reached.
        """
        if self._cluster is not None and steps and not self.cancelled:
            await self._cluster.check(setup, steps)

    def warm(self) -> None:
        """Start the first encoder already, while it is found out what there is to do.

        Loading what it computes with takes it seconds. Elsewhere it is started when it is needed.
        """
        if self._cluster is None and not self._lanes and not self.cancelled:
            self._lanes = [self._lane(self._device)]
            self._lanes[0].warm()

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoders at once."""
        self._stop.set()
        if self._stage is not None:
            self._stage.shares.notify()
        await asyncio.gather(*(lane.cancel() for lane in self._lanes))

    async def close(self) -> None:
        """End the encoder processes."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        self._lanes = []
        if self._cluster is not None:
            await self._cluster.close()

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
            left=_in_batches(work, setup.batch_size),
            load=load,
            outcomes=asyncio.Queue(_WAITING),
            sending=sending,
            known=known,
            stop=self._stop,
        )
        await self.check(setup, [one.step for one in work])
        if not work or self._stop.is_set():
            return
        lanes = (await self._ready())[: len(work)]
        self._stage = stage
        if self._cluster is not None:
            self._cluster.listen(lambda text: stage.outcomes.put(NodeNews(text)))
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
            self._stage = None
        task.result()

    async def _ready(self) -> list[Lane]:
        """Return a lane for each device; the first encoder tells which there are."""
        if self._cluster is not None:
            start = functools.partial(self._cluster.start, self._program, self._patience)
            # Machines that came since the last stage take part in this one.
            while len(self._lanes) < self._cluster.size:
                self._lanes.append(Lane(f"device {len(self._lanes) + 1}", start))
            return self._lanes
        self.warm()  # so that a cancel reaches it while it starts
        if len(self._lanes) == 1 and (self._device == "auto" or "," in self._device):
            first = self._lanes[0]
            names = split(self._device, await first.gpus())
            first.device = names[0]
            self._lanes = [first, *(self._lane(name) for name in names[1:])]
        return self._lanes

    def _lane(self, device: str) -> Lane:
        log_path = self._logs / f"encoder-{device.replace(':', '-')}.log"
        start = functools.partial(EncoderProcess.start, log_path, self._patience, self._program)
        return Lane(device, start)


def _in_batches(work: Sequence[Work], size: int) -> deque[Work]:
    """Settle what shares a batch, whoever will do it."""
    return deque(
        msgspec.structs.replace(one, batch=number // size) for number, one in enumerate(work)
    )


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
