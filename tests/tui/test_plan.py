"""The plan's screen, its lines, and the child process that makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.style import Style

from engine.errors import DatasetError, EnvironmentFaultError
from engine.precompute.digest import (
    Digest,
    Estimate,
    Group,
    OrphanGroup,
    Remarks,
    StageDigest,
    digest,
)
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook, Status
from engine.project import Project
from engine.worker.scan_types import Scanning
from ltx_tui.app import Workbench
from ltx_tui.children import plan as plan_child
from ltx_tui.drawing.signs import UNICODE
from ltx_tui.screens.plan import PlanScreen
from ltx_tui.screens.plan_lines import PlanLines, size_words, time_words
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, shown
from tests.tui.fake_worker import GIB, Stand

BOTH = (Stage.CONDITIONS, Stage.LATENTS)


def group(rows: int, reason: str, stages: tuple[Stage, ...] = BOTH, remedy: str = "") -> Group:
    clips = tuple(f"clips/scene-{n:04}.mp4" for n in range(min(rows, 3)))
    return Group(
        reasons=(reason,), remedy=remedy, stages=stages, clips=clips, names=rows, rows=rows
    )


FULL = Digest(
    clips=1248,
    stages=(
        StageDigest(
            stage=Stage.CONDITIONS,
            counts={Status.FRESH: 1234, Status.STALE: 14},
            estimate=Estimate(seconds=6.2, bytes=round(0.2 * GIB)),
        ),
        StageDigest(
            stage=Stage.LATENTS,
            counts={Status.FRESH: 1100, Status.MISSING: 137, Status.BLOCKED: 11},
            estimate=Estimate(seconds=72, untimed=7, bytes=round(0.1 * GIB)),
        ),
        StageDigest(
            stage=Stage.AUDIO_LATENTS,
            counts={Status.FRESH: 996, Status.MISSING: 137, Status.SKIPPED: 115},
            estimate=Estimate(untimed=137, bytes=1 << 20),
        ),
    ),
    groups={
        Status.STALE: (group(14, "caption edited", (Stage.CONDITIONS,)),),
        Status.BLOCKED: (
            group(11, "too short: 20 frames, and the shortest bucket has 49", BOTH, "add a bucket"),
        ),
        Status.SKIPPED: (group(115, "no sound", (Stage.AUDIO_LATENTS,)),),
    },
    orphans=(OrphanGroup(reason="no clip has this output", paths=("latents/x.pt",), count=2),),
    buckets={"960x544x121": 812, "960x544x49": 301},
    warnings=("2 buckets are in use: the trainer's batch size must be 1",),
    remarks=(Remarks(text="its sound starts late", clips=("a.mp4", "b.mp4", "c.mp4"), count=9),),
    outlooks=(
        Outlook(
            stage=Stage.LATENTS,
            name="960x544x121",
            rung="one-shot",
            need=5 * GIB,
            text="one-shot 5.1 GiB, 22.0 of 24.0 GiB free",
        ),
        Outlook(
            stage=Stage.CONDITIONS,
            name="captions",
            rung="batch 8",
            need=30 * GIB,
            text="batch 8 25.1 GiB: more than the 22.0 of 24.0 GiB free",
            fits=False,
        ),
    ),
    blocked=11,
    disk_free=80 * GIB,
)
FRESH = Digest(clips=3, stages=(StageDigest(stage=Stage.LATENTS, counts={Status.FRESH: 3}),))


class Plans:
    """Stands in for the child process."""

    def __init__(self, *tells: Scanning | Digest | Exception, hold: bool = False) -> None:
        self.tells, self.hold = tells, hold
        self.asked: list[tuple[str, ...]] = []

    async def __call__(
        self, _project: Project, only: Iterable[str] = ()
    ) -> AsyncGenerator[Scanning | Digest]:
        self.asked.append(tuple(only))
        for tell in self.tells:
            if isinstance(tell, Exception):
                raise tell
            yield tell
        if self.hold:
            await asyncio.sleep(60)


def see(
    project: Project,
    plans: Plans,
    monkeypatch: pytest.MonkeyPatch,
    keys: Sequence[str] = (),
    *,
    marked: Sequence[str] = (),
    size: tuple[int, int] = SMALL,
    name: str = "",
) -> tuple[list[str], Stand, list[bool | None]]:
    """Open the screen and press keys; return what is shown and told, and how it ended."""
    monkeypatch.setattr("ltx_tui.screens.plan.plan", plans)
    ends: list[bool | None] = []

    async def run() -> tuple[list[str], Stand]:
        stand = Stand(project)
        from textual.screen import Screen

        app = Workbench(project.root, project, screen=Screen())
        async with app.run_test(size=size) as pilot:
            screen = PlanScreen(project, stand.watcher, marked, how=UNICODE)
            app.push_screen(screen, ends.append)
            await pilot.pause()
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            await pilot.pause(0.02)
            if name:
                assert_snapshot(app, name)
            lines = [*shown(app), *(one.message for one in app._notifications)]
        return lines, stand

    lines, stand = asyncio.run(run())
    return lines, stand, ends


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_shows_a_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    lines, _, _ = see(
        project, Plans(FULL), monkeypatch, size=size, name=f"plan-{size[0]}x{size[1]}"
    )
    assert "What running now would do" in lines[0]
    assert "bunny-lora" in lines[0]
    assert lines[1].split("would", 1)[1] == " encode 288 outputs and move 2 orphans away"


def plain(plan: Digest, width: int) -> list[str]:
    def paint(_role: str, *, bold: bool = False, dim: bool = False) -> Style:
        return Style(bold=bold, dim=dim)

    found = PlanLines(plan, paint, UNICODE, width).lines()
    assert max(line.cell_len for line in found) <= width
    return [line.plain.rstrip() for line in found]


def test_says_everything_that_the_command_line_does() -> None:
    lines = plain(FULL, 118)
    text = "\n".join(lines)
    for words in (
        "stage          fresh  missing  stale  blocked  skipped          time       disk",
        "conditions     1,234        0     14        0        0         6.2 s  204.8 MiB",
        "latents        1,100      137      0       11        0  1 min 12 s +  102.4 MiB",
        "about 1 min 18 s in all beside loading models, and 144 outputs of unknown time",
        "  960x544x121  one-shot 5.1 GiB, 22.0 of 24.0 GiB free",
        "⚠ captions     batch 8 25.1 GiB: more than",
        "Why stale",
        "     14  caption edited  [conditions]",
        "clips/scene-0000.mp4, clips/scene-0001.mp4, clips/scene-0002.mp4 and 11 more",
        "Why blocked",
        "     11  too short: 20 frames, and the shortest bucket has 49  [conditions, latents]",
        "→ add a bucket",
        "Why skipped",
        "Orphans: a trainer would read these",
        "      2  no clip has this output",
        "latents/x.pt and 1 more",
        "→ a run moves them to .ltx-tui/orphans",
        "960x544x121  " + "█" * 24 + "  812 clips  8,160 tokens",
        "⚠ 2 buckets are in use",
        "⚠ its sound starts late: a.mp4, b.mp4, c.mp4 and 6 more",
    ):
        assert words in text, words


@pytest.mark.parametrize("width", range(56, 122, 3))
def test_nothing_is_wider_than_the_screen(width: int) -> None:
    text = "\n".join(plain(FULL, width))
    assert "1 min 12 s +" in text
    assert "unknown" in text


def test_times_and_sizes_as_far_as_they_are_known() -> None:
    def stage(work: int, **known: Any) -> StageDigest:
        counts = {Status.MISSING: work}
        return StageDigest(stage=Stage.LATENTS, counts=counts, estimate=Estimate(**known))

    assert [time_words(stage(0)), size_words(stage(0))] == ["", ""]
    assert time_words(stage(3, untimed=3)) == "unknown"
    assert time_words(stage(3, seconds=60, untimed=1)) == "1 min 00 s +"
    assert time_words(stage(3, seconds=60)) == "1 min 00 s"
    assert size_words(stage(3, unsized=3)) == "unknown"
    assert size_words(stage(3, bytes=GIB, unsized=1)) == "1.0 GiB +"


def test_a_disk_that_is_too_small_is_told() -> None:
    import msgspec

    lines = plain(msgspec.structs.replace(FULL, disk_free=GIB // 8), 118)
    assert any(line.startswith("⚠ about 1 min 18 s") for line in lines)


def test_a_plan_without_work_and_one_without_clips(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, stand, ends = see(project, Plans(FRESH), monkeypatch, ["enter"])
    assert "✓ nothing to do: everything is fresh" in lines[1]
    assert "there is nothing to do" in lines
    assert (stand.engine.asked, ends) == ([], [])
    assert plain(Digest(clips=0, stages=()), 80) == ["the dataset has no rows"]
    blocked = Digest(
        clips=3,
        stages=(StageDigest(stage=Stage.LATENTS, counts={Status.BLOCKED: 3}),),
        blocked=3,
    )
    assert plain(blocked, 80)[0] == "⚠ nothing to do; 3 clips are blocked"


# Commands


def test_escape_goes_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert see(project, Plans(FULL), monkeypatch, ["escape"])[2] == [False]


def test_enter_runs_what_is_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltx_tui.cli.session.require", lambda *_: None)
    lines, stand, ends = see(project, Plans(FULL), monkeypatch, ["enter"])
    assert ends == [True]
    assert ("start", ()) in stand.engine.asked
    assert any("job 9 begins: all that is not fresh" in line for line in lines)


def test_what_the_settings_lack_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, stand, _ = see(project, Plans(FULL), monkeypatch, ["enter"])
    assert ("start", ()) not in stand.engine.asked
    assert any("no LTX-2 checkpoint is given" in line for line in lines)


def test_only_the_marked_clips(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltx_tui.cli.session.require", lambda *_: None)
    plans = Plans(FULL)
    lines, stand, _ = see(
        project, plans, monkeypatch, ["s", "enter"], marked=["clip-1.mp4", "clip-0.mp4"]
    )
    assert plans.asked == [(), ("clip-0.mp4", "clip-1.mp4")]
    assert ("start", ("clip-0.mp4", "clip-1.mp4")) in stand.engine.asked
    plans = Plans(FULL)
    lines, _, _ = see(project, plans, monkeypatch, ["s"], marked=["clip-1.mp4"])
    assert "1 marked clip" in lines[0]
    see(project, plans, monkeypatch, ["s", "s"], marked=["clip-1.mp4"])
    assert plans.asked[-1] == ()
    lines, _, _ = see(project, Plans(FULL), monkeypatch, ["s"])
    assert "no clip is marked: space marks one" in lines


def test_says_how_far_it_is_and_runs_nothing_before(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Plans(Scanning(120, 1248), hold=True)
    lines, stand, ends = see(project, plans, monkeypatch, ["enter"], size=WIDE)
    assert "looking at the media 120/1,248" in lines[0]
    assert "the plan is not made yet" in lines
    assert (stand.engine.asked, ends) == ([], [])


def test_what_keeps_a_plan_from_being_made_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = DatasetError("is not JSON\x07", remedy="mend it", file="dataset.json", row=3)
    lines, _, _ = see(project, Plans(fault), monkeypatch, ["enter"])
    assert lines[1].strip() == "✗ dataset.json, row 3: is not JSON\\x07"
    assert lines[2].strip() == "→ mend it"
    assert "there is no plan to run" in lines


def test_scrolls(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def see_lines(keys: Sequence[str]) -> list[str]:
        # Without the bar at the right that shows where one is.
        return [line[:78].rstrip() for line in see(project, Plans(FULL), monkeypatch, keys)[0]]

    top = see_lines([])
    down = see_lines(["j", "j"])
    assert down[1:10] == top[3:12]
    assert see_lines(["j", "k"]) == top
    end = see_lines(["G"])
    assert any("its sound starts late" in line for line in end)
    assert see_lines(["G", "g"]) == top
    assert see_lines(["ctrl+d", "ctrl+u"]) == top


# The child process


async def collect(project: Project, only: Sequence[str] = ()) -> list[Scanning | Digest]:
    return [tell async for tell in plan_child.plan(project, only)]


def test_the_child_plans_as_the_engine_does(tmp_path: Path, models: tuple[Path, Path]) -> None:
    from engine.client import Engine
    from tests.jobs import project_of
    from tests.small_set import BUCKETS, make_small_set

    project = project_of(make_small_set(tmp_path), models, video__buckets=BUCKETS)
    tells = asyncio.run(collect(project))
    assert isinstance(tells[0], Scanning)
    short = tells[-1]
    assert isinstance(short, Digest)
    wanted = digest(Engine(project).plan())
    assert (short.groups, short.buckets, short.warnings) == (
        wanted.groups,
        wanted.buckets,
        wanted.warnings,
    )
    assert [stage.counts for stage in short.stages] == [stage.counts for stage in wanted.stages]
    assert short.outlooks
    assert short.disk_free > 0
    assert all(stage.estimate.bytes for stage in short.stages)
    only = asyncio.run(collect(project, ["wide.mp4"]))[-1]
    assert isinstance(only, Digest)
    assert only.clips == 1


def test_the_childs_faults_arrive_as_they_are(project: Project) -> None:
    project.dataset_path.write_text("{")
    with pytest.raises(DatasetError) as caught:
        asyncio.run(collect(project))
    assert caught.value.file == str(project.dataset_path)


def test_a_child_that_dies_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(EnvironmentFaultError, match="ended with status"):
        asyncio.run(collect(project))


def test_closing_it_ends_the_child(project: Project) -> None:
    async def run() -> list[psutil.Process]:
        others = set(psutil.Process().children())
        plans = plan_child.plan(project)
        first = asyncio.ensure_future(anext(plans))
        children: list[psutil.Process] = []
        while not children:
            await asyncio.sleep(0.01)
            children = [one for one in psutil.Process().children() if one not in others]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await plans.aclose()
        return children

    children = asyncio.run(run())
    assert not any(child.is_running() for child in children)
