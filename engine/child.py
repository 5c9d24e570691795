"""Modules that need torch, run as child processes that answer in JSON lines."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator

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
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            raise EnvironmentFaultError(
                f"{module} ended with status {child.returncode}: {lines[-1] if lines else ''}",
                remedy="run `ltx-tui doctor`",
            )


def answer(value: object) -> None:
    """Print one answer, from inside such a child."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()
