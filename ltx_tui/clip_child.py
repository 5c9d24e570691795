"""A child process that goes through clips, kept alive past the clips that kill it.

A codec can bring the process down that uses it. The child is then started again, one clip at a
time; it goes on where it was, and the clip that it dies of again is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec

from engine.errors import EnvironmentFaultError
from engine.events import ClipDone, ClipFailed, ClipStarted, JobDone
from engine.worker.reference_types import Stopped

_LINE_LIMIT = 1 << 24
# How many clips may kill the child before the fault is not looked for in the clips any more.
_MOST_DEATHS = 50


class Request(Protocol):
    """What such a child is asked; a struct."""

    @property
    def workers(self) -> int:
        """Clips side by side."""

    @property
    def given_up(self) -> tuple[int, ...]:
        """Rows that are not tried."""


class ClipChild:
    """One request to such a child; its events end with a `JobDone`."""

    def __init__(self, module: str, wanted: Request, events: Any) -> None:
        """Start nothing yet.

        Args:
            module: What is run, such as "engine.worker.make_references".
            wanted: The request, a struct with `workers` and `given_up`.
            events: The union of the events that it prints.
        """
        self._module = module
        self._wanted = wanted
        self._decoder = msgspec.json.Decoder(events)
        self._child: Process | None = None
        self._stops = 0

    async def events(self) -> AsyncGenerator[Any]:
        """Yield events as they come; closing it ends the child.

        Raises:
            LtxError: The work as a whole cannot be done, or the child keeps dying.
        """
        deaths = 0
        try:
            while True:
                in_hand: dict[int, None] = {}
                async for event in self._lines():
                    if isinstance(event, Stopped):
                        raise event.fault.to_error()
                    if isinstance(event, ClipStarted):
                        in_hand[event.row] = None
                    elif isinstance(event, ClipDone | ClipFailed):
                        in_hand.pop(event.row, None)
                    yield event
                    if isinstance(event, JobDone):
                        return
                if self._stops:
                    yield _stopped()
                    return
                deaths += 1
                if deaths > _MOST_DEATHS or not in_hand:
                    raise await self._death()
                alone = self._wanted.workers == 1
                given_up = (*self._wanted.given_up, *in_hand) if alone else self._wanted.given_up
                self._wanted = msgspec.structs.replace(
                    self._wanted,  # type: ignore[type-var]
                    workers=1,
                    given_up=given_up,
                )
        finally:
            await self._kill()

    async def cancel(self) -> None:
        """Let it finish what is safe; called again, stop at once."""
        self._stops += 1
        child = self._child
        if child is None:
            return
        if self._stops > 1:
            await self._kill()
        elif child.stdin is not None:
            child.stdin.close()

    async def _lines(self) -> AsyncGenerator[Any]:
        from engine.worker.spec import encode

        child = self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            self._module,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
        assert child.stdin is not None  # noqa: S101 - pipes, for the type checker
        assert child.stdout is not None  # noqa: S101
        # It stays open: the child ends with us, even where we are killed.
        with contextlib.suppress(ConnectionError):
            child.stdin.write(encode(self._wanted) + b"\n")
        if self._stops:
            child.stdin.close()
        async for line in child.stdout:
            yield self._decoder.decode(line)

    async def _death(self) -> EnvironmentFaultError:
        status = await self._child.wait() if self._child is not None else "unknown"
        return EnvironmentFaultError(
            f"{self._module} ended with status {status}",
            remedy="run `ltx-tui doctor`; what was done is kept",
        )

    async def _kill(self) -> None:
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
        if child is not None and child.stdin is not None:
            child.stdin.close()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await child.stdin.wait_closed()


def _stopped() -> JobDone:
    return JobDone(
        done=0, fresh=0, failures=(), skipped=0, set_aside=0, seconds=0.0, cancelled=True
    )
