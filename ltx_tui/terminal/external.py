"""The user's own editor, in the terminal, while the workbench steps aside."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from engine.errors import UsageError

if TYPE_CHECKING:
    from textual.app import App

_USUAL = ("sensible-editor", "nano", "vim", "vi")


def editor(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command line of the user's editor.

    Raises:
        UsageError: None is set, and none of the usual ones is there; or it is not there.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environ.get(name, ""))
        except ValueError as error:
            raise UsageError(
                f"{name} makes no sense: {error}", remedy="set it to an editor"
            ) from error
        if words:
            if shutil.which(words[0]) is None:
                raise UsageError(
                    f"{name} names {words[0]!r}, which is not there", remedy="set it to an editor"
                )
            return words
    for usual in _USUAL:
        if shutil.which(usual):
            return [usual]
    raise UsageError("no editor is known", remedy="set EDITOR in the environment")


def edit(app: App[Any], file: Path) -> None:
    """Edit a file; the workbench is back when the editor ends.

    Raises:
        UsageError: There is no editor, or it failed.
    """
    command = [*editor(), str(file)]
    try:
        with app.suspend():  # what is raised in here would leave the workbench aside
            code = _run(command)
    except SuspendNotSupported as error:
        raise UsageError(
            "an editor needs a terminal of its own", remedy="edit the file elsewhere", file=file
        ) from error
    if code:
        raise UsageError(f"{command[0]} ended with code {code}", remedy="nothing was changed")


def _run(command: list[str]) -> int:
    """Run a command, return its exit code; 127 where it cannot be run at all."""
    try:
        return subprocess.run(command, check=False).returncode
    except OSError:
        return 127
