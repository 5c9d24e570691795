"""What the panes of a project share: its clips, its captions, its worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.project import Project
from ltx_tui.store import Store

if TYPE_CHECKING:
    from engine.worker.protocol import News
    from ltx_tui.captions import Captions
    from ltx_tui.watch import Watcher


class Desk:
    """A project that is open in the workbench.

    Attributes:
        project: The settings as they are now.
        store: The clips; those of the last time are there at once.
    """

    def __init__(self, project: Project) -> None:
        """Read what was kept of the last time."""
        self.project = project
        self.store = Store(project)
        self.store.open_cache()
        self._watcher: Watcher | None = None
        self._captions: Captions | None = None

    @property
    def watcher(self) -> Watcher:
        """Who listens to the worker; its modules are imported when it is first asked for."""
        if self._watcher is None:
            from ltx_tui.watch import Watcher

            self._watcher = Watcher(self.project)
        return self._watcher

    @property
    def captions(self) -> Captions:
        """The captions as they are edited."""
        if self._captions is None:
            from ltx_tui.captions import Captions

            self._captions = Captions(self.project, self.store)
        return self._captions

    async def begin(self) -> None:
        """Listen to the worker, take up drafts, look at the dataset again; ends when that is done.

        To be called after the first paint.
        """
        self.watcher.hear(self._hear)
        self.watcher.start()
        await self.captions.start()
        await self.store.load()

    def _hear(self, news: tuple[News, ...]) -> None:
        for one in news:
            self.store.apply(one)

    async def use(self, project: Project) -> None:
        """Take other settings of the same project from now on."""
        self.project = project
        self.store.project = project
        self.watcher.use(project)
        self.captions.project = project
        await self.store.load()

    def keep_now(self) -> None:
        """Write what was typed to the disk before returning: the program is being ended."""
        if self._captions is not None:
            self._captions.keep_now()

    async def close(self) -> None:
        """Save captions and stop listening; what runs goes on."""
        ends = [self.store.close()]
        if self._captions is not None:
            ends.append(self._captions.close())
        if self._watcher is not None:
            ends.append(self._watcher.stop())
        await asyncio.gather(*ends, return_exceptions=True)
