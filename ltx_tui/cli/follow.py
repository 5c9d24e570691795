"""Showing a job until it ends or the user leaves, and what Ctrl-C and a lost terminal mean."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import LtxError
from engine.events import AnyEvent, JobDone, Notice, Scanning, Standing
from ltx_tui.cli.errors import (
    DONE,
    HUNG_UP,
    SOME_FAILED,
    STOPPED,
    TERMINATED,
    abandon_terminal,
)
from ltx_tui.cli.jobs import paused_words, waiting_words
from ltx_tui.cli.session import command_line
from ltx_tui.cli.signals import caught

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo

STOPPING = "stopping after this clip; press Ctrl-C again to stop at once"
STOPPING_NOW = "stopping now"
STOPPED_EARLY = "stopped before anything was done"
DETACHED = "detached; the work goes on"

# Seconds between two pictures, and between two looks at a job that waits.
_TICK, _LOOK = 0.25, 2.0
# Seconds that planning in this process is given to notice that it is not wanted any more.
_PATIENCE = 1.5


class Shows(Protocol):
    """What draws a job."""

    def show(self, event: AnyEvent) -> None:
        """Take an event."""

    def aside(self, words: str) -> None:
        """Say something in passing, not to scripts."""

    def note(self, words: str) -> None:
        """Say something beside the events; empty takes it back."""

    def warn(self, words: str) -> None:
        """Say it on stderr."""

    def tick(self) -> None:
        """Draw what has changed."""

    def restart(self) -> None:
        """Begin below what others have printed meanwhile."""

    def close(self) -> None:
        """Leave the terminal clean."""


class RunsHere(Protocol):
    """A job in this process."""

    def events(self) -> AsyncGenerator[AnyEvent]:
        """Do it."""

    async def cancel(self) -> None:
        """Finish what is safe; called again, stop at once."""


def follow(
    engine: Engine, begin: Callable[[], Awaitable[JobInfo]], view: Shows, *, owns: bool
) -> int:
    """Show a job that the worker does, and return the exit code.

    Args:
        engine: The project's; hung up in the end.
        begin: Asks for the job.
        view: Where it is shown.
        owns: Ctrl-C stops the job, the second time at once; otherwise it only leaves it.

    Raises:
        LtxError: Something stopped the job as a whole.
    """

    async def inside() -> int:
        return await _Follower(engine, view, owns=owns).run(begin)

    return asyncio.run(inside())


def follow_here(job: RunsHere, view: Shows) -> int:
    """Show a job that runs in this process, and return the exit code.

    The first Ctrl-C, SIGTERM or SIGHUP asks it to finish what is safe, the next one to stop at
    once.

    Raises:
        LtxError: Something stopped the job as a whole.
    """

    async def inside() -> int:
        return await _Here(job, view).run()

    return asyncio.run(inside())


def exit_code(end: JobDone) -> int:
    """Return the exit code for a job that ended."""
    if end.cancelled:
        return STOPPED
    return SOME_FAILED if end.failures else DONE


class _Follower:
    """Follows a job of the worker's; leaving it changes nothing but what the user asks for."""

    def __init__(self, engine: Engine, view: Shows, *, owns: bool) -> None:
        self._engine = engine
        self._view = view
        self._owns = owns
        self._job: JobInfo | None = None
        self._left: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._last_words = ""
        self._tasks: list[asyncio.Future[None]] = []  # the loop alone would let them be collected
        self._presses = 0
        self._is_working = False

    async def run(self, begin: Callable[[], Awaitable[JobInfo]]) -> int:
        goes_on = f"the work goes on: {command_line('attach', self._engine.project)}"
        calls = {
            signal.SIGINT: self._press,
            signal.SIGTERM: lambda: self._leave(TERMINATED, goes_on),
            signal.SIGHUP: lambda: self._leave(HUNG_UP, goes_on),
            signal.SIGCONT: self._view.restart,
        }
        try:
            with caught(calls, ends=frozenset({signal.SIGTERM, signal.SIGHUP})):
                async with self._engine:
                    code = await _first(self._left, self._follow(begin), _ticking(self._view))
                self._view.close()
                self._view.note(self._last_words)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            code = HUNG_UP  # the terminal is gone, whether or not a signal says so
        finally:
            self._view.close()
        if code == HUNG_UP:
            abandon_terminal()
        return code

    async def _follow(self, begin: Callable[[], Awaitable[JobInfo]]) -> int:
        job = self._job = await begin()
        if self._presses:
            await self._cancel()
            return STOPPED
        if self._engine.warning:
            self._view.warn(self._engine.warning)
        worker = await self._engine.worker()
        place = f" · worker process {worker.pid}" if worker is not None else ""
        self._view.aside(f"job {job.id}{place} · {command_line('attach', self._engine.project)}")
        waiting = asyncio.create_task(self._tell_waiting(job))
        end: JobDone | None = None
        try:
            async with contextlib.aclosing(self._engine.follow(job.id)) as events:
                async for event in events:
                    if waiting.cancel():
                        self._view.note("")
                    self._is_working = self._is_working or _is_work(event)
                    self._view.show(event)
                    end = event if isinstance(event, JobDone) else end
        finally:
            waiting.cancel()
        return exit_code(end) if end is not None else await self._outcome(job.id)

    async def _tell_waiting(self, job: JobInfo) -> None:
        """Say what a job waits for that does not begin."""
        while True:
            self._view.note(waiting_words(job))
            await asyncio.sleep(_LOOK)
            job = next((one for one in await self._engine.jobs() if one.id == job.id), job)

    async def _outcome(self, number: int) -> int:
        """Return the exit code of a job that stopped without figures."""
        job = next((one for one in await self._engine.jobs() if one.id == number), None)
        if job is not None and job.state.value == "paused":
            resume = command_line("resume", self._engine.project)
            self._last_words = f"{paused_words(job)}; {resume} goes on"
            return DONE
        self._last_words = STOPPED_EARLY
        return STOPPED

    def _press(self) -> None:
        """Take a Ctrl-C."""
        if not self._owns:
            self._leave(DONE, DETACHED)
            return
        self._presses += 1
        if self._is_working:
            self._view.note(STOPPING if self._presses == 1 else STOPPING_NOW)
        elif self._presses > 1:
            self._leave(STOPPED, STOPPED_EARLY)
        if self._job is not None:
            self._tasks.append(asyncio.ensure_future(self._cancel()))

    async def _cancel(self) -> None:
        if self._job is not None:
            with contextlib.suppress(LtxError):  # it may have ended meanwhile
                await self._engine.cancel(self._job.id)
        if not self._is_working:
            # Planning has nothing in hand: nobody need wait until it notices.
            self._leave(STOPPED, STOPPED_EARLY)

    def _leave(self, code: int, words: str) -> None:
        """End this process, not the job."""
        if not self._left.done():
            self._last_words = words
            self._left.set_result(code)


