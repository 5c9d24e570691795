"""What the panes of a project share: its clips, its captions, its worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.project import Project
from ltx_tui.clips.store import Store

if TYPE_CHECKING:
    from engine.worker.protocol import News
    from ltx_tui.captions.editing import Captions
    from ltx_tui.clips.checkup import Checkup, Told
    from ltx_tui.clips.scores import Scoring
    from ltx_tui.scenes.book import SceneBook
    from ltx_tui.worker.watch import Watcher


# Seconds after the end of a job in which its last captions are found in the dataset file.
_ARRIVE = 10.0


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
        self._checkup: Checkup | None = None
        self._scoring: Scoring | None = None
        self._scenes: SceneBook | None = None

    @property
    def watcher(self) -> Watcher:
        """Who listens to the worker; its modules are imported when it is first asked for."""
        if self._watcher is None:
            from ltx_tui.worker.watch import Watcher

            self._watcher = Watcher(self.project)
        return self._watcher

    @property
    def captions(self) -> Captions:
        """The captions as they are edited."""
        if self._captions is None:
            from ltx_tui.captions.editing import Captions

            self._captions = Captions(self.project, self.store)
            self._captions.comes_from_job = self._captions_come
        return self._captions

    def _captions_come(self) -> bool:
        """Whether a job captions, or did a moment ago."""
        jobs = self._watcher.jobs if self._watcher is not None else ()
        since = time.time() - _ARRIVE
        return any(
            job.kind == "caption" and (job.state == "running" or job.ended > since) for job in jobs
        )

    @property
    def checkup(self) -> Checkup:
        """What the doctor knows of the clips."""
        if self._checkup is None:
            from ltx_tui.clips.checkup import Checkup

            self._checkup = Checkup(self.project, save=self.captions.save)
            self._checkup.subscribe(self._found)
        return self._checkup

    @property
    def scoring(self) -> Scoring:
        """Who has captions scored."""
        if self._scoring is None:
            from ltx_tui.clips.scores import Scoring

            self._scoring = Scoring(self.store)
        return self._scoring

    @property
    def scenes(self) -> SceneBook:
        """The videos that are cut into scenes."""
        if self._scenes is None:
            from ltx_tui.scenes.book import SceneBook

            self._scenes = SceneBook(self.project, clips=self._clip_paths)
        return self._scenes

    def _clip_paths(self) -> list[Path]:
        """Return the files that the clips are of; a window of one is behind its name."""
        folder = self.project.dataset_path.parent
        return [folder / name.partition(" @ ")[0] for name in self.store.table.names]

    @property
    def is_cutting(self) -> bool:
        """Whether videos are being cut."""
        return self._scenes is not None and self._scenes.cutting is not None

    def _found(self, what: Told) -> None:
        if what == "findings":
            self.store.take_findings(self.checkup.findings)

    async def begin(self) -> None:
        """Listen to the worker, take up drafts, look at the dataset again; ends when that is done.

        To be called after the first paint.
        """
        self.watcher.hear(self._hear)
        self.watcher.start()
        await self.captions.start()
        await self.scoring.load()
        await self.store.load()
        await self.checkup.load()
        await self.scoring.begin()

    def _hear(self, news: tuple[News, ...]) -> None:
        for one in news:
            self.store.apply(one)

    async def use(self, project: Project) -> None:
        """Take other settings of the same project from now on."""
        self.project = project
        self.store.project = project
        self.watcher.use(project)
        self.captions.project = project
        self.checkup.project = project
        if self._scenes is not None:
            self._scenes.use(project)
        await self.store.load()

    def keep_now(self) -> None:
        """Write what was typed to the disk before returning: the program is being ended."""
        if self._captions is not None:
            self._captions.keep_now()
        if self._scenes is not None:
            self._scenes.keep_now()

    async def close(self) -> None:
        """Save captions and stop listening; what runs goes on."""
        ends = [self.store.close()]
        if self._scoring is not None:
            ends.append(self._scoring.close())
        if self._scenes is not None:
            ends.append(self._scenes.close())
        if self._checkup is not None:
            ends.append(self._checkup.close())
        if self._captions is not None:
            ends.append(self._captions.close())
        if self._watcher is not None:
            ends.append(self._watcher.stop())
        await asyncio.gather(*ends, return_exceptions=True)
