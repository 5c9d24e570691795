"""A child that finds and cuts scenes of no video, and the videos that it tells of."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.errors import LtxError, MediaError
from engine.media.scene_rules import cuts_by
from engine.media.scene_types import Found, Range, pieces_of
from engine.worker.scene_messages import (
    AllDone,
    PieceDone,
    PieceFailed,
    Progress,
    Scenes,
    Scores,
    Tell,
    Video,
    VideoDone,
    VideoFailed,
    Wanted,
    Warned,
    fault_of,
)
from ltx_tui.app import Workbench
from ltx_tui.scenes.book import SceneBook
from ltx_tui.screens.scenes import ScenesScreen
from ltx_tui.screens.videos import VideosScreen
from tests.tui.conftest import ready, screen_of, shown, still

FRAMES = 300
# What content scores at cuts; the one at 190 comes too soon after another.
PEAKS = {60: 50.0, 100: 40.0, 180: 90.0, 190: 70.0, 250: 29.5}
CUTS = (60, 100, 180, 250)


class Studio:
    """Stands in for the child.

    Attributes:
        asked: What was asked for.
        gate: Closed, nothing is told behind the first words.
        faults: Of videos by name.
        lost: Numbers of pieces that cannot be made.
        note: Told of every video; empty for nothing.
        ended: How many times it was closed before its end.
    """

    def __init__(self) -> None:
        self.asked: list[Wanted] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.faults: dict[str, LtxError] = {}
        self.lost: set[int] = set()
        self.note = ""
        self.ended = 0

    async def split(self, wanted: Wanted) -> AsyncGenerator[Tell]:
        self.asked.append(wanted)
        await asyncio.sleep(0)
        try:
            for video in wanted.videos:
                tells = self._find if wanted.cutting is None else self._cut
                async for tell in tells(wanted, video):
                    yield tell
        except asyncio.CancelledError:
            self.ended += 1
            raise
        yield AllDone()

    async def _find(self, wanted: Wanted, video: Video) -> AsyncGenerator[Tell]:
        scores = scores_of(wanted)
        half = FRAMES // 2
        yield Progress(video=video.id, doing="find", done=half, total=FRAMES, cuts=2)
        yield told_scores(wanted, scores, 0, half)
        await self.gate.wait()
        if video.path.name in self.faults:
            yield VideoFailed(video=video.id, fault=fault_of(self.faults[video.path.name]))
            return
        yield told_scores(wanted, scores, half, FRAMES)
        if self.note:
            yield Warned(video=video.id, text=self.note, remedy="export it again")
        changes = scores if wanted.finding.detector == "adaptive" else array("f")
        cuts = cuts_by(wanted.finding, scores, changes, FRAMES)
        yield Scenes(video=video.id, found=found_of(cuts), pieces=())
        yield VideoDone(video=video.id, scenes=len(cuts) + 1, chosen=len(cuts) + 1)

    async def _cut(self, wanted: Wanted, video: Video) -> AsyncGenerator[Tell]:
        assert video.found is not None
        assert video.ranges is not None
        assert wanted.out is not None
        made = pieces_of(video.found, list(video.ranges))
        yield Scenes(video=video.id, found=video.found, pieces=tuple(made), is_known=True)
        failed = 0
        for number, piece in enumerate(made, 1):
            yield Progress(video=video.id, doing="cut", done=number, total=len(made))
            if number == 2:
                await self.gate.wait()
            if number in self.lost:
                failed += 1
                error = MediaError("has no key frame", remedy="cut it without copying")
                yield PieceFailed(video=video.id, piece=piece, fault=fault_of(error))
                continue
            file = Path(f"{video.name}-Scene-{number:03}.mp4")
            is_fresh = (wanted.out / file).exists()
            wanted.out.mkdir(exist_ok=True)
            (wanted.out / file).touch()
            yield PieceDone(video=video.id, piece=piece, file=file, kept=piece.kept, fresh=is_fresh)
        yield VideoDone(
            video=video.id, scenes=len(made), chosen=len(made), made=len(made) - failed,
            failed=failed,
        )  # fmt: skip


def scores_of(wanted: Wanted) -> array[float]:
    scale = {"adaptive": 0.1, "histogram": 0.01, "hash": 0.01}.get(wanted.finding.detector, 1.0)
    quiet = (2.0 + (at * 7 % 11) / 2 for at in range(FRAMES))
    return array("f", (scale * PEAKS.get(at, score) for at, score in enumerate(quiet)))


def told_scores(wanted: Wanted, scores: array[float], begin: int, end: int) -> Scores:
    part = scores[begin:end].tobytes()
    changes = part if wanted.finding.detector == "adaptive" else b""
    return Scores(video=wanted.videos[0].id, row=begin, values=part, changes=changes)


def found_of(cuts: tuple[int, ...] = CUTS) -> Found:
    return Found(
        frames=FRAMES, rate=(24, 1), vfr=False, time_base=(1, 24), span=Range(0, FRAMES), cuts=cuts
    )


def book_of(app: Workbench) -> SceneBook:
    return screen_of(app).desk.scenes


async def listed(pilot: Pilot[Any], *keys: str) -> VideosScreen:
    """Open the list of videos over the workbench, and press some keys."""
    await ready(pilot)
    await pilot.press("X")
    await until(pilot, lambda: not book_of(pilot.app).is_listing)  # type: ignore[arg-type]
    await pilot.press(*keys)
    await still(pilot)
    return next(one for one in pilot.app.screen_stack if isinstance(one, VideosScreen))


async def opened(pilot: Pilot[Any], *keys: str) -> ScenesScreen:
    """Open the scenes of the first video, and press some keys."""
    await listed(pilot, "enter")
    screen = pilot.app.screen
    assert isinstance(screen, ScenesScreen)
    await until(pilot, lambda: screen.video.scenes)
    await pilot.press(*keys)
    await still(pilot)
    return screen


async def until(pilot: Pilot[Any], is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await pilot.pause(0.01)


def text(app: Workbench) -> str:
    return "\n".join(shown(app))


def wholes(screen: ScenesScreen) -> list[tuple[int, int]]:
    return [tuple(one.whole) for one in screen.video.scenes]  # type: ignore[misc]


def states(screen: ScenesScreen) -> list[str]:
    return [one.state for one in screen.video.scenes]


def rows(dataset: Path) -> list[str]:
    return [row["media_path"] for row in json.loads(dataset.read_text())]


def toasts(app: Workbench) -> str:
    return "\n".join(one.message for one in app._notifications)
