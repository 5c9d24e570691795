"""Child processes of the user interface: how they are started, spoken to and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from typing import IO, TypeVar, cast

import msgspec

from engine.child import broken
from engine.errors import EnvironmentFaultError

_LINE_LIMIT = 1 << 26
_Answer = TypeVar("_Answer")


class Child:
    """A running module of ours, in a session of its own."""

    def __init__(self, process: Process, name: str) -> None:
        """Wrap a started process; use `start`."""
        self._process = process
        self._name = name
        # Both are pipes: see `start`.
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)

    @classmethod
    async def start(
        cls, module: str, *arguments: str, name: str, log: int | IO[bytes] = DEVNULL
    ) -> Child:
        """Start `python -m module`.

        Args:
            module: What is run.
            arguments: Its arguments.
            name: What it is called where it fails, such as "the program that plans".
            log: Takes what it prints to stderr.

        Raises:
            EnvironmentFaultError: It cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Nothing that lies in the folder we are called from can stand in for a module.
                "-P",
                "-m",
                module,
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
                limit=_LINE_LIMIT,
            )
        except OSError as error:
            raise EnvironmentFaultError(
                f"{name} cannot be started: {error.strerror}", remedy="run `ltx-tui doctor`"
            ) from error
        return cls(process, name)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode

    async def send(self, line: bytes) -> None:
        """Send a line; where it is gone already, nothing more is read from it.

        Its stdin stays open: the child ends with us, even where we are killed.
        """
        with contextlib.suppress(ConnectionError):
            self._stdin.write(line + b"\n")
            await self._stdin.drain()

    async def line(self) -> bytes:
        """Return the next line that it prints; empty where it has ended."""
        return await self._stdout.readline()

    def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that it prints, to its end."""
        return self._stdout

    async def wait(self) -> int:
        """Wait for its end, and return its status."""
        return await self._process.wait()

    async def death(self, remedy: str, where: str = "") -> EnvironmentFaultError:
        """Return that it has ended before its time.

        Args:
            remedy: What to do about it.
            where: What it was at, such as " on this clip".
        """
        return EnvironmentFaultError(
            f"{self._name} ended with status {await self.wait()}{where}", remedy=remedy
        )

    def hang_up(self) -> None:
        """Close its stdin: nobody waits any more."""
        self._stdin.close()

    async def end(self, patience: float) -> None:
        """Let it clear up; kill it where that takes longer than so many seconds."""
        if self.returncode is None:
            self.hang_up()
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while await self._stdout.read(1 << 16):
                        pass  # so that it never waits for a reader
                    await self.wait()
        await self.close()

    def kill(self) -> None:
        """End it at once where it still runs, with all that it started."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End it at once, and leave nothing of it open."""
        self.kill()
        await self.wait()
        self.hang_up()
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()

    async def communicate(self, request: bytes) -> bytes:
        """Send all of a request, and return all of the answer when it has ended."""
        return (await self._process.communicate(request))[0]


async def ask(
    module: str,
    *arguments: str,
    request: bytes,
    decode: Callable[[bytes], _Answer],
    name: str,
    kill: bool = False,
) -> _Answer:
    """Run a module that takes one request and gives one answer; it goes on if we are killed.

    Args:
        module: What is run.
        arguments: Its arguments.
        request: For its stdin.
        decode: Takes what it prints.
        name: What it is called where it cannot be started.
        kill: Whether it is of no use any more where nobody waits for the answer.

    Raises:
        EnvironmentFaultError: It cannot be started, or fails.
        OSError: There is no room for its log.
    """
    with tempfile.TemporaryFile() as log:
        child = await Child.start(module, *arguments, name=name, log=log)
        try:
            out = await child.communicate(request)
        except asyncio.CancelledError:
            if kill:
                await child.close()
            raise
        try:
            return decode(out)
        except (ValueError, msgspec.DecodeError) as error:
            raise broken(module, child.returncode, log) from error
