"""The frames of real clips, read by a real child."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest
from textual.pilot import Pilot

from engine.errors import EnvironmentFaultError, LtxError
from engine.project import Project
from engine.worker.thumbnail_types import Ask, Done, Facts, Shot, Sound, Tell
from ltx_tui.children import frames as frames_child
from ltx_tui.children.frames import FramesChild, ask_of
from ltx_tui.screens.frames import FramesScreen
from tests.media_clips import Sound as Track
from tests.media_clips import grey, make_video, tone
from tests.tui.conftest import (
    ready,
    run_app,
    shown,
    still,
)
from tests.tui.frames.reading import (
    FPS,
    bench_of,
    clip_row,
    text,
)


def test_a_real_clip_is_read_by_a_real_child(
    project: Project, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = make_video(
        project.root / "real.mp4",
        [grey(i) for i in range(30)],
        sound=Track(samples=tone(1.25)),
    )
    row = clip_row(0, media=str(media), bucket="32x32x25", kept=(0.0, 25 / FPS))
    app = bench_of(project, (row,))

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("v")
        async with asyncio.timeout(20):
            while "peak" not in text(app):
                await pilot.pause(0.02)
        await still(pilot)
        assert "64×48 · 24 fps · 30 frames · 1.25 s" in shown(app)[1]
        assert "keeps frames 0–24 of 30" in shown(app)[2]
        assert "29 · not kept" in text(app)
        screen = app.screen
        assert isinstance(screen, FramesScreen)
        child = screen._child._child
        assert child is not None
        process = psutil.Process(child.pid)
        await pilot.press("escape")
        async with asyncio.timeout(20):
            while process.is_running():
                await pilot.pause(0.02)

    run_app(app, steps)


async def collect(child: FramesChild, ask: Ask) -> list[Tell]:
    return [tell async for tell in child.show(ask)]


def test_answers_are_kept_until_a_file_changes(project: Project) -> None:
    media = make_video(project.root / "a.mp4", [grey(i) for i in range(5)])
    row = clip_row(0, media=str(media), bucket="32x32x1", kept=(0.0, 0.04))
    ask = ask_of(row, project, count=2, size=(8, 8), columns=4)

    async def run() -> None:
        child = FramesChild()
        try:
            first = await collect(child, ask)
            assert [type(tell) for tell in first] == [Facts, Shot, Shot, Sound]
            started = child._child
            assert await collect(child, ask) == first
            make_video(media, [grey(i) for i in range(9)])
            again = await collect(child, ask)
            assert isinstance(again[0], Facts)
            assert again[0].frames == 9
            assert child._child is started
        finally:
            await child.close()

    asyncio.run(run())


def test_the_newest_request_wins(project: Project) -> None:
    media = make_video(project.root / "a.mp4", [grey(i) for i in range(40)])
    row = clip_row(0, media=str(media), bucket="32x32x9")

    async def run() -> None:
        child = FramesChild()
        try:
            asks = [ask_of(row, project, count=n, size=(8, 8), columns=4) for n in (5, 6, 3)]
            told = await asyncio.gather(*(collect(child, ask) for ask in asks))
            assert sum(isinstance(tell, Shot) for tell in told[2]) == 3
            assert told[1] == []
            assert not any(isinstance(tell, Done) for tells in told for tell in tells)
        finally:
            await child.close()

    asyncio.run(run())


def test_a_child_that_dies_is_told_and_started_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = make_video(project.root / "a.mp4", [grey(i) for i in range(5)])
    ask = ask_of(clip_row(0, media=str(media)), project, count=2, size=(8, 8), columns=0)

    async def run() -> None:
        child = FramesChild()
        try:
            with monkeypatch.context() as broken:
                broken.setenv("PYTHONHOME", "/nowhere")
                with pytest.raises(EnvironmentFaultError, match="ended with status 1"):
                    await collect(child, ask)
            assert any(isinstance(tell, Shot) for tell in await collect(child, ask))
        finally:
            await child.close()

    asyncio.run(run())


def test_a_child_that_hangs_is_ended(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_child, "_PATIENCE", 0.01)
    ask = ask_of(clip_row(0), project, count=2, size=(8, 8), columns=0)

    async def run() -> None:
        child = FramesChild()
        with pytest.raises(LtxError, match="hangs"):
            await collect(child, ask)
        assert child._child is None

    asyncio.run(run())


def test_a_child_that_cannot_start_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    ask = ask_of(clip_row(0), project, count=2, size=(8, 8), columns=0)
    with pytest.raises(EnvironmentFaultError, match="cannot be started"):
        asyncio.run(collect(FramesChild(), ask))
