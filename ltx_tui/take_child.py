"""Has rows taken out of the dataset, and given back, by a child process."""

from __future__ import annotations

import msgspec

from engine.worker.spec import encode
from engine.worker.take_out import Done, Wanted
from ltx_tui.child import ask

_DONE = msgspec.json.Decoder(Done)


async def take(wanted: Wanted) -> Done:
    """Take rows out of the dataset file, or give them back.

    The child goes on to its end even if this process is killed.

    Raises:
        LtxError: Nothing was written; it says why.
    """
    done = await ask(
        "engine.worker.take_out",
        request=encode(wanted),
        decode=_DONE.decode,
        name="the program that takes rows out",
    )
    if done.fault is not None:
        raise done.fault.to_error()
    return done
