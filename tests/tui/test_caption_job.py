"""A job that captions, as the panes show it: in the list, in the details, among the jobs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engine.events import InHand, Standing
from engine.overview.file import FILE, table_of, write_overview
from engine.overview.types import CaptionState, OutputState
from engine.precompute.layout import CAPTIONS
from engine.project import Project
from engine.worker.protocol import Goodbye, Told
from ltx_tui.clips.live_rows import LiveRows
from tests.tui import fake_worker as fake
from tests.tui.captioner import (
    Bench,
    begun,
    caption_with,
    captions_job,
    done,
    failed,
    started,
    use_captioner,
)
from tests.tui.captioning import caption_project, keep_quiet
from tests.tui.conftest import SMALL, WIDE, assert_snapshot
from tests.tui.rows import make_overview, make_row


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    captions = ["A red fox.", "", "", "", "", "Fog."]
    return use_captioner(caption_project(tmp_path / "bunny-lora", captions))


def at_work(bench: Bench) -> None:
    """Two clips captioned, one failed, two in hand."""
    stand = bench.stand
    stand.take(fake.snapshot(captions_job(), active=7))
    stand.happen(*begun(5, fresh=1), started(1), started(2, 2))
    stand.clock.now += 6.0
    stand.happen(done(1), failed(2), started(3), started(4, 2))


def twice(root: Path) -> Project:
    """Return a project in which the second and the third row have one file."""
    project = caption_project(root, ["A red fox.", "", "", "Fog."])
    dataset = json.loads(project.dataset_path.read_text("utf-8"))
    dataset[2]["media_path"] = dataset[1]["media_path"]
    project.dataset_path.write_text(json.dumps(dataset), "utf-8")
    captions = {"caption": "", "caption_state": CaptionState.NONE}
    rows = [make_row(at, name=f"clip-{at}.mp4", **captions) for at in (0, 1, 1, 3)]
    write_overview(project.state_dir / FILE, make_overview(rows))
    return use_captioner(project)


def lines_of(bench: Bench, clip: str) -> list[str]:
    return [line for line in bench.lines if clip in line]


def line_of(bench: Bench, clip: str) -> str:
    return next(line for line in bench.lines if clip in line)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_a_job_that_captions_is_in_all_panes(project: Project, size: tuple[int, int]) -> None:
    async def steps(bench: Bench) -> None:
        at_work(bench)
        await bench.until(lambda: bench.store.get(4).captioning)
        await bench.still()
        states = [bench.store.get(n).captioning for n in range(6)]
        words = [one.state.value if one is not None else "" for one in states]
        assert words == ["", "", "failed", "running", "running", ""]
        assert "▶" in line_of(bench, "clip-3.mp4")
        assert "✗" in line_of(bench, "clip-2.mp4")
        seen = bench.screen_text
        assert "captions" in seen
        assert "2/5" in seen
        assert "40 %" in seen
        assert "3.0 s/clip" in seen
        assert "eta 9.0 s" in seen
        assert_snapshot(bench.app, f"caption-job-{size[0]}x{size[1]}")

    caption_with(project, steps, size=size)


def test_what_failed_is_in_details_and_jobs_with_what_to_do(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        at_work(bench)
        await bench.press("j", "j", "2")
        await bench.until(lambda: "not captioned: the server answered 500" in bench.screen_text)
        assert "→ try again later" in bench.screen_text
        await bench.press("escape", "4")
        await bench.still()
        seen = bench.screen_text
        assert "▶ captions  2/5" in seen
        assert "now clip-3.mp4 · call 1" in seen
        assert "1 clip failed · r tries again" in seen
        assert "captions: the server answered 500" in seen
        await bench.press("r")
        await bench.until(lambda: bench.stand.engine.asked)
        assert bench.stand.engine.asked == [("retry", 0, ())]

    caption_with(project, steps)


def test_a_clip_that_was_captioned_after_all_has_not_failed(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        at_work(bench)
        bench.stand.happen(started(2))
        await bench.until(lambda: "▶" in line_of(bench, "clip-2.mp4"))
        bench.stand.happen(failed(2))
        await bench.until(lambda: "✗" in line_of(bench, "clip-2.mp4"))
        # Whoever has a caption by now has not failed for the list.
        bench.store.update_row("clip-2.mp4", caption="Two.", caption_state=CaptionState.EDITED)
        await bench.until(lambda: "●" in line_of(bench, "clip-2.mp4"))
        bench.stand.happen(done(2))
        await bench.until(lambda: bench.store.get(2).captioning is None)

    caption_with(project, steps)


def test_of_two_rows_of_one_file_each_is_shown_as_it_stands(tmp_path: Path) -> None:
    project = twice(tmp_path / "twins")

    async def steps(bench: Bench) -> None:
        await bench.until(lambda: len(lines_of(bench, "clip-1.mp4")) == 2)
        bench.stand.take(fake.snapshot(captions_job(), active=7))
        second = msgspec.structs.replace(started(1), row=2)
        bench.stand.happen(*begun(2), second)
        await bench.until(lambda: bench.store.get(2).captioning)
        assert bench.store.get(1).captioning is None
        await bench.until(lambda: "▶" in lines_of(bench, "clip-1.mp4")[1])
        assert "▶" not in lines_of(bench, "clip-1.mp4")[0]
        # The captions of a job arrive in the dataset file.
        bench.stand.happen(msgspec.structs.replace(done(1), row=2))
        bench.change_outside(2, "The second one.")
        await bench.save()
        await bench.until(lambda: bench.store.get(2).caption == "The second one.")
        await bench.until(lambda: "◌" in lines_of(bench, "clip-1.mp4")[1])
        assert bench.store.get(1).caption == ""
        assert "◌" not in lines_of(bench, "clip-1.mp4")[0]
        # It stays so through another reading of the list.
        before = bench.store._live
        bench.store.update_row("clip-1.mp4", 1, caption="mine", caption_state=CaptionState.DRAFT)
        after = LiveRows(table_of(make_overview([before.table.row(at) for at in range(4)])))
        after.inherit(before)
        assert [after.get(at).caption for at in (1, 2)] == ["", "mine"]

    caption_with(project, steps)


def test_nothing_runs_any_more_when_the_job_ends(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        at_work(bench)
        await bench.until(lambda: bench.store.get(4).captioning)
        ended = captions_job("done", ended=9.0, result=fake.ended(7, done=4, fresh=1).result)
        bench.stand.take(fake.changed(ended))
        await bench.until(lambda: bench.store.get(4).captioning is None)
        await bench.press("4")
        await bench.still()
        seen = " ".join(bench.screen_text.split())
        assert "✓ job 7 done: 4 captioned · 1 left as they are · 42 s" in seen
        assert "w in the clips goes to the most suspicious" in seen

    caption_with(project, steps)


def test_a_job_that_waits_says_that_it_captions(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        waits = captions_job("queued", waiting="waits for job 6")
        bench.stand.take(fake.snapshot(fake.job(6), waits, active=6))
        await bench.press("4")
        await bench.until(lambda: "captions, queued · waits for job 6" in bench.screen_text)
        bench.stand.take(fake.changed(captions_job("paused", done=3)))
        await bench.until(lambda: "paused after 3 captions · p goes on" in bench.screen_text)

    caption_with(project, steps)


def test_whoever_comes_later_sees_what_is_in_hand(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        hand = InHand(device="call 1", stage=CAPTIONS, clip="clip-3.mp4", row=3, rung="")
        standing = Standing(planned=True, in_hand=(hand,), failures=(failed(1),))
        bench.stand.take(fake.snapshot(captions_job(), active=7, standing=standing))
        await bench.until(lambda: bench.store.get(3).captioning)
        states = [bench.store.get(n).captioning for n in (1, 3)]
        assert [one.state for one in states if one is not None] == [
            OutputState.FAILED,
            OutputState.RUNNING,
        ]
        # It stays through another reading of the dataset.
        before = bench.store._live
        after = LiveRows(bench.store.table)
        after.inherit(before)
        assert after.get(3).captioning == before.get(3).captioning
        assert after.get(1).captioning == before.get(1).captioning
        bench.stand.take(Goodbye(reason="it was stopped"))
        bench.store.apply(Goodbye(reason="it was stopped"))
        await bench.until(lambda: bench.store.get(3).captioning is None)

    caption_with(project, steps)


def test_outputs_are_no_captions(project: Project) -> None:
    async def steps(bench: Bench) -> None:
        bench.store.apply(Told(job=7, event=started(1)))
        row = bench.store.get(1)
        assert row.captioning is not None
        assert all(one.stage != CAPTIONS for one in row.stages)
        assert CAPTIONS not in bench.store.table.stages

    caption_with(project, steps)
