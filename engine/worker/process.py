"""An encoder process as its scheduler sees it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections import deque
from pathlib import Path
from typing import cast

import msgspec

from engine.errors import EnvironmentFaultError
from engine.text import visible
from engine.worker.messages import VERSION, Answer, Hello, Request

# Longer than any answer; asyncio's own limit would be 64 KiB.
_LINE_LIMIT = 1 << 24
_LOG_LINES = 12


class EncoderDiedError(Exception):
    """The process ended by itself; the text says how, with the last lines of its log."""


class EncoderProcess:
    """One exec'd `engine.worker.encoder`, in a session of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        """Wrap a started process; use `start`."""
        self._process = process
        # All three are pipes: see `start`.
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)
        self._stderr = cast("asyncio.StreamReader", process.stderr)
        self._log_path = log_path
        self._decoder = msgspec.json.Decoder(Answer)
        self._tail: deque[str] = deque(maxlen=_LOG_LINES)
        self._logging = asyncio.create_task(self._keep_log())

    @classmethod
    async def start(cls, log_path: Path) -> EncoderProcess:
        """Start a process and wait until it answers.

        Raises:
            EnvironmentFaultError: It does not come up, or is of another version.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Nothing that lies in the folder we are called from can stand in for a module.
            "-P",
            "-m",
            "engine.worker.encoder",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        encoder = cls(process, log_path)
        try:
            hello = await encoder.receive()
        except EncoderDiedError as error:
            raise EnvironmentFaultError(
                f"the encoder process does not start: {error}", remedy="run `ltx-tui doctor`"
            ) from error
        if not isinstance(hello, Hello) or hello.version != VERSION:
            await encoder.kill()
            raise EnvironmentFaultError(
                "the encoder process is of another version of ltx-tui",
                remedy="install ltx-tui again, then rerun",
            )
        return encoder

    async def send(self, request: Request) -> None:
        """Send a request; a process that is gone is noticed by the next `receive`."""
        with contextlib.suppress(ConnectionError):
            self._stdin.write(msgspec.json.encode(request) + b"\n")
            await self._stdin.drain()

    async def receive(self) -> Answer:
        """Return the next answer.

        Raises:
            EncoderDiedError: The process ended.
        """
        line = await self._stdout.readline()
        if not line.endswith(b"\n"):
            raise EncoderDiedError(await self._epitaph())
        answer: Answer = self._decoder.decode(line)
        return answer

    async def _epitaph(self) -> str:
        code = await self._process.wait()
        await self._logging
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}{self._last_words()}"
        return f"exit status {code}{self._last_words()}"

    def _last_words(self) -> str:
        lines = [line for line in self._tail if line.strip()]
        return f" ({lines[-1].strip()})" if lines else ""

    async def _keep_log(self) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            async for raw in self._stderr:
                line = visible(raw.decode("utf-8", "replace").rstrip("\n"), keep="\t")
                self._tail.append(line)
                log.write(line + "\n")
                log.flush()

    async def close(self) -> None:
        """Close its input and wait for the end; kill it if it does not end."""
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), timeout=10)
        except TimeoutError:
            await self.kill()
        await self._logging

    async def kill(self) -> None:
        """End it at once; whatever it was writing stays invisible."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._logging
