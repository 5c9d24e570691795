"""One run that cuts videos into pieces, and gives the pieces rows in the dataset."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.dataset.add_rows import Added
from engine.errors import LtxError, UsageError
from engine.project import Project
from engine.scenes.settings import cutting_of
from engine.scenes.sources import add_pieces
from engine.text import listed, plural, visible
from engine.worker.scene_messages import (
    AllDone,
    PieceDone,
    PieceFailed,
    Progress,
    Tell,
    Video,
    VideoDone,
    VideoFailed,
    Wanted,
    Warned,
)
from engine.worker.scene_record import name_videos
from ltx_tui.children.scenes import jobs_at_once, split
from ltx_tui.scenes.state import Lost, Making, VideoScenes

if TYPE_CHECKING:
    from ltx_tui.scenes.book import SceneBook


class SceneCut:
    """The run.

    Attributes:
        videos: What is cut.
        out: The folder of the pieces.
        added: Names of the new rows.
        is_stopping: Whether it shall end at the next frame.
    """

    def __init__(self, book: SceneBook, videos: Sequence[VideoScenes]) -> None:
        """Do nothing yet."""
        self.videos = tuple(videos)
        self.out = book.project.scenes_dir
        self.added: tuple[str, ...] = ()
        self.is_stopping = False
        self._book = book
        self._task: asyncio.Task[None] | None = None
        self._there: list[Path] = []
        self._gone: list[Path] = []
        self._replaced = 0
        self._is_whole = False

    def stop(self) -> None:
        """End it at the next frame; pieces that are whole stay."""
        self.is_stopping = True
        if self._task is not None:
            self._task.cancel()

    @property
    def done(self) -> tuple[int, int]:
        """How many pieces are there, and how many there are to be."""
        making = [one.making for one in self.videos if one.making is not None]
        return sum(one.made + one.fresh for one in making), sum(one.wanted for one in making)

    async def do(self) -> str:
        """Do it; return what came of it.

        Raises:
            LtxError: Nothing can be cut.
        """
        for video in self.videos:
            video.making = video.fault = None
        self._task = self._book.start(self._all)
        try:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
        finally:
            for video in self.videos:
                video.progress = None
        if self.is_stopping or not self._is_whole:
            return self._stopped()
        try:
            added = await asyncio.to_thread(self._add, self._book.project)
        except LtxError as error:
            # The pieces are there all the same.
            raise type(error)(
                f"pieces are cut, but have no rows yet: {error.message}",
                remedy=error.remedy,
                file=error.file,
            ) from error
        return self._outcome(added)

    async def _all(self) -> None:
        await self._book.look_at(self.videos)
        # The folder may have been changed in the settings meanwhile.
        project = self._book.project
        self.out = project.scenes_dir
        known = [one for one in self.videos if one.is_known]
        if not known:
            lost = next((one.fault for one in self.videos if one.fault is not None), None)
            raise lost or UsageError("nothing to cut", remedy="choose videos with space")
        names = await asyncio.to_thread(name_videos, [one.path for one in known], self.out)
        for one in known:
            one.making = Making(len(one.kept))
        wanted = Wanted(
            videos=tuple(
                Video(id=at, path=one.path, name=name, found=one.chosen, ranges=one.kept)
                for at, (one, name) in enumerate(zip(known, names, strict=True))
            ),
            out=self.out,
            cutting=cutting_of(project.scenes),
            images=project.scenes.save_images,
            jobs=jobs_at_once(),
        )
        async with contextlib.aclosing(split(wanted)) as tells:
            async for tell in tells:
                if isinstance(tell, AllDone):
                    self._is_whole = not tell.cancelled
                else:
                    self._hear(known, names, tell)

    def _hear(self, videos: Sequence[VideoScenes], names: Sequence[str], tell: Tell) -> None:
        assert not isinstance(tell, AllDone)  # noqa: S101 - for the type checker
        video = videos[getattr(tell, "video", 0)]
        making = video.making or Making(0)
        match tell:
            case Progress():
                video.progress = tell
            case PieceDone():
                making.fresh += tell.fresh
                making.made += not tell.fresh
                self._there.append(self.out / tell.file)
            case PieceFailed():
                piece = f"{names[videos.index(video)]}, scene {tell.piece.number}"
                making.lost.append(Lost(piece, tell.fault.to_error()))
            case Warned():
                video.notes.append(f"{tell.text}; {tell.remedy}" if tell.remedy else tell.text)
            case VideoFailed():
                video.fault, video.progress = tell.fault.to_error(), None
                making.lost.append(Lost(video.path.name, tell.fault.to_error()))
            case VideoDone():
                making.has_ended, video.progress = True, None
                self._gone += (self.out / file for file in tell.removed)
                self._replaced += tell.replaced
        self._book.tell("progress" if isinstance(tell, Progress | PieceDone) else "video")

    def _add(self, project: Project) -> Added:
        """Give the pieces rows in the dataset."""
        return add_pieces(project, self._there, self._gone)

    def _outcome(self, added: Added) -> str:
        self.added = added.names
        making = [one.making for one in self.videos if one.making is not None]
        facts = [f"{plural(sum(one.made for one in making), 'piece')} cut"]
        fresh = sum(one.fresh for one in making)
        if fresh:
            facts.append(f"{fresh:,} there already")
        facts.append(f"{plural(len(added.names), 'row')} added")
        lines = [", ".join(facts)]
        lost = [one for each in making for one in each.lost]
        lost += [
            Lost(one.path.name, one.fault)
            for one in self.videos
            if one.making is None and one.fault is not None
        ]
        if lost:
            lines.append(f"failed: {lost[0].piece}: {lost[0].error.message}")
            if len(lost) > 1:
                lines[-1] += f" (and {len(lost) - 1:,} more)"
        if self._replaced:
            words = plural(self._replaced, "piece has", "pieces have")
            lines.append(f"{words} other frames than before: captions may not fit any more")
        if added.gone:
            names = listed([visible(name) for name in added.gone])
            lines.append(f"rows name pieces that are gone: {names}")
        return "\n".join(lines)

    def _stopped(self) -> str:
        done, wanted = self.done
        if not wanted:
            return "stopped; nothing was written"
        return f"stopped: {done:,} of {plural(wanted, 'piece')} cut; c goes on from there"
