"""The worker of a project: `python -m engine.worker.server STATE_DIR`.

One a project, detached from every terminal. It plans, keeps the journal, watches the memory and
the encoders, and tells its clients. It holds no model and no GPU, and ends by itself when there
is nothing to do and nobody there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import msgspec

from engine.errors import LtxError
from engine.memory.monitor import MemorySample, Monitor
from engine.precompute.ledger import Ledger
from engine.worker.hub import Hub
from engine.worker.job_queue import JobQueue
from engine.worker.launch import answer_ready, answer_unfit
from engine.worker.lock import WorkerInfo, WorkerLock, WorkerRunsError, take_lock
from engine.worker.logs import setup_worker_log
from engine.worker.place import bind, own, socket_path
from engine.worker.protocol import LINE_LIMIT, VERSION, Goodbye, Snapshot, Telemetry
from engine.worker.session import Desk, Session

log = logging.getLogger("ltx_tui.worker")

# How often the worker looks whether anybody is there.
_LOOK = 0.5
# Told to stop by the system, it gives the clips in hand so many seconds.
_FAREWELL = 5.0


class Worker:
    """The one background process of a project."""

    def __init__(self, ledger: Ledger, lock: WorkerLock, idle: float) -> None:
        """Take up what the last worker left.

        Args:
            ledger: The project's.
            lock: Held as long as the worker lives.
            idle: Seconds without work and clients after which it ends; 0 never.
        """
        self._lock = lock
        self._idle = idle
        self._hub = Hub()
        self._queue = JobQueue(ledger, self._hub)
        self._monitor = Monitor(self._pids)
        self._memory: MemorySample | None = None
        self._stopping = asyncio.Event()
        self._now = False
        self._reason = ""
        self._sessions: set[asyncio.Task[None]] = set()
        self._last_busy = time.monotonic()

    def _pids(self) -> Iterator[int]:
        yield os.getpid()
        yield from self._queue.pids

    async def serve(self, listening: socket.socket) -> None:
        """Serve clients and run jobs until there is a reason to end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        server = await asyncio.start_unix_server(
            self._meet,
            sock=listening,
            limit=LINE_LIMIT,
        )
        running = asyncio.create_task(self._queue.run())
        watching = asyncio.create_task(self._watch_memory())
        try:
            await self._until_end(running)
        finally:
            server.close()
            resumes = await self._queue.close(now=self._now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), None if not self._now else 20)
            watching.cancel()
            self._hub.publish(Goodbye(reason=self._reason, resumes=resumes))
            await self._part()
            log.info("ends: %s", self._reason)

    def stop(self, reason: str, *, now: bool) -> None:
        """End after the clips in hand, or at once."""
        self._reason = self._reason or reason
        self._now = self._now or now
        self._stopping.set()

    def _terminate(self) -> None:
        self.stop("the system asked it to end", now=False)
        loop = asyncio.get_running_loop()
        loop.call_later(_FAREWELL, lambda: asyncio.ensure_future(self._queue.close(now=True)))

    async def _until_end(self, running: asyncio.Task[None]) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK)
            if running.done():
                running.result()
            if not self._lock.in_place():
                self.stop("the project's .ltx-tui folder was removed", now=True)
            if len(self._hub) or not self._queue.is_idle:
                self._last_busy = time.monotonic()
            elif self._idle and time.monotonic() - self._last_busy >= self._idle:
                self.stop("nothing to do, and nobody there", now=False)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        desk = Desk(
            pid=os.getpid(),
            queue=self._queue,
            hub=self._hub,
            snapshot=self._snapshot,
            memory=self._sample,
            stop=lambda now: self.stop("a client asked it to end", now=now),
        )
        task = asyncio.create_task(Session(desk, reader, writer).run())
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            jobs=self._queue.jobs(),
            active=self._queue.active,
            standing=self._queue.standing(),
            memory=self._memory,
        )

    async def _sample(self) -> MemorySample:
        return self._with_nodes(await asyncio.to_thread(self._monitor.sample))

    def _with_nodes(self, sample: MemorySample) -> MemorySample:
        nodes = self._queue.nodes
        return msgspec.structs.replace(sample, nodes=nodes) if nodes else sample

    async def _watch_memory(self) -> None:
        """Tell the memory to whoever watches; nobody watches, nothing is read."""
        async for sample in self._monitor.watch(_LOOK):
            self._memory = self._with_nodes(sample)
            self._hub.publish(Telemetry(memory=self._memory))
            while not self._hub.watched:  # noqa: ASYNC110 - a look now and then is enough
                await asyncio.sleep(_LOOK)

    async def _part(self) -> None:
        """Give clients a moment to hear the last words."""
        for task in self._sessions:
            task.get_loop().call_later(0.2, task.cancel)
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=2)


def main() -> None:
    """Become the worker of a project, or say why that cannot be."""
    parser = argparse.ArgumentParser(description="The background worker of an ltx-tui project.")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--idle", type=float, default=60.0)
    options = parser.parse_args()
    state_dir: Path = options.state_dir.absolute()
    info = WorkerInfo.of_this_process(version=version("ltx-tui"), protocol=VERSION)
    try:
        own(state_dir)
        setup_worker_log(state_dir / "logs")
        with take_lock(state_dir, info) as lock, Ledger(state_dir) as ledger:
            listening = bind(state_dir)
            path = socket_path(listening)
            try:
                lock.tell(msgspec.structs.replace(info, socket=str(path)))
                asyncio.run(_serve(ledger, lock, options.idle, listening))
            finally:
                path.unlink(missing_ok=True)
    except WorkerRunsError as error:
        if not error.info.is_here:
            _refuse(error)
        answer_ready(error.info.pid)
    except LtxError as error:
        _refuse(error)


def _refuse(error: LtxError) -> NoReturn:
    log.error("cannot run: %s", error)
    answer_unfit(error)
    sys.exit(3)


async def _serve(ledger: Ledger, lock: WorkerLock, idle: float, listening: socket.socket) -> None:
    worker = Worker(ledger, lock, idle)
    answer_ready(os.getpid())
    log.info("version %s, process %d, begins", version("ltx-tui"), os.getpid())
    await worker.serve(listening)


if __name__ == "__main__":
    main()
