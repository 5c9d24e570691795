"""The doctor's screen: looks, moving, looking, what is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import DatasetError
from engine.health.findings_file import FILE, keep_findings, kept_findings
from engine.project import Project, update_project
from ltx_tui.app import Workbench
from ltx_tui.drawing.signs import ASCII
from ltx_tui.screens.doctor import DoctorScreen
from ltx_tui.screens.doctor_lines import FindingsView, grouped
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    ready,
    run_app,
    screen_of,
    shown,
    still,
)
from tests.tui.ward import FOUND, Ward, finding, opened, text, toasts, until


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Ward:
    made = Ward()
    monkeypatch.setattr("ltx_tui.clips.checkup.ClipChild", made.child)
    return made


# Looks


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_it_looks_as_before(bench: Workbench, ward: Ward, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "j")
        assert_snapshot(bench, f"doctor-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


def test_the_question_before_a_fix_looks_as_before(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot, "j", "j", "f")
        await still(pilot)
        assert_snapshot(bench, "doctor-fix-80x24")

    run_app(bench, steps)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (200, 60)])
def test_all_is_readable_at_any_size(bench: Workbench, ward: Ward, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        lines = shown(bench)
        title = " Doctor  bunny-lora · 2 errors, 4 warnings, 2 notes in 5 clips"
        assert lines[0].startswith(title[: size[0] - 4])
        assert lines[1].strip().startswith("✗ hdr  error · 1 clip · fix: a proxy in SDR")
        assert lines[2].split()[:3] == ["✗", "scene-0005.mp4", "HDR"]
        assert lines[2].endswith("fix")
        assert "scene-0005.mp4  row 6  ✗ error: hdr" in text(bench)
        assert "→ what helps against hdr" in text(bench)
        assert "fix: write a proxy in SDR beside it; the clip" in text(bench)
        assert all(len(line) <= size[0] for line in lines)

    run_app(bench, steps, size=size)


def test_the_worst_and_the_most_come_first() -> None:
    kinds = grouped(FOUND, "kind")
    assert [one.title for one in kinds] == [
        *("hdr", "too-short", "vfr", "audio-missing", "borders", "mixed-fps", "rotated"),
    ]
    assert [one.row for one in kinds[2].findings] == [1, 3]
    clips = grouped(FOUND, "clip")
    assert [one.title for one in clips] == [
        *("scene-0004.mp4", "scene-0005.mp4", "scene-0000.mp4", "scene-0001.mp4"),
        *("scene-0003.mp4", "the whole set"),
    ]
    assert [one.code for one in clips[3].findings] == ["vfr", "rotated"]


def test_plain_signs_and_control_characters() -> None:
    def paint(_role: str, *, bold: bool = False, dim: bool = False) -> str:
        return ""

    view = FindingsView()
    view.take([finding(0, "borders", clip="a\\x1b.mp4", text="black\x1b[31m bars")])
    lines = [view.line(at, 120, paint, ASCII).plain for at in (0, 1)]  # type: ignore[arg-type]
    assert lines[0] == " ! borders  warning · 1 clip · fix: a proxy without its bars"
    assert lines[1].split()[:2] == ["!", "a\\x1b.mp4"]
    assert "black\\x1b[31m bars -> what helps against borders" in lines[1]
    assert "\x1b" not in "".join(lines)


# Moving and choosing


def test_moving_skips_headings_and_shows_all_of_the_one_in_hand(
    bench: Workbench, ward: Ward
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot)
        for keys, row, code in (
            ([], 5, "hdr"),
            (["j"], 4, "too-short"),
            (["down"], 1, "vfr"),
            (["k"], 4, "too-short"),
            (["up"], 5, "hdr"),
            (["up"], 5, "hdr"),
            (["G"], 1, "rotated"),
            (["g"], 5, "hdr"),
            (["ctrl+d"], 1, "rotated"),
            (["ctrl+u"], 5, "hdr"),
        ):
            await pilot.press(*keys)
            one = screen.list.chosen
            assert one is not None
            assert (one.row, one.code) == (row, code), keys
        await pilot.press("j")
        await pilot.pause()
        assert "add a bucket such as 960x544x17" in text(bench)

    run_app(bench, steps)


def test_enter_goes_to_the_clip_past_the_filter(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        screen.desk.store.set_filter("name:scene-0000*")
        await pilot.press("D")
        await still(pilot)
        await pilot.press("j", "enter")
        await still(pilot)
        assert pilot.app.screen is screen
        assert screen.clips.clip == "scene-0004.mp4"
        assert screen.desk.store.filter.text == ""
        await pilot.press("D", "G", "k", "enter")
        await still(pilot)
        assert isinstance(pilot.app.screen, DoctorScreen)
        assert "this is about no single clip" in toasts(bench)

    run_app(bench, steps)


def test_grouped_by_clip_and_back_with_the_cursor_on_the_same(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "j", "s")
        assert screen.list.chosen == FOUND[1]
        assert "⚠ scene-0001.mp4  warning · 2 findings" in text(bench)
        assert "⚠ vfr            variable frame rate, 24.3" in text(bench)
        assert "○ rotated        what rotated is" in text(bench)
        await pilot.press("s")
        await still(pilot)
        assert screen.list.chosen == FOUND[1]
        assert "⚠ vfr  warning · 2 clips · fix: a proxy at a constant rate" in text(bench)

    run_app(bench, steps)


def test_only_what_has_all_the_words(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "slash", *"FIX", "space", *"rate")
        found = [one for _, one in screen.view.entries if one is not None]
        assert found == [FOUND[1], FOUND[3]]
        await pilot.press("enter", "j")
        assert screen.list.chosen == FOUND[3]
        await still(pilot)
        assert "· /FIX rate" in shown(bench)[0]
        await pilot.press("slash", *"zz")
        await still(pilot)
        assert "no finding has 'zz'" in text(bench)
        await pilot.press("escape")
        await still(pilot)
        assert len(screen.view.entries) == 15
        assert bench.screen is screen
        await pilot.press("escape")
        assert bench.screen is screen_of(bench)

    run_app(bench, steps)


# Looking


def test_how_far_it_is_and_leaving_stops_looking(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        ward.gate.clear()
        await opened(pilot)
        assert re.search(r"looking at the clips [01]/6$", shown(bench)[0])
        assert "looking; what is found comes in the end" in shown(bench)[1]
        await pilot.press("f5")
        assert len(ward.asked) == 1
        await pilot.press("D")
        await until(pilot, lambda: ward.cancelled)
        checkup = screen_of(bench).desk.checkup
        await until(pilot, lambda: checkup.order is None)
        assert (checkup.findings, checkup.when) == ((), None)
        ward.gate.set()
        screen = await opened(pilot)
        assert screen.view.count == len(FOUND)
        assert len(ward.asked) == 2

    run_app(bench, steps)


def test_looking_again_keeps_the_cursor(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, "j", "j")
        ward.findings = (finding(0, "unreadable", "error"), *FOUND)
        await pilot.press("f5")
        await until(pilot, lambda: screen.view.count > len(FOUND))
        assert screen.list.chosen == FOUND[1]
        ward.findings = ()
        await pilot.press("f5")
        await until(pilot, lambda: not screen.view.count)
        await still(pilot)
        assert "✓ nothing found" in text(bench)
        await pilot.press("f", "F", "enter", "c", "u", "j")
        assert {"no finding", "nothing is being done", "no clip has a proxy"} <= set(toasts(bench))

    run_app(bench, steps)


def test_stopping(bench: Workbench, ward: Ward) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        ward.gate.clear()
        screen = await opened(pilot, "c")
        assert len(ward.cancelled) == 1
        assert "not looked yet" in text(bench)
        assert screen.checkup.order is None

    run_app(bench, steps)


def test_why_nothing_can_be_found(bench: Workbench, ward: Ward) -> None:
    ward.fault = DatasetError("is not JSON\x07", remedy="mend it", file="dataset.json", row=3)

    async def steps(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        assert "✗ dataset.json, row 3: is not JSON\\x07" in shown(bench)[1]
        assert "→ mend it" in shown(bench)[2]
        assert shown(bench)[0].endswith("the look failed")

    run_app(bench, steps)


# What is kept


def test_what_was_found_the_last_time_is_there_at_once(
    bench: Workbench, project: Project, ward: Ward
) -> None:
    keep_findings(project, FOUND)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        desk = screen.desk
        await until(pilot, lambda: desk.checkup.findings)
        await pilot.press("j", "2")
        await still(pilot)
        assert "doctor" in text(bench)
        assert "⚠ variable frame rate, 24.3 a second in the mean" in text(bench)
        assert "→ what helps against vfr" in text(bench)
        assert "→ the doctor can write a proxy at a constant rate" in text(bench)
        assert ward.asked == []
        await pilot.press("escape")
        ward.fault = DatasetError("is not JSON")
        doctor = await opened(pilot)
        assert doctor.view.count == len(FOUND)
        assert shown(bench)[0].endswith("the look failed")
        ward.fault = None
        ward.gate.clear()
        await pilot.press("f5")
        await still(pilot)
        assert re.search(r"looking at the clips [01]/6$", shown(bench)[0])
        await pilot.press("c")
        await still(pilot)
        assert shown(bench)[0].endswith("found just now")

    run_app(bench, steps)


def test_the_file_of_findings(project: Project) -> None:
    assert kept_findings(project) is None
    keep_findings(project, FOUND)
    report = kept_findings(project)
    assert report is not None
    assert report.findings == FOUND
    assert project.file is not None
    other = update_project(project.file, {"dataset.path": "other.json"})
    assert kept_findings(other) is None
    (project.state_dir / FILE).write_bytes(b"\x00rubbish")
    assert kept_findings(project) is None
