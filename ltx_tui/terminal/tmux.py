"""Asking tmux for something, when we run inside of it."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE

_PATIENCE = 2.0


async def tmux(*arguments: str, told: bytes = b"") -> str | None:
    """Run a command of tmux; return what it says, None where it fails or does not answer.

    Args:
        arguments: The command.
        told: For its stdin.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            "tmux", *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError:
        return None
    try:
        out, _ = await asyncio.wait_for(child.communicate(told), _PATIENCE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        return None
    return out.decode("utf-8", "replace").strip() if child.returncode == 0 else None
