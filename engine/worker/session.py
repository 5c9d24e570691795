"""One connected client, as the worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import msgspec

from engine.errors import LtxError, UsageError
from engine.memory.monitor import MemorySample
from engine.worker.hub import Hub, Outbox
from engine.worker.job_queue import JobQueue
from engine.worker.protocol import (
    REQUESTS,
    VERSION,
    Answer,
    AskMemory,
    CancelJob,
    Hello,
    ListJobs,
    Pause,
    Refusal,
    Request,
    Resume,
    Retry,
    Snapshot,
    Start,
    Stop,
    Watch,
    Welcome,
)
from engine.worker.spec import Fault, encode

log = logging.getLogger("ltx_tui.worker")


class Desk(msgspec.Struct, kw_only=True):
    """What all sessions share.

    Attributes:
        stop: Ends the worker; at once if its argument is true.
        memory: Takes a sample.
    """

    pid: int
    queue: JobQueue
    hub: Hub
    snapshot: Callable[[], Snapshot]
    memory: Callable[[], Awaitable[MemorySample]]
    stop: Callable[[bool], None]


class Session:
    """A client from its first line to its last."""

    def __init__(
        self, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._desk = desk
        self._reader = reader
        self._writer = writer
        self._outbox = Outbox(desk.snapshot)
        # Whether the client speaks our version of the protocol.
        self._knows_us = False

    async def run(self) -> None:
        """Serve the client until it leaves, or the worker ends."""
        self._desk.hub.join(self._outbox)
        sending = asyncio.create_task(self._send())
        try:
            await self._listen()
            # A client that has closed its writing end still hears its answers.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sent(), timeout=5)
        except (ConnectionError, asyncio.LimitOverrunError, ValueError) as error:
            log.info("a client is gone: %s", error)
        finally:
            self._desk.hub.leave(self._outbox)
            sending.cancel()
            self._writer.close()

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            await self._outbox.has_room()
            try:
                request = REQUESTS.decode(line)
            except (msgspec.DecodeError, LtxError) as error:
                if not self._answer_stranger(line):
                    log.warning("a line that is not of this protocol: %s", error)
                    return
                continue
            if not await self._take(request):
                return

    def _answer_stranger(self, line: bytes) -> bool:
        """Answer a line that we cannot read, if it has at least a number."""
        try:
            number = msgspec.json.decode(line, type=_Numbered).id
        except msgspec.DecodeError:
            return False
        problem = UsageError(
            "the worker does not understand this",
            remedy="it may be of another version: stop it with `ltx-tui worker stop`",
        )
        self._outbox.answer(Refusal(id=number, fault=Fault.of(problem)))
        return True

    async def _take(self, request: Request) -> bool:
        """Do what is asked; return whether to go on listening."""
        if isinstance(request, Hello):
            self._knows_us = request.protocol == VERSION
            welcome = Welcome(protocol=VERSION, version=version("ltx-tui"), pid=self._desk.pid)
            self._outbox.answer(welcome)
            return True
        if not self._knows_us and not isinstance(request, Stop):
            log.warning("a client that speaks another protocol asked for %s", request)
            return False
        try:
            value = await self._do(request)
        except LtxError as error:
            self._outbox.answer(Refusal(id=request.id, fault=Fault.of(error)))
        except Exception as error:
            log.exception("cannot answer")
            self._outbox.answer(Refusal(id=request.id, fault=Fault.of(error)))
        else:
            self._outbox.answer(Answer(id=request.id, value=msgspec.Raw(encode(value))))
        return True

    async def _do(self, request: Request) -> object:
        queue = self._desk.queue
        match request:
            case Start():
                return queue.start(request.spec, request.keys)
            case Pause():
                return await queue.pause(request.job)
            case Resume():
                return queue.resume(request.job, request.keys)
            case CancelJob():
                return await queue.cancel(request.job)
            case Retry():
                return queue.retry(request.job, request.clips, request.keys)
            case ListJobs():
                return queue.jobs()
            case AskMemory():
                return await self._desk.memory()
            case Watch():
                self._outbox.watch()
            case Stop():
                self._desk.stop(request.now)
            case _:
                pass
        return None

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                line = await self._outbox.take()
                self._writer.write(line)
                # A client that does not read holds up this task alone.
                await self._writer.drain()

    async def _sent(self) -> None:
        while not self._outbox.is_empty:  # noqa: ASYNC110 - for a moment at the end
            await asyncio.sleep(0.01)
        await self._writer.drain()


class _Numbered(msgspec.Struct, frozen=True):
    id: int = 0
