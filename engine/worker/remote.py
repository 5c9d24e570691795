"""An encoder on another machine, with the pipes that a process here would have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.errors import EnvironmentFaultError, LtxError
from engine.memory.monitor import NodeMemory
from engine.worker.process import LINE_LIMIT, EncoderLostError, Pipes
from engine.worker.ray_messages import (
    CloseInput,
    Ended,
    Kill,
    Log,
    Lost,
    Memory,
    NoPlace,
    Out,
    Placed,
    Request,
    Write,
)

# Seconds in which a program that was killed is said to have ended.
_FAREWELL = 10.0

Told = Placed | NoPlace | Out | Log | Ended | Lost | Memory


class Life:
    """One life of an encoder, from the search for a place to its end.

    Attributes:
        number: What the bridge calls it.
        placed: Where it is; fails where there is no place.
        memory: The latest of the machine that it is on.
    """

    def __init__(
        self, number: int, send: Callable[[Request], None], forget: Callable[[int, None], object]
    ) -> None:
        """Ask for nothing yet.

        Args:
            number: Never used before.
            send: Takes requests for the bridge.
            forget: Told when it is over.
        """
        self.number = number
        self._send = send
        self._forget = forget
        loop = asyncio.get_running_loop()
        self.placed: asyncio.Future[Placed] = loop.create_future()
        self._status: asyncio.Future[int] = loop.create_future()
        self._killed = False
        self.memory: NodeMemory | None = None
        self.pipes = Pipes(
            RemoteInput(number, send),
            asyncio.StreamReader(limit=LINE_LIMIT),
            asyncio.StreamReader(limit=LINE_LIMIT),
        )

    def take(self, told: Told) -> None:
        """The bridge has told something of it."""
        match told:
            case Placed():
                if not self.placed.done():
                    self.placed.set_result(told)
            case Out():
                self.pipes.stdout.feed_data(told.line.encode() + b"\n")
            case Log():
                self.pipes.stderr.feed_data(told.line.encode() + b"\n")
            case Memory():
                self.memory = told.memory
            case Ended():
                self._end(told.status)
            case Lost():
                self._end(EncoderLostError(told.how))
            case NoPlace():
                self.fail(EnvironmentFaultError(told.reason, remedy=told.remedy))

    def fail(self, fault: LtxError) -> None:
        """It has no place, or nothing is to be had of it any more."""
        if not self.placed.done():
            self.placed.set_exception(fault)
        self._end(EncoderLostError(fault.headline))

    def _end(self, how: int | EncoderLostError) -> None:
        if self._status.done():
            return
        if isinstance(how, int):
            self._status.set_result(how)
        else:
            self._status.set_exception(how)
            self._status.exception()  # not everybody asks
        if not self.placed.done():
            self.placed.set_exception(EncoderLostError("it found no place"))
            self.placed.exception()  # not everybody asks
        for stream in (self.pipes.stdout, self.pipes.stderr):
            stream.feed_eof()
        self._forget(self.number, None)

    async def wait(self) -> int:
        """Wait for its end; return its status, negative for a signal.

        Raises:
            EncoderLostError: Its machine was lost.
        """
        return await asyncio.shield(self._status)

    def kill(self) -> None:
        """End it at once, or look for a place no more."""
        if not self._killed and not self._status.done():
            self._killed = True
            self._send(Kill(lane=self.number))
            # Whoever waits for its end is not held up by a cluster that does not answer.
            asyncio.get_running_loop().call_later(_FAREWELL, self._end, -9)


class RemoteInput:
    """What it reads."""

    def __init__(self, number: int, send: Callable[[Request], None]) -> None:
        """Send nothing yet."""
        self._number = number
        self._send = send

    def write(self, data: bytes, /) -> None:
        """Send one line or several."""
        for line in data.decode().rstrip("\n").split("\n"):
            self._send(Write(lane=self._number, line=line))

    async def drain(self) -> None:
        """Wait for nothing: only a few steps are ever sent ahead."""

    def close(self) -> None:
        """Nothing more comes."""
        self._send(CloseInput(lane=self._number))
