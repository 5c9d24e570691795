"""The frame of the workbench: panes and tabs, resizing, palette, help, jump mode, the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import ProjectError
from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.program import find_project_of
from ltx_tui.screens.too_small import TooSmall
from ltx_tui.screens.workbench import FRAMES, WorkbenchScreen
from tests.tui.conftest import (
    HUGE,
    SMALL,
    WIDE,
    assert_snapshot,
    make_bench,
    ready,
    run_app,
    shown,
    still,
)


def seen(screen: WorkbenchScreen) -> set[str]:
    """Return the panes that are shown."""
    return {
        pane
        for pane, names in FRAMES.items()
        if all(screen.query_one(f"#{name}-frame").region.area for name in names)
    }


@pytest.mark.parametrize("size", [SMALL, WIDE, HUGE], ids=["80x24", "120x40", "200x60"])
def test_looks_as_it_did(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await still(pilot)
        assert_snapshot(pilot.app, f"workbench-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


@pytest.mark.parametrize("pane", FRAMES)
def test_a_tab_shows_its_pane_alone(bench: Workbench, pane: str) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await bench.run_command(f"workbench.{pane}")
        await pilot.pause()
        assert seen(screen) == {pane}
        assert screen.pane == pane
        assert screen.focused is not None
        await still(pilot)
        assert_snapshot(pilot.app, f"tab-{pane}-80x24")

    run_app(bench, steps)


def test_number_keys_go_to_panes_except_where_one_types(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        for key, pane in (("4", "jobs"), ("3", "buckets"), ("1", "clips"), ("2", "caption")):
            await pilot.press(key)
            assert screen.pane == pane
        await pilot.press("1")
        assert screen.pane == "caption"
        assert screen.editor is not None
        assert screen.editor.doc is not None
        assert screen.editor.doc.text.startswith("1")
        await pilot.press("escape")
        assert screen.pane == "clips"

    run_app(bench, steps)


def test_resizing_keeps_focus_and_place(project: Project, quiet: None) -> None:
    app = make_bench(project, 60)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("G")
        focused, clip = screen.focused, screen.clips.clip
        assert clip == "scene-0059.mp4"
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert seen(screen) == set(FRAMES)
        assert (screen.focused, screen.clips.clip) == (focused, clip)
        assert any(clip in line for line in shown(app))
        await pilot.press("4")
        focused = screen.focused
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert seen(screen) == {"jobs"}
        assert screen.focused is focused
        await pilot.press("1")
        assert any(clip in line for line in shown(app))

    run_app(app, steps)


def test_tab_goes_round_the_panes_that_are_seen(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        panes = []
        for _ in range(8):
            await pilot.press("f12") if screen.pane == "caption" else await pilot.press("tab")
            panes.append(screen.pane)
        assert "buckets" in panes

    run_app(bench, steps, size=WIDE)


def test_a_click_on_a_tab_shows_its_pane(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.click("#tabs", offset=(26, 0))
        await pilot.pause()
        assert screen.pane == "buckets"

    run_app(bench, steps)


def test_too_small_a_terminal_gets_a_notice_and_loses_nothing(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("j", "j")
        focused = screen.focused
        await pilot.resize_terminal(59, 24)
        await pilot.pause()
        assert isinstance(bench.screen, TooSmall)
        assert "59×24" in "\n".join(shown(bench))
        await still(pilot)
        assert_snapshot(bench, "too-small")
        await pilot.resize_terminal(60, 16)
        await pilot.pause()
        assert bench.screen is screen
        assert (screen.focused, screen.clips.clip) == (focused, "scene-0002.mp4")

    run_app(bench, steps)


# State, notices, the end


def test_comes_back_where_it_was(project: Project, quiet: None) -> None:
    async def leave(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("j", "j", "j", "4")
        await pilot.press("ctrl+q")

    run_app(make_bench(project, 60), leave)
    app = Workbench(project.root, project)

    async def again(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        assert screen.pane == "jobs"
        assert screen.clips.clip == "scene-0003.mp4"

    run_app(app, again)


def test_state_is_written_soon_after_a_change(bench: Workbench, project: Project) -> None:
    file = project.state_dir / "workbench.json"

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("j", "3")
        while not file.exists() or "buckets" not in file.read_text("utf-8"):
            await pilot.pause(0.02)

    run_app(bench, steps)
    assert json.loads(file.read_text("utf-8"))["pane"] == "buckets"


def test_ctrl_c_says_how_to_leave(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert any("ctrl+q leaves" in one.message for one in bench._notifications)

    run_app(bench, steps)


def test_notices_are_shown_as_they_are(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        bench.notify("[red]not red\x1b[31m")
        async with asyncio.timeout(20):
            while not any("[red]not red\\x1b[31m" in line for line in shown(bench)):
                await pilot.pause(0.02)

    run_app(bench, steps, toasts=True)


def test_leaving_ends_with_code_0(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("ctrl+q")

    run_app(bench, steps)
    assert bench.return_code == 0


def test_a_crash_leaves_a_report_that_names_its_place(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)

        def fail() -> None:
            raise RuntimeError("the sky fell")

        bench.call_later(fail)
        await pilot.pause()

    with pytest.raises(RuntimeError, match="the sky fell"):
        run_app(bench, steps)
    report = (project.state_dir / "logs" / "workbench.log").read_text("utf-8")
    assert "the sky fell" in report
    assert "Traceback" in report
    assert str(project.state_dir / "logs" / "workbench.log") in bench._report.plain


def test_finds_the_project_of_files_and_folders(project: Project, tmp_path: Path) -> None:
    found = find_project_of(project.root)
    assert found == project
    inner = project.root / "deep" / "er"
    inner.mkdir(parents=True)
    assert find_project_of(inner) == project
    dataset = find_project_of(project.root / "dataset.json")
    assert dataset is not None
    assert dataset.dataset_path == project.dataset_path
    assert find_project_of(tmp_path) is None
    with pytest.raises(ProjectError, match="no such file"):
        find_project_of(tmp_path / "nothing")


def test_the_footer_of_an_editor_names_no_letters_of_others(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        assert "P plan" in shown(bench)[-1]
        await pilot.press("e")
        while "esc done" not in shown(bench)[-1]:
            await pilot.pause(0.02)
        assert "P plan" not in shown(bench)[-1]

    run_app(bench, steps, size=HUGE)
