"""Choosing a bucket for single clips, and what that writes to project.toml."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from textual.screen import Screen

from engine.project import Project, load_project
from ltx_tui.app import Workbench
from ltx_tui.widgets.buckets import choose_own_bucket
from tests.tui.bucket_rows import stored
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, shown


def own(
    project: Project,
    names: Sequence[str],
    keys: Sequence[str],
    *,
    size: tuple[int, int] = SMALL,
    name: str = "",
) -> tuple[list[str], Any]:
    lines: list[str] = []

    async def run() -> Any:
        app = Workbench(project.root, project, screen=Screen())
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            answer = app.run_worker(
                choose_own_bucket(app.screen, stored(project), project, names)  # type: ignore[arg-type]
            )
            await pilot.pause(0.02)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.02)
            lines.extend(shown(app))
            if name:
                assert_snapshot(app, name)
            if keys:
                await answer.wait()
                return answer.result
            answer.cancel()
            return None

    return lines, asyncio.run(run())


def test_a_clip_gets_a_bucket_of_its_own_and_loses_it(three: Project) -> None:
    name = "scene-0000.mp4"
    lines, _ = own(three, [name], [])
    text = "\n".join(lines)
    assert f"Bucket of {name}" in text
    assert "the nearest, 960x544x121" in text
    assert three.file is not None
    _, changed = own(three, [name], ["j", "j", "enter"])
    assert changed.clips == {name: "960x544x49"}
    assert load_project(three.file).clips == {name: "960x544x49"}
    lines, _ = own(changed, [name], [])
    assert any("960x544x49  now" in line for line in lines)
    _, changed = own(changed, [name], ["enter"])
    assert changed.clips == {}
    _, changed = own(changed, [name], ["G", "j", "j", "j", "j", "enter", *"64x64x9", "enter"])
    assert changed.clips == {name: "64x64x9"}
    assert own(changed, [name], ["escape"])[1] is None


def test_several_clips_get_one_and_are_warned_where_some_are_too_short(three: Project) -> None:
    names = ["scene-0000.mp4", "scene-0008.mp4", "scene-0013.mp4"]
    lines, _ = own(three, names, [])
    text = "\n".join(lines)
    assert "Bucket of 3 clips" in text
    assert "960x544x121  ⚠ 2 clips are too short" in text
    assert "960x544x49  ⚠ 1 clip is too short" in text
    _, changed = own(three, names, ["j", "enter"])
    assert changed.clips == dict.fromkeys(names, "960x544x121")


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_choosing_the_bucket_of_some_clips(three: Project, size: tuple[int, int]) -> None:
    own(
        three,
        ["scene-0000.mp4", "scene-0013.mp4"],
        [],
        size=size,
        name=f"own-bucket-{size[0]}x{size[1]}",
    )
