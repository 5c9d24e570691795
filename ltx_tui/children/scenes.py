"""Has scenes found and cut by a child process, so that nothing waits for it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import msgspec

from engine.worker.scene_messages import AllDone, Stopped, Tell, Wanted
from engine.worker.spec import decoder, encode
from ltx_tui.children.child import Child

# What the child gets to reach the next frame and clear up, in seconds.
_PATIENCE = 20.0

# Decoders and encoders use several cores each.
_CORES_A_VIDEO, _LEAST_JOBS, _MOST_JOBS = 2, 2, 16

_TELL: msgspec.json.Decoder[Tell] = decoder(Tell)


async def split(wanted: Wanted) -> AsyncGenerator[Tell]:
    """Yield what is told of finding and cutting scenes; closing it ends the work cleanly.

    The last one is `AllDone`, unless it is closed before.

    Raises:
        LtxError: The work cannot begin, or the child dies.
    """
    child = await Child.start("engine.worker.find_scenes", name="the program that cuts scenes")
    try:
        await child.send(encode(wanted))
        async for line in child.lines():
            tell = _TELL.decode(line)
            if isinstance(tell, Stopped):
                raise tell.fault.to_error()
            yield tell
            if isinstance(tell, AllDone):
                return
        raise await child.death("the same command goes on from there")
    finally:
        await child.end(_PATIENCE)


def jobs_at_once() -> int:
    """Return how many videos are worked on side by side where nobody says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(_LEAST_JOBS, min(_MOST_JOBS, (cores or 1) // _CORES_A_VIDEO))
