"""A folder without a project: what is found is shown, and made into one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import EnvironmentFaultError, LtxError
from engine.project import load_project
from ltx_tui.app import Workbench
from ltx_tui.children.beginning import Beginning
from ltx_tui.screens.init import InitScreen
from ltx_tui.screens.workbench import WorkbenchScreen
from ltx_tui.widgets.toggle import Toggle
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, run_app, shown, still


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of two files that pass for clips."""
    for name in ("LTX_TUI_CHECKPOINT", "LTX_TUI_TEXT_ENCODER"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "my-clips"
    root.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (root / name).touch()
    return root


async def workbench_shown(pilot: Pilot[Any]) -> None:
    """Wait until the workbench stands with all its panes: it cannot end in the middle of that."""
    async with asyncio.timeout(60):
        while not isinstance(pilot.app.screen, WorkbenchScreen):
            await pilot.pause(0.02)
        while not pilot.app.screen.query("#clips-frame"):
            await pilot.pause(0.02)
    await pilot.pause()


async def found(pilot: Pilot[Any]) -> InitScreen:
    """Wait until the folder has been looked at."""
    screen = pilot.app.screen
    assert isinstance(screen, InitScreen)
    async with asyncio.timeout(60):
        while "Looking …" in "\n".join(shown(pilot.app)):
            await pilot.pause(0.05)
    await pilot.pause()
    return screen


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_looks_as_it_did(
    folder: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.worker.begin_types import Seen

    async def look(_self: Beginning) -> Seen:
        return Seen(
            folder="my-clips",
            dataset="dataset.json",
            is_new=True,
            clips=12,
            reference_column="control",
            buckets="960x544x49;544x960x49",
            audio=True,
            notes=("1 file named *_reference left out",),
        )

    monkeypatch.setattr(Beginning, "look", look)
    app = Workbench(folder, None)

    async def steps(pilot: Pilot[Any]) -> None:
        await found(pilot)
        await still(pilot)
        assert_snapshot(app, f"init-{size[0]}x{size[1]}")

    run_app(app, steps, size=size)


def test_a_project_is_made_and_opened(folder: Path, quiet: None) -> None:
    app = Workbench(folder, None)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await found(pilot)
        assert "2 clips" in "\n".join(shown(app))
        assert not (folder / "project.toml").exists()
        screen.query_one("#text-trigger", Input).value = "BUNNY"
        screen.query_one("#models-checkpoint", Input).value = "/models/ltx.safetensors"
        audio = screen.query_one("#audio", Toggle)
        audio.focus()
        await pilot.press("space")
        assert audio.value
        await pilot.press("enter")
        await workbench_shown(pilot)

    run_app(app, steps)
    made = load_project(folder / "project.toml")
    assert made.text.trigger == "BUNNY"
    assert made.models.checkpoint == "/models/ltx.safetensors"
    assert made.audio.enabled
    names = [row["media_path"] for row in json.loads((folder / "dataset.json").read_text("utf-8"))]
    assert names == ["a.mp4", "b.mp4"]


def test_wrong_buckets_are_explained_and_can_be_mended(folder: Path, quiet: None) -> None:
    app = Workbench(folder, None)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await found(pilot)
        line = screen.query_one("#video-buckets", Input)
        line.value = "961x544x49"
        line.focus()
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert any("✗" in text for text in shown(app))
        assert not (folder / "project.toml").exists()
        line.value = "544x544x49"
        await pilot.press("enter")
        await workbench_shown(pilot)

    run_app(app, steps)
    assert load_project(folder / "project.toml").video.buckets == "544x544x49"


def test_nothing_to_begin_with_is_explained(tmp_path: Path) -> None:
    app = Workbench(tmp_path, None)

    async def steps(pilot: Pilot[Any]) -> None:
        await found(pilot)
        text = " ".join(" ".join(shown(app)).split())
        assert "neither a dataset nor any video or image" in text
        assert "name the folder of your clips" in text
        assert "ltx-tui demo shows the whole job" in text
        await pilot.press("escape")

    run_app(app, steps)
    assert app.return_code == 0
    assert list(tmp_path.glob("*.toml")) == []


def test_clips_that_come_later_are_found_on_enter(tmp_path: Path) -> None:
    app = Workbench(tmp_path, None)

    async def steps(pilot: Pilot[Any]) -> None:
        await found(pilot)
        (tmp_path / "late.mp4").touch()
        await pilot.press("enter")
        async with asyncio.timeout(60):
            while "1 clip in" not in " ".join(shown(app)):
                await pilot.pause(0.05)
        await pilot.press("escape")

    run_app(app, steps)


def test_the_child_says_what_is_wrong_and_takes_another_try(folder: Path) -> None:
    async def talk() -> Path:
        beginning = Beginning(folder)
        seen = await beginning.look()
        assert (seen.clips, seen.is_new, seen.dataset) == (2, True, "dataset.json")
        with pytest.raises(LtxError, match="unknown key"):
            await beginning.make({"video.bucket": "x"})
        made = await beginning.make({"video.seed": 7})
        with pytest.raises(EnvironmentFaultError):
            await beginning.make({})
        await beginning.close()
        return made

    made = asyncio.run(talk())
    assert load_project(made).video.seed == 7


def test_closing_while_it_looks_ends_the_child(folder: Path) -> None:
    async def talk() -> None:
        beginning = Beginning(folder)
        task = asyncio.create_task(beginning.look())
        async with asyncio.timeout(60):
            while beginning._child is None:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        child = beginning._child
        await beginning.close()
        assert child.returncode is not None
        with pytest.raises(LtxError):
            await task

    asyncio.run(talk())
