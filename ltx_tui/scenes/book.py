"""The videos that are cut into scenes: looked at, chosen about, kept, cut.

All of it goes on while its screens are closed, and ends with the workbench.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine.errors import EnvironmentFaultError, LtxError, UsageError
from engine.files.identity import stat_identity
from engine.media.scene_options import Finding
from engine.media.scene_rules import measuring
from engine.project import Project
from engine.scenes.choices import Choices
from engine.scenes.store import Measured, keep_measures, kept_measures
from engine.text import plural
from engine.worker.scene_messages import (
    Progress,
    Scenes,
    Scores,
    Tell,
    Video,
    VideoFailed,
    Wanted,
    Warned,
)
from ltx_tui.children.scenes import jobs_at_once, split
from ltx_tui.scenes.cut import SceneCut
from ltx_tui.scenes.shelf import SceneShelf
from ltx_tui.scenes.state import VideoScenes


class SceneBook(SceneShelf):
    """The videos of a project, and what is done with them.

    Attributes:
        cutting: The run that writes pieces; None while none does.
    """

    def __init__(self, project: Project, *, clips: Callable[[], Sequence[Path]]) -> None:
        """Know nothing yet; see `SceneShelf`."""
        super().__init__(project, clips=clips)
        self.cutting: SceneCut | None = None
        self._looks: dict[Path, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(jobs_at_once())

    # Looking

    def look(self, video: VideoScenes) -> None:
        """Find the scenes of a video, unless they are known or being found."""
        task = self._looks.get(video.path)
        if task is not None and not task.done():
            return
        self._looks[video.path] = self.start(partial(self._look, video))

    def look_anew(self, video: VideoScenes) -> None:
        """Find the scenes of a video, also of one that could not be looked at before."""
        video.fault = None
        self.look(video)

    async def _look(self, video: VideoScenes) -> None:
        """Find scenes until they are those of the options as they are chosen."""
        try:
            while video.fault is None:
                finding = video.choices.finding
                if video.is_known:
                    cuts = await asyncio.to_thread(video.decide, finding)
                    if video.choices.finding == finding:
                        video.detect(cuts)
                        return
                    continue
                await self._measure(video, finding)
        finally:
            video.progress, video.is_waiting = None, False
            self.tell("video")

    async def _measure(self, video: VideoScenes, finding: Finding) -> None:
        video.forget()
        video.is_waiting = True
        self.tell("video")
        state_dir = self.project.state_dir
        try:
            identity = await asyncio.to_thread(stat_identity, video.path)
            video.identity = identity
            measured = await asyncio.to_thread(kept_measures, state_dir, video.path, finding)
            if measured is None:
                async with self._turn:
                    video.is_waiting = False
                    video.progress = Progress(video=0, doing="find", done=0, total=0)
                    self.tell("video")
                    measured = await self._find(video, finding)
                if measured is not None:
                    with contextlib.suppress(LtxError):  # it can be found again
                        await asyncio.to_thread(
                            keep_measures, state_dir, video.path, finding, identity, measured
                        )
        except LtxError as error:
            video.fault = error
            return
        except OSError as error:
            video.fault = UsageError(
                f"cannot be read: {error.strerror}", remedy="check the path", file=video.path
            )
            return
        if measured is not None:
            video.take(measured)

    async def _find(self, video: VideoScenes, finding: Finding) -> Measured | None:
        """Return what the child finds; None where it is of no use any more."""
        wanted = Wanted(
            videos=(Video(id=0, path=video.path, name="video"),), finding=finding, scores=True
        )
        found = None
        async with contextlib.aclosing(split(wanted)) as tells:
            async for tell in tells:
                if video.choices.finding != finding and not _same(video.choices.finding, finding):
                    return None
                found = self._hear(video, tell) or found
        if found is None:
            raise EnvironmentFaultError(
                "the program that finds scenes was ended", remedy="f5 looks again"
            )
        return Measured(
            finding=finding,
            found=found.found,
            scores=video.scores.tobytes(),
            changes=video.changes.tobytes(),
        )

    def _hear(self, video: VideoScenes, tell: Tell) -> Scenes | None:
        match tell:
            case Progress():
                video.progress = tell
                self.tell("progress")
            case Scores():
                video.hear_scores(tell)
            case Scenes():
                return tell
            case Warned():
                video.notes.append(f"{tell.text}; {tell.remedy}" if tell.remedy else tell.text)
            case VideoFailed():
                raise tell.fault.to_error()
        return None

    def _stop_looking(self) -> None:
        for task in self._looks.values():
            task.cancel()
        self._looks.clear()

    # Choosing

    def change(self, video: VideoScenes, choices: Choices) -> None:
        """Take other choices about a video, and keep them."""
        before = video.choices.finding
        if video.change(choices):
            self._changed(video, before)

    def undo(self, video: VideoScenes) -> bool:
        """Take the last change back; return whether there was one."""
        before = video.choices.finding
        if not video.undo():
            return False
        self._changed(video, before)
        return True

    def _changed(self, video: VideoScenes, before: Finding) -> None:
        self._unkept[video.path] = video
        self.start(self._keep)
        if video.choices.finding != before and (video.found or video.path in self._looks):
            self.look_anew(video)
        self.tell("video")

    # Cutting

    def cut(self, videos: Sequence[VideoScenes]) -> None:
        """Write the pieces of videos, and give them rows; those not looked at are, before.

        Raises:
            UsageError: Pieces are being written already.
        """
        if self.cutting is not None:
            raise UsageError("pieces are being written", remedy="wait for it, or stop it with x")
        self.cutting = SceneCut(self, videos)
        self.tell("progress")
        self.start(partial(self._cut, self.cutting))

    async def _cut(self, run: SceneCut) -> None:
        try:
            words = await run.do()
        except LtxError as error:
            words = f"{error.headline}\n{error.remedy}".strip()
        finally:
            self.cutting = None
        self.tell("video")
        if run.added:
            self.tell("rows")
        self.say(words)

    async def look_at(self, videos: Sequence[VideoScenes]) -> None:
        """Find the scenes of videos, and wait for that."""
        for video in videos:
            if not video.is_known:
                self.look(video)
        tasks = [self._looks[one.path] for one in videos if one.path in self._looks]
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> str:
        """Stop cutting, or else looking; what is done stays. Return what was stopped."""
        if self.cutting is not None:
            self.cutting.stop()
            return "stopping at the next frame"
        busy = [one for one in self.videos if one.progress is not None or one.is_waiting]
        if not busy:
            return ""
        self._stop_looking()
        return f"stopped looking at {plural(len(busy), 'video')}"

    async def close(self) -> None:
        """End everything; what was chosen is kept."""
        if self.cutting is not None:
            self.cutting.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.keep_now)


def _same(one: Finding, other: Finding) -> bool:
    """Whether two ways of finding have the same scores."""
    return measuring(one) == measuring(other)
