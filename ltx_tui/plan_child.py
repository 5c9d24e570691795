"""Has a plan made by a child process, so that nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Iterable

import msgspec

from engine.errors import EnvironmentFaultError
from engine.precompute.digest import Digest
from engine.project import Project

_LINE_LIMIT = 1 << 24


class Scanning(msgspec.Struct, frozen=True, tag="scanning", tag_field="tell"):
    """Media are being probed."""

    done: int
    total: int


class _Planned(msgspec.Struct, frozen=True, tag="planned", tag_field="tell"):
    digest: Digest


class _Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="tell"):
    fault: msgspec.Raw


_TELL = msgspec.json.Decoder(Scanning | _Planned | _Failed)


async def plan(project: Project, only: Iterable[str] = ()) -> AsyncGenerator[Scanning | Digest]:
    """Yield how far a plan is, and at last the plan in short; closing it ends the child.

    Args:
        project: The settings.
        only: Names of the clips to look at; all if empty.

    Raises:
        LtxError: The dataset, a bucket or a model path is unusable as a whole, or the child dies.
    """
    from engine.worker.spec import Fault, encode

    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "engine.worker.make_plan",
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
        child.stdin.write(encode({"project": project, "only": tuple(only)}) + b"\n")
        async for line in child.stdout:
            tell = _TELL.decode(line)
            if isinstance(tell, _Failed):
                raise msgspec.json.decode(tell.fault, type=Fault).to_error()
            yield tell.digest if isinstance(tell, _Planned) else tell
            if isinstance(tell, _Planned):
                return
        raise EnvironmentFaultError(
            f"the program that plans ended with status {await child.wait()}",
            remedy="`ltx-tui plan` in a terminal says more",
        )
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
