"""Fixes from the doctor's screen, and what the workbench does about them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.events import Notice
from engine.health.findings_file import kept_findings
from engine.overview.file import table_of
from engine.project import Project, load_project
from ltx_tui.app import Workbench
from ltx_tui.clips.checkup import Checkup, Order
from ltx_tui.clips.store import Store
from ltx_tui.screens.choice import Choice
from ltx_tui.screens.confirm import Confirm
from ltx_tui.screens.doctor import DoctorScreen
from tests.tui.conftest import (
    make_bench,
    ready,
    run_app,
    screen_of,
    shown,
    still,
)
from tests.tui.rows import make_overview, make_row
from tests.tui.ward import FOUND, Child, Ward, ended, finding, opened, text, toasts, until


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Ward:
    made = Ward()
    monkeypatch.setattr("ltx_tui.clips.checkup.ClipChild", made.child)
    return made


# Fixing


@pytest.mark.parametrize("key", ["f", "x"])
def test_fixing_one_asks_first_and_reads_the_dataset_again(
    bench: Workbench, ward: Ward, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    loads: list[Store] = []
    saves: list[object] = []

    async def load(store: Store) -> None:
        loads.append(store)

    async def save(captions: object) -> None:
        saves.append(captions)

    monkeypatch.setattr(Store, "load", load)
    monkeypatch.setattr("ltx_tui.captions.editing.Captions.save", save)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "j")
        before, saved = len(loads), len(saves)
        await pilot.press(key)
        assert isinstance(bench.screen, Confirm)
        await still(pilot)
        for words in (
            "Fix vfr of scene-0001.mp4",
            "write a proxy at a constant rate, beside the clip, with",
            "the clip itself stays as it is, and can be named again",
            "enter fix · esc back",
        ):
            assert words in text(bench)
        await pilot.press("escape")
        assert len(ward.asked) == 1
        ward.findings = FOUND[2:]
        await pilot.press(key, "enter")
        await until(pilot, lambda: len(loads) > before)
        asked = ward.asked[-1]
        assert (asked.fix, asked.only, asked.undo) == (("vfr",), ("scene-0001.mp4",), False)
        assert len(saves) > saved
        assert "1 clip mended" in toasts(bench)
        assert screen.view.count == len(FOUND) - 2

    run_app(bench, steps)


def test_the_clip_in_hand_and_marks_follow_new_names(
    bench: Workbench, project: Project, ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(store: Store) -> None:
        if ward.asked:
            names = [f"scene-{n:04}{'_proxy' if n in (1, 3) else ''}.mp4" for n in range(6)]
            rows = [make_row(n, name=name) for n, name in enumerate(names)]
            store.take(table_of(make_overview(rows)))

    monkeypatch.setattr(Store, "load", load)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        store = screen.desk.store
        store.mark(["scene-0001.mp4", "scene-0002.mp4", "scene-0003.mp4"])
        screen.clips.go_to("scene-0003.mp4")
        await opened(pilot, "j", "j", "F", "enter")
        await until(pilot, lambda: store.find("scene-0003_proxy.mp4") is not None)
        await pilot.press("escape")
        await still(pilot)
        assert screen.clips.clip == "scene-0003_proxy.mp4"
        assert store.marked == {"scene-0001_proxy.mp4", "scene-0002.mp4", "scene-0003_proxy.mp4"}

    run_app(bench, steps)


def test_fixing_all_of_a_kind_or_those_that_are_shown(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "j", "F")
        await still(pilot)
        assert "Fix vfr of 2 clips" in text(bench)
        assert "write 2 proxies at a constant rate, beside the clips" in text(bench)
        await pilot.press("enter")
        await until(pilot, lambda: len(ward.asked) == 2 and screen.checkup.order is None)
        assert ward.asked[-1].only == ("scene-0001.mp4", "scene-0003.mp4")
        assert "2 clips mended" in toasts(bench)
        await pilot.press("slash", *"29.5", "enter", "F", "y")
        await until(pilot, lambda: len(ward.asked) == 3)
        assert ward.asked[-1].only == ("scene-0003.mp4",)

    run_app(bench, steps)


def test_what_no_proxy_mends_is_said(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "f", "F")
        assert isinstance(bench.screen, DoctorScreen)
        said = "no proxy mends this: add a bucket such as 960x544x17, or take the clip out"
        assert said in toasts(bench)
        assert len(ward.asked) == 1

    run_app(bench, steps)


def test_a_clip_that_was_not_mended_says_why(bench: Workbench, ward: Ward) -> None:
    ward.failure = {"scene-0005.mp4": "there is no room"}

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "f", "enter")
        await until(pilot, lambda: screen.checkup.failures)
        await still(pilot)
        assert "✗ not mended: there is no room → mend it" in text(bench)
        assert "scene-0005.mp4 not mended: there is no room" in toasts(bench)

    run_app(bench, steps)


def test_fixes_wait_for_one_another_and_go_on_when_the_screen_is_left(
    bench: Workbench, ward: Ward
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        ward.gate.clear()
        await pilot.press("f", "enter", "j", "j", "f", "enter")
        await until(pilot, lambda: len(ward.asked) == 2)
        await still(pilot)
        assert re.search(r"writing proxies [01]/1$", shown(bench)[0])
        await pilot.press("escape")
        await still(pilot)
        assert "mending goes on; what comes of it is told" in toasts(bench)
        assert bench.screen is screen_of(bench)
        assert ward.cancelled == []
        ward.gate.set()
        await until(pilot, lambda: len(ward.asked) == 3)
        await until(pilot, lambda: toasts(bench).count("1 clip mended") == 2)
        assert [one.fix for one in ward.asked] == [(), ("hdr",), ("vfr",)]
        assert screen.checkup.order is None

    run_app(bench, steps)


def test_a_fix_does_not_wait_for_a_look(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        ward.gate.clear()
        await pilot.press("f5")
        await until(pilot, lambda: len(ward.asked) == 2)
        await pilot.press("f", "enter")
        await until(pilot, lambda: len(ward.asked) == 3)
        assert ward.cancelled == [ward.asked[1]]
        await pilot.press("c")
        await until(pilot, lambda: screen.checkup.order is None)
        # Its row has another file, and nobody looked at that.
        assert [one.row for one in screen.checkup.findings] == [0, 1, 1, 3, 3, 4, None]
        assert not screen.checkup.is_fresh

    run_app(bench, steps)


def test_undoing_fixes(project: Project, quiet: None, ward: Ward) -> None:
    rows = [
        make_row(n, name=f"scene-{n:04}{'_proxy' if n in (1, 3) else ''}.mp4") for n in range(5)
    ]
    bench = make_bench(project, rows)  # type: ignore[arg-type]
    ward.findings = (finding(1, "rotated", "note", clip="scene-0001_proxy.mp4"), FOUND[0])

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "u")
        await still(pilot)
        # The cursor is on a clip without a proxy.
        assert "Undo the fix of all 2 clips with a proxy" in text(bench)
        assert "let the dataset name the clips themselves again" in text(bench)
        await pilot.press("escape", "j", "u")
        assert isinstance(bench.screen, Choice)
        await pilot.press("escape", "u", "enter", "enter")
        await until(pilot, lambda: len(ward.asked) == 2 and screen.checkup.order is None)
        assert (ward.asked[-1].undo, ward.asked[-1].only) == (True, ("scene-0001_proxy.mp4",))
        assert "1 clip given back" in toasts(bench)
        await pilot.press("u", "j", "enter", "enter")
        await until(pilot, lambda: len(ward.asked) == 3 and screen.checkup.order is None)
        assert (ward.asked[-1].undo, ward.asked[-1].only) == (True, ())
        assert "nothing to give back" in toasts(bench)

    run_app(bench, steps)


def test_what_was_mended_last_can_be_undone_together(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "j", "F", "enter")
        await until(pilot, lambda: screen.checkup.fixed)
        names = ["scene-0001_proxy.mp4", "scene-0003_proxy.mp4", "other_proxy.mp4"]
        screen.store.table.names[:3] = names
        await pilot.press("u")
        await still(pilot)
        assert "2 clips mended last" in text(bench)
        assert "all 3 clips with a proxy" in text(bench)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: len(ward.asked) == 3)
        assert ward.asked[-1].only == ("scene-0001_proxy.mp4", "scene-0003_proxy.mp4")

    run_app(bench, steps)


def test_what_a_child_says_on_the_way_is_told(project: Project, ward: Ward) -> None:
    async def nothing() -> None:
        return None

    async def run() -> list[str]:
        checkup = Checkup(project, save=nothing)

        async def events(_child: object) -> AsyncGenerator[object]:
            yield Notice(level="warning", text="a row was changed meanwhile")
            yield ended()

        Child.events, before = events, Child.events  # type: ignore[method-assign, assignment]
        try:
            await checkup.mend(Order(fix=("vfr",)))
            assert checkup._task is not None
            await checkup._task
        finally:
            Child.events = before  # type: ignore[method-assign]
        return checkup.take_said()

    assert asyncio.run(run()) == ["a row was changed meanwhile", "nothing to mend"]


def test_closing_stops_what_is_done(project: Project, ward: Ward) -> None:
    async def nothing() -> None:
        return None

    async def run() -> None:
        ward.gate.clear()
        checkup = Checkup(project, save=nothing)
        await checkup.mend(Order(fix=("vfr",), only=("scene-0001.mp4",)))
        await checkup.mend(Order(fix=("hdr",), only=("scene-0005.mp4",)))
        begins = asyncio.Event()
        checkup.subscribe(lambda what: begins.set() if what == "progress" else None)
        while str(checkup.progress)[:7] != "writing":
            await begins.wait()
            begins.clear()
        await checkup.close()
        assert checkup.order is None
        assert [one.clip for one in checkup.fixed] == ["scene-0001_proxy.mp4"]

    asyncio.run(run())
    assert len(ward.asked) == 1


# The real child


def test_the_real_child_looks_mends_and_undoes(tmp_path: Path) -> None:
    from tests.media_clips import make_video
    from tests.unit.health.conftest import barred, moving

    make_video(tmp_path / "bars.mp4", [barred(one, top=8, bottom=8) for one in moving(12)])
    rows = [{"media_path": "bars.mp4", "caption": "A rabbit."}]
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    (tmp_path / "project.toml").write_text(
        '[dataset]\npath = "dataset.json"\n[video]\nbuckets = "64x32x9"\n'
        '[clips]\n"bars.mp4" = "64x32x9"\n'
    )
    project = load_project(tmp_path / "project.toml")

    async def nothing() -> None:
        return None

    async def run() -> None:
        checkup = Checkup(project, save=nothing)
        told: list[str] = []
        checkup.subscribe(told.append)

        async def done() -> list[str]:
            assert checkup._task is not None
            await checkup._task
            assert checkup.fault is None
            return [one.code for one in checkup.findings]

        checkup.look()
        assert await done() == ["borders"]
        assert "mended" not in told
        kept = kept_findings(project)
        assert kept is not None
        assert kept.findings == checkup.findings
        await checkup.mend(Order(fix=("borders",), only=("bars.mp4",)))
        assert "borders" not in await done()
        assert (tmp_path / "bars_proxy.mp4").is_file()
        assert '"bars_proxy.mp4" = "64x32x9"' in (tmp_path / "project.toml").read_text()
        assert checkup.take_said() == ["1 clip mended"]
        assert "mended" in told
        await checkup.mend(Order(undo=True, only=("bars_proxy.mp4",)))
        assert await done() == ["borders"]
        assert json.loads((tmp_path / "dataset.json").read_text())[0]["media_path"] == "bars.mp4"
        assert checkup.take_said() == ["1 clip given back"]

    asyncio.run(run())
