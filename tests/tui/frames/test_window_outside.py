"""The window picker while other programs, and the user, do other things."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.dataset.caption_db import Key
from engine.errors import EnvironmentFaultError
from engine.project import Project, update_project
from engine.worker.change_window import Wanted
from ltx_tui.app import Workbench
from ltx_tui.children import dataset as dataset_child
from ltx_tui.screens.frames import FramesScreen
from tests.tui.conftest import (
    run_app,
    screen_of,
    still,
)
from tests.tui.frames.reading import Reader, clip_row, opened
from tests.tui.frames.windows import BUCKETS, cells, live_bench, picking, told, written


@pytest.fixture
def project(project: Project) -> Project:
    assert project.file is not None
    return update_project(project.file, {"video.buckets": BUCKETS})


@pytest.fixture
def live(
    project: Project, quiet: None, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> Workbench:
    return live_bench(project, monkeypatch)


def test_a_row_that_was_changed_outside_is_left_alone(live: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket")
        rows = cells(project)
        rows[0]["window_end"] = 3
        project.dataset_path.write_text(json.dumps(rows))
        await pilot.press("w")
        await written(pilot, screen)
        assert cells(project) == rows
        assert "the row was changed or removed by another program" in told(live)
        assert "nothing was written; f5" in told(live)
        assert screen.is_picked

    run_app(live, steps)


def test_other_rows_may_change_meanwhile(live: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket")
        rows = [{"media_path": "new.mp4", "caption": "New."}, *cells(project)]
        rows[3]["caption"] = "Three birds."
        project.dataset_path.write_text(json.dumps(rows))
        await pilot.press("w")
        await written(pilot, screen)
        rows[1]["window_start"] = 1
        assert cells(project) == rows
        assert (screen.row.name, screen.index) == ("clip-0.mp4 @ 1-end s", 1)

    run_app(live, steps)


def test_a_caption_that_is_not_saved_goes_first(live: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        captions = screen_of(live).desk.captions
        doc = await captions.open(Key("clip-0.mp4"))
        captions.edit(doc, "A hare.")
        await pilot.press("full_stop", "left_square_bracket", "w")
        await written(pilot, screen)
        # The writer of these tests saves no captions.
        assert "its caption is not in the dataset yet" in told(live)
        assert "window_start" not in cells(project)[0]

    run_app(live, steps)


def test_one_change_at_a_time_and_leaving_harms_none(
    live: Workbench, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = asyncio.Event(), dataset_child.change

    async def change(wanted: Wanted) -> Any:
        await gate.wait()
        return await real(wanted)

    monkeypatch.setattr(dataset_child, "change", change)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket", "w", "W")
        assert "the last change is being written" in told(live)
        await pilot.press("v")
        await still(pilot)
        assert not isinstance(live.screen, FramesScreen)
        gate.set()
        await written(pilot, screen)
        assert cells(project)[0]["window_start"] == 1
        assert screen_of(live).desk.store.find("clip-0.mp4 @ 1-end s") == 0

    run_app(live, steps)


def test_a_real_child_writes(
    project: Project, quiet: None, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dataset_child.change
    app = live_bench(project, monkeypatch)
    monkeypatch.setattr(dataset_child, "change", real)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot, "full_stop", "left_square_bracket", "w")
        await written(pilot, screen)
        assert cells(project)[0]["window_start"] == 1
        project.dataset_path.chmod(0o444)
        await pilot.press("right", "left_square_bracket", "w")
        await written(pilot, screen)
        assert "the file is read-only" in told(app)
        with monkeypatch.context() as broken:
            broken.setenv("PYTHONHOME", "/nowhere")
            with pytest.raises(EnvironmentFaultError, match="ended with status 1"):
                await real(Wanted(project=project, change=None))  # type: ignore[arg-type]
            broken.setattr("sys.executable", "/nowhere/python")
            with pytest.raises(EnvironmentFaultError, match="cannot be started"):
                await real(Wanted(project=project, change=None))  # type: ignore[arg-type]

    run_app(app, steps)


def test_a_row_without_known_length_keeps_what_was_read(live: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await picking(pilot)
        row = screen.row
        screen.store.update_row(row.name, seconds=0.0, bucket="", kept=(0.0, 0.0))
        assert (screen.row.seconds, screen.row.bucket) == (row.seconds, row.bucket)
        assert clip_row(0).seconds == row.seconds

    run_app(live, steps)
