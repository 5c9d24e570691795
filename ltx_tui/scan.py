"""Has an overview made by a child process, and listens to how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Iterator
from typing import IO, TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from engine.overview_types import Identity
    from engine.project import Project
    from engine.worker.spec import Fault

_LINE_LIMIT = 1 << 20
_LOG = "worker-overview.log"  # `ltx-tui logs` shows all that begins so


class Scanning(msgspec.Struct, frozen=True, tag="scanning", tag_field="tell"):
    """Media are being probed."""

    done: int
    total: int


class Written(msgspec.Struct, frozen=True, tag="written", tag_field="tell"):
    """The overview's file is there; not the whole of it yet, or all."""

    rows: int
    whole: bool


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="tell"):
    """The overview cannot be made."""

    fault: msgspec.Raw

    def to_fault(self) -> Fault:
        """Return why."""
        from engine.worker.spec import Fault

        return msgspec.json.decode(self.fault, type=Fault)


Tell = Scanning | Written | Failed
_TELL = msgspec.json.Decoder(Tell)


async def scan(project: Project) -> AsyncGenerator[Tell]:
    """Yield what a child tells that makes the project's overview; ends it when it is closed."""
    from engine.worker.spec import encode

    with _log(project) as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "engine.worker.make_overview",
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
    try:
        assert child.stdin is not None  # noqa: S101 - pipes, for the type checker
        assert child.stdout is not None  # noqa: S101
        # It stays open: the child ends with us, even where we are killed.
        child.stdin.write(encode(project) + b"\n")
        async for line in child.stdout:
            yield _TELL.decode(line)
        if await child.wait() != 0:
            yield Failed(msgspec.Raw(_unexpected(child)))
    finally:
        await _end(child)


def identity_differs(project: Project, identity: Identity) -> bool:
    """Whether an overview would be made from other files now; opens files, so not on the loop."""
    from engine.overview_identity import identity_of

    return identity_of(project) != identity


@contextlib.contextmanager
def _log(project: Project) -> Iterator[int | IO[bytes]]:
    """Open the file that takes what the child prints to stderr, from its beginning."""
    folder = project.state_dir / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOG).open("wb")
    except OSError:
        yield DEVNULL
        return
    with file:
        yield file


def _unexpected(child: Process) -> bytes:
    from engine.worker.spec import Fault, encode

    return encode(
        Fault(
            kind="EnvironmentFaultError",
            message=f"the program that looks at the clips ended with status {child.returncode}",
            remedy="`ltx-tui logs` has the details; f5 tries again",
        )
    )


async def _end(child: Process) -> None:
    """End the child where it still runs, and leave nothing of it open."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
    if child.stdin is not None:
        child.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await child.stdin.wait_closed()
