"""Copying: to the terminal by OSC 52, and through tmux, which by default drops OSC 52."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.text import plural

if TYPE_CHECKING:
    from textual.app import App

# Terminals refuse more than so many bytes in one sequence, and tmux may.
_MOST = 100_000
_PATIENCE = 2.0


async def copy(app: App[Any], text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Copy text; return what to say about it.

    Args:
        app: Whose terminal it is.
        text: What to copy.
        environ: Where TMUX is looked for.
    """
    if len(text.encode()) > _MOST:
        return f"too long to copy: {plural(len(text), 'character')}, terminals take {_MOST:,}"
    app.copy_to_clipboard(text)
    if environ.get("TMUX") and not await _to_tmux(text):
        return "copied, if tmux passes it on: `set -s set-clipboard on`"
    lines = text.count("\n") + 1
    return "copied" if lines == 1 else f"copied {plural(lines, 'line')}"


async def _to_tmux(text: str) -> bool:
    """Load text into tmux's buffer; -w has tmux hand it to the terminal around it."""
    try:
        child = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            "-w",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(child.communicate(text.encode()), _PATIENCE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        return False
    return child.returncode == 0
