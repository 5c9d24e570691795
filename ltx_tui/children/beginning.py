"""Talks to the child that looks at a folder and makes a project of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError
from engine.worker.begin_types import Begun, Seen, Tell, Unable
from ltx_tui.children.child import Child

_NAME = "the process that looks at the folder"
_TELL: msgspec.json.Decoder[Tell] = msgspec.json.Decoder(Tell)


class Beginning:
    """One folder that may become a project."""

    def __init__(self, start: Path) -> None:
        """Do nothing yet.

        Args:
            start: A folder, or a dataset file.
        """
        self._start = start
        self._child: Child | None = None

    async def look(self) -> Seen:
        """Return what there is.

        Raises:
            LtxError: Nothing usable.
        """
        self._child = await Child.start("engine.worker.begin_project", str(self._start), name=_NAME)
        told = await self._hear(self._child)
        if isinstance(told, Seen):
            return told
        raise _broken()

    async def make(self, values: dict[str, object]) -> Path:
        """Make the project; return its project.toml.

        Args:
            values: Keys of project.toml that win over what follows from the folder.

        Raises:
            LtxError: A value is wrong, or the folder cannot be written; it may be tried again.
        """
        child = self._child
        if child is None:
            raise _broken()
        await child.send(msgspec.json.encode(values))
        told = await self._hear(child)
        if isinstance(told, Begun):
            return Path(told.file)
        raise _broken()

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _hear(self, child: Child) -> Tell:
        line = await child.line()
        if not line:
            raise _broken()
        told = _TELL.decode(line)
        if isinstance(told, Unable):
            raise told.fault.to_error()
        return told


def _broken() -> EnvironmentFaultError:
    return EnvironmentFaultError(f"{_NAME} ended unexpectedly", remedy="`ltx-tui init` says more")
