"""The child process that talks to Ray, as the worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.text import visible
from engine.worker.logs import EncoderLog
from engine.worker.process import LINE_LIMIT
from engine.worker.ray_messages import Answer, Request

_MODULE = "engine.worker.ray_bridge"
# Seconds in which it leaves the cluster; one that was started for this job takes a while to end.
_FAREWELL = 20.0


class RayChild:
    """A running `engine.worker.ray_bridge`."""

    def __init__(
        self,
        process: Process,
        log_path: Path,
        take: Callable[[Answer], None],
        gone: Callable[[], None],
    ) -> None:
        """Wrap a started process; use `start`."""
        self._process = process
        self._log_path = log_path
        self._take = take
        self._gone = gone
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._keep_log())]

    @classmethod
    async def start(
        cls,
        log_path: Path,
        take: Callable[[Answer], None],
        gone: Callable[[], None],
        *,
        local: bool,
    ) -> RayChild:
        """Start it.

        Args:
            log_path: Where its log goes.
            take: Gets its answers.
            gone: Called when no more will come.
            local: Whether it starts a cluster of its own.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _MODULE,
            *(["--local"] if local else []),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=LINE_LIMIT,
            # Ray has its processes look for modules in the folder that this one runs in.
            cwd="/",
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
            start_new_session=True,
        )
        return cls(process, log_path, take, gone)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def send(self, request: Request) -> None:
        """Send a request; one that is gone is noticed by `gone`."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(msgspec.json.encode(request) + b"\n")

    async def _receive(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, see `start`
        decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
        try:
            while (line := await self._process.stdout.readline()).endswith(b"\n"):
                self._take(decoder.decode(line))
        finally:
            self._gone()

    async def _keep_log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe, see `start`
        with contextlib.closing(EncoderLog(self._log_path)) as kept:
            async for raw in self._process.stderr:
                kept.write(visible(raw.decode("utf-8", "replace").rstrip("\n"), keep="\t"))

    async def close(self) -> None:
        """Have it leave the cluster, and wait for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _FAREWELL)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
