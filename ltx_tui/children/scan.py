"""Has an overview made by a child process, and listens to how far it is."""

from __future__ import annotations

import contextlib
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Iterator
from typing import IO, TYPE_CHECKING

from engine.errors import EnvironmentFaultError
from engine.worker.scan_types import Failed, Tell
from engine.worker.spec import Fault, decoder, encode
from ltx_tui.children.child import Child

if TYPE_CHECKING:
    from engine.overview.types import Identity
    from engine.project import Project

_LOG = "worker-overview.log"  # `ltx-tui logs` shows all that begins so
_TELL = decoder(Tell)


async def scan(project: Project) -> AsyncGenerator[Tell]:
    """Yield what a child tells that makes the project's overview; ends it when it is closed."""
    with _log(project) as log:
        try:
            child = await Child.start(
                "engine.worker.make_overview", name="the program that looks at the clips", log=log
            )
        except EnvironmentFaultError as error:
            yield Failed(Fault.of(error))
            return
    try:
        await child.send(encode(project))
        async for line in child.lines():
            yield _TELL.decode(line)
        if await child.wait() != 0:
            death = await child.death("`ltx-tui logs` has the details; f5 tries again")
            yield Failed(Fault.of(death))
    finally:
        await child.close()


def identity_differs(project: Project, identity: Identity) -> bool:
    """Whether an overview would be made from other files now; opens files, so not on the loop."""
    from engine.overview.identity import identity_of

    return identity_of(project) != identity


@contextlib.contextmanager
def _log(project: Project) -> Iterator[int | IO[bytes]]:
    """Open the file that takes what the child prints to stderr, from its beginning."""
    folder = project.state_dir / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOG).open("wb")
    except OSError:
        yield DEVNULL
        return
    with file:
        yield file
