"""The videos that can be cut into scenes: which there are, and what was chosen about them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from engine.errors import LtxError, UsageError
from engine.files.identity import stat_identity
from engine.project import Project
from engine.scenes.choices import Choices
from engine.scenes.settings import choosing_of, finding_of
from engine.scenes.sources import Source, find_sources, source_of
from engine.scenes.store import SceneStore
from engine.text import visible
from ltx_tui.scenes.state import VideoScenes

# What is told: other videos, one that stands otherwise, how far it is, pieces that have rows now,
# words for the user.
Told = Literal["videos", "video", "progress", "rows", "said"]
Observer = Callable[[Told], None]


class SceneShelf:
    """The videos of a project.

    Attributes:
        project: The settings; may be changed.
        videos: Those of the project's folder, and those that were named.
        is_listing: Whether the folder is being read.
        fault: Why it cannot be read, or what is chosen cannot be kept; None where all is well.
        said: What is worth reading, until somebody takes it.
    """

    def __init__(self, project: Project, *, clips: Callable[[], Sequence[Path]]) -> None:
        """Know nothing yet.

        Args:
            project: The settings.
            clips: Returns what the dataset names.
        """
        self.project = project
        self.videos: list[VideoScenes] = []
        self.is_listing = False
        self.fault: LtxError | None = None
        self.said: list[str] = []
        self._clips = clips
        self._observers: list[Observer] = []
        self._named: dict[Path, Source] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unkept: dict[Path, VideoScenes] = {}
        self._keeping = asyncio.Lock()

    def look(self, video: VideoScenes) -> None:
        """Find the scenes of a video by the options as they are chosen now."""
        raise NotImplementedError

    # Who listens

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Have something told of what changes; return what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def tell(self, what: Told) -> None:
        """Tell all who listen."""
        for observer in list(self._observers):
            observer(what)

    def say(self, words: str) -> None:
        """Have the user told something, whatever is on the screen."""
        self.said.append(words)
        self.tell("said")

    def take_said(self) -> list[str]:
        """Return what was said since the last time."""
        said, self.said = self.said, []
        return said

    def start(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Do something aside, to its end or the end of the workbench."""

        async def run() -> None:
            await work()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Which videos

    async def load(self) -> None:
        """Read which videos there are; what is known of those that were there stays."""
        self.is_listing, self.fault = True, None
        self.tell("videos")
        try:
            sources, chosen = await asyncio.to_thread(self._read)
        except LtxError as error:
            self.fault, self.is_listing = error, False
            self.tell("videos")
            return
        known = {one.path: one for one in self.videos}
        self.videos = [
            self._with(known.get(source.path), source, chosen.get(source.path))
            for source in sources
        ]
        self.is_listing = False
        self.tell("videos")

    def clips_among(self, videos: Sequence[VideoScenes]) -> int:
        """Return how many videos are clips of the dataset themselves."""
        named = {os.path.normpath(path) for path in self._clips()}
        return sum(os.path.normpath(one.path) in named for one in videos)

    def _read(self) -> tuple[list[Source], dict[Path, Choices]]:
        project = self.project
        without = [project.output_dir, project.state_dir]
        sources = find_sources(project.root, without=without, clips=self._clips())
        there = {one.path for one in sources}
        chosen: dict[Path, Choices] = {}
        try:
            with SceneStore(project.state_dir) as store:
                for path in store.paths():
                    self._named.setdefault(path, Source(path=path, size=path.stat().st_size))
                sources += [
                    one for path, one in self._named.items() if path not in there and path.is_file()
                ]
                for source in sources:
                    found = store.choices(source.path)
                    if found is not None:
                        chosen[source.path] = found
        except LtxError as error:
            self.fault = error
        return sources, chosen

    def _with(
        self, known: VideoScenes | None, source: Source, chosen: Choices | None
    ) -> VideoScenes:
        if known is not None:
            known.source = source
            return known
        return VideoScenes(source, chosen or self.defaults(), is_own=chosen is not None)

    def defaults(self) -> Choices:
        """Return what project.toml says; PySceneDetect's own where that makes no sense."""
        section = self.project.scenes
        try:
            return Choices(finding=finding_of(section), choosing=choosing_of(section))
        except UsageError as error:
            self.fault = error
            return Choices()

    async def add(self, path: Path) -> list[VideoScenes]:
        """Add a video, or those of a folder; return them.

        Raises:
            UsageError: There is none.
        """
        sources = await asyncio.to_thread(self._sources_at, path)
        known = {one.path: one for one in self.videos}
        chosen = await asyncio.to_thread(self._choices, [one.path for one in sources])
        added = []
        for source in sources:
            video = known.get(source.path)
            if video is None:
                self._named[source.path] = source
                video = self._with(None, source, chosen.get(source.path))
                self.videos.append(video)
            added.append(video)
        self.tell("videos")
        return added

    def _sources_at(self, path: Path) -> list[Source]:
        try:
            path = Path(os.path.normpath(self.project.root / path.expanduser()))
        except RuntimeError as error:  # "~somebody"
            raise UsageError(
                "there is no such home folder", remedy="check the path", file=path
            ) from error
        if not path.is_dir():
            return [source_of(path)]
        found = find_sources(path, without=[self.project.output_dir])
        if not found:
            raise UsageError(
                "the folder holds no video that can be cut",
                remedy="name a video, or a folder of videos",
                file=path,
            )
        return found

    def _choices(self, paths: Sequence[Path]) -> dict[Path, Choices]:
        found: dict[Path, Choices] = {}
        with contextlib.suppress(LtxError), SceneStore(self.project.state_dir) as store:
            for path in paths:
                choices = store.choices(path)
                if choices is not None:
                    found[path] = choices
        return found

    def use(self, project: Project) -> None:
        """Take other settings; videos about which nobody chose anything follow them."""
        before, self.project = self.project.scenes, project
        if before == project.scenes:
            return
        defaults = self.defaults()
        for video in self.videos:
            if not video.is_own and video.choices != defaults:
                video.choices = defaults
                if video.found is not None:
                    self.look(video)
        self.tell("videos")

    # Keeping

    async def _keep(self) -> None:
        async with self._keeping:
            await asyncio.to_thread(self.keep_now)
        if self.fault is not None:
            self.tell("videos")

    def keep_now(self) -> None:
        """Write what was chosen to the disk before returning."""
        unkept, self._unkept = self._unkept, {}
        if not unkept:
            return
        try:
            with SceneStore(self.project.state_dir) as store:
                for path, video in unkept.items():
                    with contextlib.suppress(OSError):  # it is gone
                        store.keep(path, video.identity or stat_identity(path), video.choices)
        except LtxError as error:
            self.fault = error


def name_of(video: VideoScenes, root: Path) -> str:
    """Return what a video is called in lists: relative to the project where it lies in it."""
    try:
        return visible(video.path.relative_to(root).as_posix())
    except ValueError:
        return visible(video.path)
