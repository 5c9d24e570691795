"""Has a plan made by a child process, so that nothing waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from engine.precompute.digest import Digest
from engine.project import Project
from engine.worker.plan_types import Planned, Tell, Wanted
from engine.worker.scan_types import Failed, Scanning
from engine.worker.spec import decoder, encode
from ltx_tui.children.child import Child

_TELL = decoder(Tell)


async def plan(project: Project, only: Iterable[str] = ()) -> AsyncGenerator[Scanning | Digest]:
    """Yield how far a plan is, and at last the plan in short; closing it ends the child.

    Args:
        project: The settings.
        only: Names of the clips to look at; all if empty.

    Raises:
        LtxError: The dataset, a bucket or a model path is unusable as a whole, or the child dies.
    """
    child = await Child.start("engine.worker.make_plan", name="the program that plans")
    try:
        await child.send(encode(Wanted(project=project, only=tuple(only))))
        async for line in child.lines():
            match _TELL.decode(line):
                case Failed(fault=fault):
                    raise fault.to_error()
                case Planned(digest=digest):
                    yield digest
                    return
                case tell:
                    yield tell
        raise await child.death("`ltx-tui plan` in a terminal says more")
    finally:
        await child.close()
