"""Has scenes found and cut by a child process, so that nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator

import msgspec

from engine.errors import EnvironmentFaultError
from engine.worker.scene_messages import AllDone, Stopped, Tell, Wanted
from engine.worker.spec import decoder, encode

_LINE_LIMIT = 1 << 26
# What the child gets to reach the next frame and clear up, in seconds.
_PATIENCE = 20.0

_TELL: msgspec.json.Decoder[Tell] = decoder(Tell)


async def split(wanted: Wanted) -> AsyncGenerator[Tell]:
    """Yield what is told of finding and cutting scenes; closing it ends the work cleanly.

    The last one is `AllDone`, unless it is closed before.

    Raises:
        LtxError: The work cannot begin, or the child dies.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "engine.worker.find_scenes",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        start_new_session=True,
        limit=_LINE_LIMIT,
    )
    try:
        assert child.stdin is not None  # noqa: S101 - pipes, for the type checker
        assert child.stdout is not None  # noqa: S101
        # It stays open: the child ends with us, even where we are killed.
        child.stdin.write(encode(wanted) + b"\n")
        async for line in child.stdout:
            tell = _TELL.decode(line)
            if isinstance(tell, Stopped):
                raise tell.fault.to_error()
            yield tell
            if isinstance(tell, AllDone):
                return
        raise EnvironmentFaultError(
            f"the program that cuts scenes ended with status {await child.wait()}",
            remedy="the same command goes on from there",
        )
    finally:
        await _end(child)


async def _end(child: Process) -> None:
    """Let the child clear up; one that takes too long is killed."""
    if child.returncode is not None:
        return
    if child.stdin is not None:
        child.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_PATIENCE):
            assert child.stdout is not None  # noqa: S101
            while await child.stdout.read(1 << 16):
                pass  # so that it never waits for a reader
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
