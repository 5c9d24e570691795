"""A client's link to a project's worker: starting it, asking it, hearing what happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import TypeVar

from engine.errors import UsageError
from engine.events import AnyEvent, JobDone, Notice
from engine.worker.connection import Connection, WorkerGoneError, open_connection
from engine.worker.launch import launch
from engine.worker.lock import WorkerInfo, await_worker
from engine.worker.place import address
from engine.worker.protocol import Changed, Goodbye, News, Request, Snapshot, Stop, Told
from engine.worker.spec import JobInfo, JobState

T = TypeVar("T")

# While it follows a job, a client starts so many workers anew before it gives up.
_RESTARTS = 3
_PAUSE = 0.05


class Link:
    """One client's link; closing it changes nothing that runs.

    Attributes:
        warning: What whoever started a worker should know, such as that it ends at logout.
    """

    def __init__(self, state_dir: Path, idle: float) -> None:
        """Start nothing yet.

        Args:
            state_dir: The project's `.ltx-tui`.
            idle: Seconds after which a worker that this starts ends by itself.
        """
        self._state_dir = state_dir
        self._idle = idle
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self.warning = ""

    async def worker(self) -> WorkerInfo | None:
        """Return the worker, if there is one.

        Raises:
            LtxError: It runs on another machine, or is another user's.
        """
        return await asyncio.to_thread(address, self._state_dir)

    async def ask(self, request: Request, kind: type[T]) -> T:
        """Ask the worker, starting one if there is none.

        Raises:
            LtxError: It does not start, or refuses.
        """
        for _ in range(_RESTARTS):
            async with self._connecting:
                if self._connection is None:
                    self._connection = await self._open()
            with contextlib.suppress(WorkerGoneError):
                return await self._asked(self._connection, request, kind)
        raise WorkerGoneError("the worker does not stay up")

    async def ask_if_there(self, request: Request, kind: type[T]) -> T | None:
        """Ask the worker; None if there is none.

        Raises:
            LtxError: It refuses, or cannot be reached.
        """
        async with self._connecting:
            if self._connection is None:
                self._connection = await open_connection(self._state_dir)
        if self._connection is None:
            return None
        with contextlib.suppress(WorkerGoneError):
            return await self._asked(self._connection, request, kind)
        return None

    async def _asked(self, connection: Connection, request: Request, kind: type[T]) -> T:
        try:
            return await connection.ask(request, kind)
        except WorkerGoneError:
            await self.close()
            raise

    async def stop(self, *, now: bool) -> bool:
        """End the worker, of whatever version; return whether there was one.

        Raises:
            LtxError: It runs on another machine, or is another user's.
        """
        connection = await open_connection(self._state_dir, any_version=True)
        if connection is None:
            return False
        try:
            with contextlib.suppress(WorkerGoneError):
                await connection.ask(Stop(now=now))
        finally:
            await connection.close()
        await self.close()
        # There is nobody left who could tell.
        while await self.worker() is not None:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE)
        return True

    async def events(self, *, start: bool = True) -> AsyncGenerator[News]:
        """Yield what happens in the project: a `Snapshot` first, then changes to it.

        It ends when the worker does, with a `Goodbye` unless it was killed. A snapshot may come
        again, for a client that was too slow to be told every change. Several may watch at once.

        Args:
            start: Start a worker if there is none; otherwise nothing is yielded then.

        Raises:
            LtxError: The worker does not start, or is of another version.
        """
        connection = await self._open() if start else await open_connection(self._state_dir)
        if connection is None:
            return
        try:
            async with contextlib.aclosing(connection.watch()) as news:
                async for one in news:
                    yield one
        finally:
            await connection.close()

    async def follow(self, job: int) -> AsyncGenerator[AnyEvent]:
        """Yield the events of a job from where it stands now to its end.

        A worker that dies meanwhile is replaced, and told of in a `Notice`. What was missed is
        made up for by a `Standing`. The last event is `JobDone`; a job that is paused ends the
        iteration without one.

        Raises:
            LtxError: The job stopped as a whole, there is no such job, or workers keep dying.
        """
        restarts = 0
        while True:
            lost = True
            async with contextlib.aclosing(self.events()) as news:
                async for one in news:
                    if isinstance(one, Goodbye):
                        raise WorkerGoneError(f"the worker has ended: {one.reason}")
                    for event in _of_job(one, job):
                        yield event
                        lost = lost and not isinstance(event, JobDone)
                    if _has_stopped(one, job):
                        return
            if not lost:
                return
            restarts += 1
            if restarts > _RESTARTS:
                raise WorkerGoneError("the worker ended again and again")
            text = "the worker ended unexpectedly; another one goes on with the job"
            yield Notice(level="warning", text=text)

    async def close(self) -> None:
        """Hang up; nothing that runs is changed by it."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _open(self) -> Connection:
        """Connect, starting a worker if there is none.

        Raises:
            LtxError: It does not start, or cannot be reached.
        """
        for _ in range(_RESTARTS):
            connection = await open_connection(self._state_dir)
            if connection is not None:
                return connection
            self.warning = await launch(self._state_dir, idle=self._idle) or self.warning
            await asyncio.to_thread(await_worker, self._state_dir)
        raise WorkerGoneError("the worker does not stay up")


def _of_job(news: News, job: int) -> Iterable[AnyEvent]:
    """Return the events of one job in a piece of news."""
    if isinstance(news, Told) and news.job == job:
        return [news.event]
    if isinstance(news, Snapshot):
        if news.active == job:
            return [news.standing]
        # It may have ended before we began to listen.
        return [one.result for one in news.jobs if one.id == job and one.result is not None]
    return []


def _has_stopped(news: News, job: int) -> bool:
    """Whether nothing more will come of a job by itself.

    Raises:
        LtxError: It stopped as a whole, or there is no such job.
    """
    if isinstance(news, Changed):
        jobs: Iterable[JobInfo] = [news.job]
    elif isinstance(news, Snapshot):
        jobs = news.jobs
        if job not in {one.id for one in jobs}:
            raise UsageError(f"there is no job {job}", remedy="`ltx-tui status` lists them")
    else:
        return False
    for one in jobs:
        if one.id == job:
            if one.state is JobState.FAILED and one.fault is not None:
                raise one.fault.to_error()
            return one.state.has_ended or one.state is JobState.PAUSED
    return False
