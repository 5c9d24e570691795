"""A workbench whose clips are those of a real dataset file, and whose frames are made up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.dataset.manifest import load_manifest
from engine.dataset.windows import row_name
from engine.overview.file import table_of
from engine.overview.types import Row
from engine.project import Project
from engine.worker.change_window import Done, Wanted, do
from ltx_tui.app import Workbench
from ltx_tui.children import dataset as dataset_child
from ltx_tui.clips.store import Store
from ltx_tui.screens.frames import FramesScreen
from tests.tui.frames.reading import bench_of, clip_row, opened
from tests.tui.rows import make_overview

BUCKETS = "544x544x49;544x544x121"


def rows_of(project: Project) -> tuple[Row, ...]:
    """Return rows for what the dataset file has now; windows keep nothing yet."""
    rows = []
    for number, cells in enumerate(load_manifest(project.dataset_path).rows):
        name = row_name(cells, "media_path", number)
        known: dict[str, Any] = {"caption": str(cells["caption"]), "name": name}
        known["media"] = str(project.root / str(cells["media_path"]))
        if " @ " in name:
            known |= {"bucket": "544x544x49", "kept": (1.0, 1.0 + 49 / 24)}
        rows.append(clip_row(number, **known))
    return tuple(rows)


def live_bench(project: Project, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Return a workbench that reads the dataset again as often as it is asked to."""

    async def load(store: Store) -> None:
        store.take(table_of(make_overview(rows_of(project))))

    async def change(wanted: Wanted) -> Done:
        done = await asyncio.to_thread(do, wanted)
        if done.fault is not None:
            raise done.fault.to_error()
        return done

    monkeypatch.setattr(Store, "load", load)
    monkeypatch.setattr(dataset_child, "change", change)
    return bench_of(project, rows_of(project))


async def picking(pilot: Pilot[Any], *keys: str) -> FramesScreen:
    """Open the frames of the first clip, and press some keys once it is read."""
    screen = await opened(pilot)
    await pilot.press(*keys)
    return screen


async def written(pilot: Pilot[Any], screen: FramesScreen) -> None:
    """Wait until what is being written is written, and the dataset was read again."""
    async with asyncio.timeout(20):
        while screen._is_writing:
            await pilot.pause(0.01)
    await pilot.pause()


def cells(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.dataset_path.read_text())
    return found


def told(app: Workbench) -> str:
    return "\n".join(one.message for one in app._notifications)
