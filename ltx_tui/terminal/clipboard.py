"""Copying: to the terminal by OSC 52, and through tmux, which by default drops OSC 52."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.text import plural
from ltx_tui.terminal.tmux import tmux

if TYPE_CHECKING:
    from textual.app import App

# Terminals refuse more than so many bytes in one sequence, and tmux may.
_MOST = 100_000


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
    # -w has tmux hand it to the terminal around it.
    in_tmux = bool(environ.get("TMUX"))
    if in_tmux and await tmux("load-buffer", "-w", "-", told=text.encode()) is None:
        return "copied, if tmux passes it on: `set -s set-clipboard on`"
    lines = text.count("\n") + 1
    return "copied" if lines == 1 else f"copied {plural(lines, 'line')}"