class _Here:
    """Follows a job that ends with this process."""

    def __init__(self, job: RunsHere, view: Shows) -> None:
        self._job = job
        self._view = view
        self._tasks: list[asyncio.Future[None]] = []
        self._presses = 0
        self._is_working = False

    async def run(self) -> int:
        calls = {
            signal.SIGINT: self._press,
            signal.SIGTERM: self._press,
            signal.SIGHUP: self._hang_up,
            signal.SIGCONT: self._view.restart,
        }
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            with caught(calls):
                return await _first(never, self._follow(), _ticking(self._view))
        finally:
            self._view.close()

    async def _follow(self) -> int:
        end: JobDone | None = None
        async with contextlib.aclosing(self._job.events()) as events:
            async for event in events:
                self._is_working = self._is_working or _is_work(event)
                self._view.show(event)
                end = event if isinstance(event, JobDone) else end
        return exit_code(end) if end is not None else STOPPED

    def _hang_up(self) -> None:
        abandon_terminal()
        self._press()

    def _press(self) -> None:
        """Stop, as far as it is the first press or another one."""
        self._presses += 1
        if self._is_working:
            self._view.note(STOPPING if self._presses == 1 else STOPPING_NOW)
        else:
            # The planning goes on in threads that cannot be stopped while they read a large file.
            patience = _PATIENCE if self._presses == 1 else 0
            asyncio.get_running_loop().call_later(patience, self._give_up)
        self._tasks.append(asyncio.ensure_future(self._job.cancel()))

    def _give_up(self) -> None:
        if not self._is_working:
            self._view.close()
            leave_at_once(STOPPED)


def _is_work(event: AnyEvent) -> bool:
    """Whether an event tells that the planning is over."""
    if isinstance(event, Standing):
        return bool(event.stages)
    return not isinstance(event, Scanning | Notice)


async def _ticking(view: Shows) -> int:
    """Let the view draw, now and then, for ever."""
    while True:
        view.tick()
        await asyncio.sleep(_TICK)


async def _first(left: asyncio.Future[int], *works: Coroutine[Any, Any, int]) -> int:
    """Return the result of what ends first, and end the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait([*tasks, left], return_when=asyncio.FIRST_COMPLETED)
        return next(one.result() for one in (*tasks, left) if one in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def leave_at_once(code: int) -> None:
    """End this process without waiting for its threads."""
    sys.stdout.flush()
    os._exit(code)
