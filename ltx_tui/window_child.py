"""Has the window of a row changed by a child process."""

from __future__ import annotations

import asyncio
import sys
import tempfile

import msgspec

from engine.errors import EnvironmentFaultError
from engine.worker.change_window import Done, Wanted
from engine.worker.spec import encode

_MODULE = "engine.worker.change_window"


async def change(wanted: Wanted) -> Done:
    """Change a window in the dataset file.

    The child goes on to its end even if this process is killed.

    Raises:
        LtxError: Nothing was written; it says why.
    """
    with tempfile.TemporaryFile() as log:
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFaultError(
                f"the program that writes windows cannot be started: {error.strerror}",
                remedy="run `ltx-tui doctor`",
            ) from error
        out, _ = await child.communicate(encode(wanted))
        try:
            done = msgspec.json.decode(out, type=Done)
        except msgspec.DecodeError as error:
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            raise EnvironmentFaultError(
                f"{_MODULE} ended with status {child.returncode}: {lines[-1] if lines else ''}",
                remedy="run `ltx-tui doctor`",
            ) from error
    if done.fault is not None:
        raise done.fault.to_error()
    return done
