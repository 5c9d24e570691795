"""From a video in a folder to clips in the list: the real children, nothing made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.media.probe import probe
from engine.project import load_project
from ltx_tui.app import Workbench
from ltx_tui.screens.scenes import ScenesScreen
from tests.scene_videos import SHOTS, cuts_of, make_shots, pixels, psnr, with_tone
from tests.tui.conftest import run_app, screen_of, shown


async def until(pilot: Pilot[Any], is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(120):
        while not is_so():
            await pilot.pause(0.05)


def test_a_video_becomes_clips_of_the_dataset(tmp_path: Path) -> None:
    root = tmp_path / "lora"
    root.mkdir()
    film = make_shots(root / "film.mp4", sound=with_tone())
    (root / "dataset.json").write_text("[]\n")
    (root / "project.toml").write_text(
        '[video]\nbuckets = "320x160x25"\n\n[scenes]\npreset = "ultrafast"\n'
    )
    project = load_project(root / "project.toml")
    app = Workbench(root, project)

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: any("X cuts long videos" in line for line in shown(app)))
        await pilot.press("X")
        book = screen_of(app).desk.scenes
        await until(pilot, lambda: book.videos)
        await pilot.press("enter")
        screen = app.screen
        assert isinstance(screen, ScenesScreen)
        await until(pilot, lambda: screen.video.scenes)
        assert screen.video.detected == cuts_of(SHOTS)
        # The ends of the first scene, as the child that reads frames gives them.
        await until(pilot, lambda: any("last 38" in line for line in shown(app)))
        await until(pilot, lambda: len(screen.strip._shots) == 2)
        # The first scene stays out; the last two become one, which is split where a person says.
        await pilot.press("space", "j", "m", "full_stop", "s")
        assert [tuple(one.part) for one in screen.video.scenes] == [
            *((0, 39), (41, 72), (74, 97), (97, 152)),
        ]
        await pilot.press("c", "enter")
        await until(pilot, lambda: book.cutting is None)
        await pilot.press("escape", "escape", "escape")
        await until(pilot, lambda: len(screen_of(app).desk.store) == 3)
        assert screen_of(app).desk.store.table.names[2] == "clips/film-Scene-003.mp4"
        await until(pilot, lambda: any("film-Scene" in line for line in shown(app)))
        await screen_of(app).desk.close()  # the children that look at the new clips

    run_app(app, steps, size=(120, 40))
    rows = json.loads(project.dataset_path.read_text())
    names = [f"clips/film-Scene-00{number}.mp4" for number in (1, 2, 3)]
    assert [row["media_path"] for row in rows] == names
    source = pixels(film)
    for name, (first, end) in zip(names, ((41, 72), (74, 97), (97, 152)), strict=True):
        piece = root / name
        assert probe(piece).frames == end - first
        assert probe(piece).audio
        assert psnr(pixels(piece)[0], source[first]) > 30
