"""Child processes that are asked on stdin and answer in JSON lines: both ends of them."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from engine.errors import EnvironmentFaultError


def ask(module: str, *arguments: str) -> Iterator[bytes]:
    """Run `python -m module` and yield the lines that it prints, as they come.

    Raises:
        EnvironmentFaultError: It ends with another status than 0.
    """
    # Nothing that lies in the folder we are called from can stand in for a module.
    command = [sys.executable, "-P", "-m", module, *arguments]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as child,
    ):
        assert child.stdout is not None  # noqa: S101 - a pipe, for the type checker
        try:
            yield from child.stdout
        except BaseException:
            child.kill()
            raise
        if child.wait() != 0:
            raise broken(module, child.returncode, log)


def broken(module: str, status: int | None, log: BinaryIO) -> EnvironmentFaultError:
    """Return that a child failed, with the last line of what it wrote to its log."""
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return EnvironmentFaultError(
        f"{module} ended with status {status}: {lines[-1] if lines else ''}",
        remedy="run `ltx-tui doctor`",
    )


# Inside such a child


def answer(value: object) -> None:
    """Print one answer."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def answers_alone() -> BinaryIO:
    """Return stdout, for answers alone: whatever a library prints goes to stderr from now on."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return outgoing


def serving() -> BinaryIO:
    """Return stdout, for a protocol that a scheduler speaks with us; everything else is its log."""
    faulthandler.enable()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # Ctrl-C in the terminal is the scheduler's to handle: it sends a Cancel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return answers_alone()


def when_stdin_ends(act: Callable[[], object]) -> None:
    """Have something done, in a thread, once stdin is closed: nobody waits any more."""

    def wait() -> None:
        # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
        while os.read(0, 1 << 12):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()


class Seldom:
    """Tells how far something is, but not of every file."""

    def __init__(self, tell: Callable[[int, int], object], every: float) -> None:
        """Tell nothing yet.

        Args:
            tell: Takes (done, total).
            every: Seconds between two tidings; the last one comes in any case.
        """
        self._tell = tell
        self._every = every
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + self._every
            self._tell(done, total)
