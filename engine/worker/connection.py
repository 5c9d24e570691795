"""A client's end of the worker's socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.errors import EnvironmentFaultError, LtxError
from engine.worker.place import address
from engine.worker.protocol import (
    LINE_LIMIT,
    LINES,
    VERSION,
    Answer,
    Goodbye,
    Hello,
    Line,
    News,
    Refusal,
    Request,
    Watch,
    Welcome,
)
from engine.worker.spec import decoder, encode

T = TypeVar("T")

# A worker answers at once; one that does not for so many seconds is stuck.
_PATIENCE = 30.0


class WorkerGoneError(EnvironmentFaultError):
    """The worker ended, or none is there."""

    def __init__(self, message: str = "the worker has ended") -> None:
        super().__init__(message, remedy="`ltx-tui attach` starts another, which goes on")


class Connection:
    """A connection to the worker of a project; questions are answered one at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap an open connection; use `open_connection`."""
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._asking = asyncio.Lock()

    async def greet(self, *, any_version: bool) -> Welcome:
        """Say hello.

        Raises:
            EnvironmentFaultError: The worker is of another version.
            WorkerGoneError: It hung up.
        """
        await self._write(Hello(protocol=VERSION, version=version("ltx-tui")))
        welcome = await self._read()
        if not isinstance(welcome, Welcome):
            raise EnvironmentFaultError("the worker answers nonsense", remedy=_REPLACE)
        if welcome.protocol != VERSION and not any_version:
            raise EnvironmentFaultError(
                f"the worker of this project is of ltx-tui {welcome.version} (protocol "
                f"{welcome.protocol}), and this is {version('ltx-tui')} (protocol {VERSION})",
                remedy=_REPLACE,
            )
        return welcome

    async def ask(self, request: Request, kind: type[T] | Any = None) -> T:
        """Ask, and return the answer as `kind`.

        Raises:
            LtxError: The worker refuses.
            WorkerGoneError: It ended before it answered.
        """
        async with self._asking:
            number = next(self._numbers)
            await self._write(msgspec.structs.replace(request, id=number))
            while True:
                line = await self._read()
                if isinstance(line, Refusal) and line.id == number:
                    raise line.fault.to_error()
                if isinstance(line, Answer) and line.id == number:
                    answer: T = decoder(kind).decode(line.value)
                    return answer

    async def watch(self) -> AsyncGenerator[News]:
        """Yield news, a `Snapshot` first; ends with a `Goodbye`, or when the worker is gone."""
        await self._write(Watch(id=next(self._numbers)))
        while True:
            try:
                line = await self._read(patience=None)
            except WorkerGoneError:
                return
            if not isinstance(line, Answer | Refusal | Welcome):
                yield line
            if isinstance(line, Goodbye):
                return

    async def _write(self, request: Request) -> None:
        try:
            self._writer.write(encode(request) + b"\n")
            await self._writer.drain()
        except ConnectionError as error:
            raise WorkerGoneError from error

    async def _read(self, patience: float | None = _PATIENCE) -> Line:
        try:
            line = await asyncio.wait_for(self._reader.readline(), patience)
        except TimeoutError as error:
            raise EnvironmentFaultError(
                f"the worker does not answer for {_PATIENCE:g} s",
                remedy="`ltx-tui logs` may say why; `ltx-tui worker stop --now` ends it",
            ) from error
        except (ConnectionError, ValueError) as error:
            raise WorkerGoneError from error
        if not line.endswith(b"\n"):
            raise WorkerGoneError
        try:
            told: Line = LINES.decode(line)
        except (msgspec.DecodeError, LtxError) as error:
            raise EnvironmentFaultError(
                f"the worker answers nonsense: {error}", remedy=_REPLACE
            ) from error
        return told

    async def close(self) -> None:
        """Hang up; nothing that runs is changed by it."""
        self._writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), timeout=1)


_REPLACE = (
    "`ltx-tui worker stop` ends it after the clips in hand; the next command starts one of this "
    "version, which goes on"
)


async def open_connection(state_dir: Path, *, any_version: bool = False) -> Connection | None:
    """Connect to the worker of a project; None where there is none.

    Raises:
        LtxError: It runs on another machine, is another user's, or of another version.
    """
    info = await asyncio.to_thread(address, state_dir)
    if info is None or not info.socket:
        return None
    try:
        reader, writer = await asyncio.open_unix_connection(info.socket, limit=LINE_LIMIT)
    except (FileNotFoundError, ConnectionError):
        return None
    except OSError as error:
        raise EnvironmentFaultError(
            f"the worker cannot be reached: {error.strerror}",
            file=info.socket,
            remedy="stop it with `ltx-tui worker stop`, then try again",
        ) from error
    connection = Connection(reader, writer)
    try:
        await connection.greet(any_version=any_version)
    except WorkerGoneError:
        await connection.close()
        return None
    except BaseException:
        await connection.close()
        raise
    return connection
