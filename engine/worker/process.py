"""An encoder process as its lane sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import msgspec

from engine.errors import EnvironmentFaultError
from engine.text import visible
from engine.worker.logs import EncoderLog
from engine.worker.messages import VERSION, Answer, Beat, Device, Hello, Request

# Longer than any answer; asyncio's own limit would be 64 KiB.
LINE_LIMIT = 1 << 24
_LOG_LINES = 12
# An encoder that beats, but whose work has not moved on for so many times its patience, hangs too.
_STILL = 12

# The program that is started; tests put one without models in its place.
PROGRAM = "LTX_TUI_ENCODER"


class Program:
    """A module that is run as a child process; its `repr` tells no secrets."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str] | None = None,
        *,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        """Describe it.

        Args:
            module: Speaks `engine.worker.messages` over stdin and stdout.
            environment: Variables that it has beside our own, such as a service's key.
            defaults: Variables that it has where our own environment lacks them.
        """
        self._module = module
        self._environment = dict(environment or {})
        self._defaults = dict(defaults or {})

    @property
    def module(self) -> str:
        """What is run; in tests another one may stand in for the encoder."""
        return os.environ.get(PROGRAM, self._module) if self is ENCODER else self._module

    @property
    def environment(self) -> dict[str, str]:
        """All variables that it has."""
        return {**self._defaults, **os.environ, **self._environment}


# Threads of torch that wait for their next share of the work otherwise keep a core busy for some
# milliseconds, which clips are read on.
ENCODER = Program("engine.worker.encoder", defaults={"OMP_WAIT_POLICY": "PASSIVE"})


class EncoderDiedError(Exception):
    """The process ended by itself, or hung; the text says how, with the last line of its log."""


class EncoderLostError(EncoderDiedError):
    """The machine that the process ran on was lost; the text says which, and why."""


class Input(Protocol):
    """What a process reads."""

    def write(self, data: bytes, /) -> None:
        """Send some."""

    async def drain(self) -> None:
        """Wait until there is room for more."""

    def close(self) -> None:
        """Nothing more comes."""


class Process(Protocol):
    """A process that was started here, or on another machine; `asyncio`'s own is one."""

    async def wait(self) -> int:
        """Wait for its end; return its status, negative for a signal.

        Raises:
            EncoderLostError: Its machine was lost.
        """

    def kill(self) -> None:
        """End it at once."""


class Pipes(msgspec.Struct, frozen=True):
    """What goes into a process, and what comes out of it."""

    stdin: Input
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


class EncoderProcess:
    """An encoder, in a process of its own.

    Attributes:
        gpus: What torch sees, as the process told.
        beat: Its last sign of life.
        pid: Its number; None where it is on another machine.
        place: Where that machine is and what it works with, such as "node2/cuda:3"; empty here.
        device: What the process itself calls that, such as "cuda:0"; empty for what the lane says.
    """

    def __init__(
        self,
        process: Process,
        pipes: Pipes,
        log_path: Path,
        patience: float,
        *,
        pid: int | None = None,
        place: str = "",
        device: str = "",
    ) -> None:
        """Wrap a started process; use `start` or `greet`."""
        self._process = process
        self._stdin, self._stdout, self._stderr = pipes.stdin, pipes.stdout, pipes.stderr
        self.pid, self.place, self.device = pid, place, device
        self._log_path = log_path
        self._patience = patience
        self._decoder = msgspec.json.Decoder(Answer)
        self._tail: deque[str] = deque(maxlen=_LOG_LINES)
        self._logging = asyncio.create_task(self._keep_log())
        self.gpus: tuple[Device, ...] = ()
        self.beat = Beat(still=0.0)

    @classmethod
    async def start(
        cls, log_path: Path, patience: float, program: Program = ENCODER
    ) -> EncoderProcess:
        """Start a process and wait until it answers.

        Args:
            log_path: Where its log goes.
            patience: Seconds without a sign of life after which it counts as hung.
            program: What is started.

        Raises:
            EncoderDiedError: It does not come up.
            EnvironmentFaultError: It is of another version, or cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Nothing that lies in the folder we are called from can stand in for a module.
                "-P",
                "-m",
                program.module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LINE_LIMIT,
                env=program.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFaultError(
                f"the encoder process cannot be started: {error.strerror}",
                remedy="free memory or processes on this machine, then go on",
            ) from error
        # All three are pipes, as asked for above.
        pipes = Pipes(
            cast("asyncio.StreamWriter", process.stdin),
            cast("asyncio.StreamReader", process.stdout),
            cast("asyncio.StreamReader", process.stderr),
        )
        encoder = cls(process, pipes, log_path, patience, pid=process.pid)
        await encoder.greet()
        return encoder

    async def greet(self) -> None:
        """Wait until it answers; it is ended where that fails.

        Raises:
            EncoderDiedError: It does not come up.
            EnvironmentFaultError: It is of another version.
        """
        try:
            hello = await self.receive()
        except BaseException:
            await self.kill()
            raise
        if not isinstance(hello, Hello) or hello.version != VERSION:
            await self.kill()
            raise EnvironmentFaultError(
                "the encoder process is of another version of ltx-tui",
                remedy="install ltx-tui again, then rerun",
            )
        self.gpus = hello.gpus

    async def send(self, request: Request) -> None:
        """Send a request; a process that is gone is noticed by the next `receive`."""
        with contextlib.suppress(ConnectionError):
            self._stdin.write(msgspec.json.encode(request) + b"\n")
            await self._stdin.drain()

    async def receive(self) -> Answer:
        """Return the next answer; signs of life are kept, not returned.

        Raises:
            EncoderDiedError: The process ended, or hung and was ended.
        """
        while True:
            try:
                line = await asyncio.wait_for(self._stdout.readline(), self._patience)
            except TimeoutError:
                await self._end_hung(f"no sign of life for {self._patience:g} s")
            if not line.endswith(b"\n"):
                raise EncoderDiedError(await self._epitaph())
            try:
                answer: Answer = self._decoder.decode(line)
            except msgspec.DecodeError as error:
                await self.kill()
                raise EncoderDiedError(f"spoke nonsense: {error}") from error
            if not isinstance(answer, Beat):
                return answer
            self.beat = answer
            if answer.still > _STILL * self._patience:
                await self._end_hung(f"its work has not moved on for {answer.still:.0f} s")

    async def _end_hung(self, why: str) -> None:
        await self.kill()
        raise EncoderDiedError(f"hung ({why}) and was ended")

    async def _epitaph(self) -> str:
        code = await self._process.wait()
        await self._logging
        if code < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-code).name
                # What the kernel does when memory runs out leaves no word in the log.
                words = "" if name == "SIGKILL" else self._last_words()
                hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
                return f"killed by {name}{hint}{words}"
        return f"exit status {code}{self._last_words()}"

    def _last_words(self) -> str:
        lines = [line for line in self._tail if line.strip()]
        return f" ({lines[-1].strip()})" if lines else ""

    async def _keep_log(self) -> None:
        with contextlib.closing(EncoderLog(self._log_path)) as log:
            async for raw in self._stderr:
                line = visible(raw.decode("utf-8", "replace").rstrip("\n"), keep="\t")
                self._tail.append(line)
                log.write(line)

    async def close(self) -> None:
        """Close its input and wait for the end; kill it if it does not end."""
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), timeout=10)
        except TimeoutError:
            await self.kill()
        except EncoderLostError:
            pass  # it is gone with its machine
        await self._logging

    async def kill(self) -> None:
        """End it at once; whatever it was writing stays invisible."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(EncoderLostError):
            await self._process.wait()
        await self._logging
