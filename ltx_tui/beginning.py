"""Talks to the child that looks at a folder and makes a project of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError
from engine.worker.begin_types import Begun, Seen, Tell, Unable

_LINE_LIMIT = 1 << 20
_TELL: msgspec.json.Decoder[Tell] = msgspec.json.Decoder(Tell)


class Beginning:
    """One folder that may become a project."""

    def __init__(self, start: Path) -> None:
        """Do nothing yet.

        Args:
            start: A folder, or a dataset file.
        """
        self._start = start
        self._child: Process | None = None

    async def look(self) -> Seen:
        """Return what there is.

        Raises:
            LtxError: Nothing usable.
        """
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "engine.worker.begin_project",
            str(self._start),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        told = await self._hear(self._child)
        if isinstance(told, Seen):
            return told
        raise _broken()

    async def make(self, values: dict[str, object]) -> Path:
        """Make the project; return its project.toml.

        Args:
            values: Keys of project.toml that win over what follows from the folder.

        Raises:
            LtxError: A value is wrong, or the folder cannot be written; it may be tried again.
        """
        child = self._child
        if child is None or child.stdin is None:
            raise _broken()
        with contextlib.suppress(ConnectionError):
            child.stdin.write(msgspec.json.encode(values) + b"\n")
            await child.stdin.drain()
        told = await self._hear(child)
        if isinstance(told, Begun):
            return Path(told.file)
        raise _broken()

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()

    async def _hear(self, child: Process) -> Tell:
        assert child.stdout is not None  # noqa: S101 - a pipe, for the type checker
        line = await child.stdout.readline()
        if not line:
            raise _broken()
        told = _TELL.decode(line)
        if isinstance(told, Unable):
            raise told.fault.to_error()
        return told


def _broken() -> EnvironmentFaultError:
    return EnvironmentFaultError(
        "the process that looks at the folder ended unexpectedly",
        remedy="`ltx-tui init` says more",
    )
