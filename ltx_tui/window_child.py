"""Has the window of a row changed by a child process."""

from __future__ import annotations

import msgspec

from engine.worker.change_window import Done, Wanted
from engine.worker.spec import encode
from ltx_tui.child import ask

_DONE = msgspec.json.Decoder(Done)


async def change(wanted: Wanted) -> Done:
    """Change a window in the dataset file.

    The child goes on to its end even if this process is killed.

    Raises:
        LtxError: Nothing was written; it says why.
    """
    done = await ask(
        "engine.worker.change_window",
        request=encode(wanted),
        decode=_DONE.decode,
        name="the program that writes windows",
    )
    if done.fault is not None:
        raise done.fault.to_error()
    return done
