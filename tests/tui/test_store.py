import asyncio
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import (
    ClipDone,
    ClipFailed,
    ClipStarted,
    InHand,
    JobDone,
    Standing,
)
from engine.overview.file import FILE, table_of, write_overview
from engine.overview.types import CaptionState, OutputState
from engine.worker.protocol import Changed, Goodbye, Snapshot, Told
from engine.worker.spec import JobInfo, JobState
from ltx_tui.clips.sorting import COLUMNS
from ltx_tui.clips.store import Store
from tests.tui.conftest import make_project
from tests.tui.rows import counts_of, make_overview, make_row, rows_in, store_of

ONE = "scene-0001.mp4"


def state(store, name=ONE, stage="latents"):
    row = store.get(store.find(name))
    return next((one for one in row.stages if one.stage == stage), None)


def told(event):
    return Told(job=1, event=event)


def started(row=1, name=ONE):
    return told(ClipStarted(stage="latents", clip=name, row=row))


def done(row=1, name=ONE):
    return told(
        ClipDone(
            stage="latents",
            clip=name,
            row=row,
            output="x.pt",
            seconds=1.5,
            detail="stream 16",
            device="cuda:0",
            peak=1 << 30,
        )
    )


def test_rows_are_those_of_the_overview():
    store = store_of(20)
    assert rows_in(store) == [make_row(number) for number in range(20)]
    assert rows_in(store)[-1] == make_row(19)
    assert rows_in(store)[3:5] == [make_row(3), make_row(4)]
    assert (len(store), list(store.shown), store.find("scene-0007.mp4")) == (20, list(range(20)), 7)
    assert store.find("other.mp4") is None


def test_of_two_rows_with_one_name_the_first_is_found():
    store = store_of([make_row(0), make_row(1, name=ONE), make_row(2, name=ONE)])
    assert store.find(ONE) == 1


def test_counts():
    store = store_of(12)
    store.mark([ONE])
    store.set_filter("bucket:none")
    counts = counts_of(store)
    assert (counts["all"], counts["shown"], counts["marked"]) == (12, 4, 1)
    assert counts["caption.none"] == sum(row.caption_state == "none" for row in rows_in(store))
    assert counts["latents.failed"] == 2
    assert sum(counts[f"latents.{one}"] for one in OutputState) == 12


@pytest.mark.parametrize("column", COLUMNS)
def test_sorting_keeps_every_row_and_turns_around(column):
    store = store_of(40)
    store.set_sort(column)
    forward = list(store.shown)
    assert sorted(forward) == list(range(40))
    store.set_sort(column, True)
    assert list(store.shown) == forward[::-1]
    store.set_sort("")
    assert list(store.shown) == list(range(40))


def test_sorted_by_what_the_column_shows():
    store = store_of(40)
    store.set_sort("length", True)
    lengths = [store.get(index).seconds for index in store.shown]
    assert lengths == sorted(lengths, reverse=True)
    store.set_sort("bucket")
    buckets = [store.get(index).bucket for index in store.shown]
    assert buckets == sorted(buckets, key=lambda name: [int(x) for x in name.split("x") if x])
    store.set_sort("outputs")
    assert store.get(store.shown[0]).worst.state is OutputState.FAILED
    with pytest.raises(KeyError):
        store.set_sort("colour")
    assert store.sort == "outputs"


def test_observers_are_told_which_rows_changed():
    store, heard = store_of(4), []
    end = store.subscribe(heard.append)
    store.mark([ONE, "no such clip"])
    store.mark([ONE])
    store.update_row(ONE, caption="new")
    store.update_row(ONE, caption="new")
    store.update_row("no such clip", caption="new")
    assert heard == [frozenset({ONE}), frozenset({ONE})]
    store.set_filter("new")
    assert heard[-1] is None
    end()
    store.set_filter("")
    assert len(heard) == 3


def test_a_changed_caption_is_shown_counted_and_found():
    store = store_of(6)
    store.update_row(ONE, caption="A Blue\nboat", caption_state=CaptionState.DRAFT)
    row = store.get(1)
    assert (row.caption, row.caption_state) == ("A Blue\nboat", CaptionState.DRAFT)
    assert counts_of(store)["caption.draft"] == 1
    store.set_filter('text:"blue boat"')
    assert list(store.shown) == [1]
    store.set_filter('text:"red car"')
    assert 1 not in store.shown


def test_a_changed_bucket_is_found():
    store = store_of(6)
    store.update_row(ONE, bucket="64x64x9")
    store.set_filter("bucket:64x64x9")
    assert list(store.shown) == [1]


def test_a_clip_runs_and_is_done():
    store = store_of(4)
    store.apply(started())
    assert state(store).state is OutputState.RUNNING
    store.set_filter("state:running")
    assert list(store.shown) == [1]
    store.apply(done())
    row = store.get(1)
    assert state(store).state is OutputState.FRESH
    assert [(one.stage, one.seconds, one.rung, one.peak) for one in row.made] == [
        ("latents", 1.5, "stream 16", 1 << 30)
    ]


def test_a_clip_fails_with_a_reason_that_can_be_searched():
    store = store_of(4)
    store.apply(started())
    store.apply(
        told(ClipFailed(stage="latents", clip=ONE, row=1, reason="Cut short", remedy="copy it"))
    )
    assert msgspec.structs.astuple(state(store)) == ("latents", "failed", "Cut short", "copy it")
    store.set_filter("why:cut latents:failed")
    assert list(store.shown) == [1]


@pytest.mark.parametrize(
    "news",
    [
        Goodbye(reason="idle"),
        told(JobDone(done=0, fresh=0, failures=(), skipped=0, set_aside=0, seconds=1)),
        Changed(job=JobInfo(id=1, kind="encode", state=JobState.CANCELLED, stages=(), created=0)),
        Snapshot(jobs=()),
    ],
)
def test_what_does_not_run_any_more_stands_as_before(news):
    store = store_of(4)
    before = state(store)
    store.apply(started())
    assert state(store) != before
    store.apply(news)
    assert state(store) == before


def test_a_snapshot_says_what_is_in_hand_and_what_failed():
    store = store_of(4)
    store.apply(started(0, "scene-0000.mp4"))
    standing = Standing(
        in_hand=(InHand(device="cpu", stage="latents", clip=ONE, row=1),),
        failures=(ClipFailed(stage="latents", clip="scene-0002.mp4", row=2, reason="no"),),
    )
    store.apply(Snapshot(jobs=(), active=1, standing=standing))
    states = [state(store, f"scene-000{number}.mp4").state for number in range(3)]
    assert states == ["fresh", "running", "failed"]


def test_news_of_a_stage_that_the_project_does_not_ask_for():
    store = store_of(4)
    store.apply(told(ClipStarted(stage="decoded_videos", clip=ONE, row=1)))
    assert state(store, stage="decoded_videos").state is OutputState.RUNNING
    assert state(store, "scene-0002.mp4", stage="decoded_videos") is None


def test_news_find_the_clip_after_the_dataset_has_changed():
    store = store_of(4)
    store.apply(started(3, ONE))
    assert state(store).state is OutputState.RUNNING
    store.apply(started(9, "gone.mp4"))
    assert counts_of(store)["latents.running"] == 1


# What is shown while rows change


def test_a_changed_row_stays_until_things_settle():
    store = store_of(12)
    store.set_filter("caption:auto")
    first = store.shown[0]
    before = list(store.shown)
    store.update_row(store.get(first).name, caption_state=CaptionState.REVIEWED)
    assert list(store.shown) == before
    assert not store.is_settled
    store.settle(keep=first)  # the one that is edited does not go away under the editor
    assert list(store.shown) == before
    assert not store.is_settled
    store.settle()
    assert list(store.shown) == before[1:]
    assert store.is_settled


CHANGES = st.lists(
    st.tuples(st.integers(0, 39), st.sampled_from(list(CaptionState)), st.sampled_from("abc")),
    max_size=30,
)


@settings(deadline=None)
@given(CHANGES, st.sampled_from(["", *COLUMNS]), st.booleans(), st.booleans(), st.data())
def test_settling_gives_what_filtering_anew_gives(changes, column, reverse, filtered, data):
    store = store_of(40)
    store.set_filter("caption:auto,edited" if filtered else "")
    store.set_sort(column, reverse)
    for index, caption_state, text in changes:
        store.update_row(store.get(index).name, caption_state=caption_state, caption=text)
        if data.draw(st.booleans()):
            store.settle()
    store.settle()
    settled = list(store.shown)
    assert store.is_settled
    store.set_sort(column, reverse)
    assert list(store.shown) == settled


@settings(deadline=None)
@given(CHANGES, st.sampled_from(["", *COLUMNS]), st.booleans(), st.integers(0, 39))
def test_the_row_in_hand_stays_and_the_others_are_in_order(changes, column, reverse, keep):
    store = store_of(40)
    store.set_sort(column, reverse)
    place = list(store.shown).index(keep)
    for index, caption_state, text in changes:
        store.update_row(store.get(index).name, caption_state=caption_state, caption=text)
    store.settle(keep=keep)
    shown = list(store.shown)
    if not store.is_settled:
        assert shown[place] == keep
    store.set_sort(column, reverse)
    assert [i for i in shown if i != keep] == [i for i in store.shown if i != keep]


# Overviews


def test_another_overview_keeps_filter_marks_drafts_and_what_runs():
    store = store_of(6)
    store.set_filter("scene")
    store.mark([ONE, "scene-0005.mp4"])
    store.update_row(ONE, caption="typed", caption_state=CaptionState.DRAFT)
    store.update_row("scene-0002.mp4", caption="saved", caption_state=CaptionState.EDITED)
    store.apply(started())
    rows = [make_row(0, name="new.mp4"), make_row(1, name="scene-0002.mp4"), make_row(2, name=ONE)]
    store.take(table_of(make_overview(rows)))
    assert list(store.shown) == [1, 2]
    assert store.marked == {ONE}
    assert (store.get(2).caption, store.get(2).caption_state) == ("typed", CaptionState.DRAFT)
    assert store.get(1).caption == rows[1].caption
    assert state(store).state is OutputState.RUNNING
    store.apply(Goodbye(reason="idle"))
    assert state(store).state is rows[2].stages[1].state


def test_a_damaged_cache_is_as_good_as_none(tmp_path):
    project = make_project(tmp_path / "p")
    store = Store(project)
    assert not store.open_cache()
    file = project.state_dir / FILE
    write_overview(file, make_overview(3))
    assert store.open_cache()
    data = file.read_bytes()
    for cut in (0, 5, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:cut])
        assert not Store(project).open_cache()


def test_loading_shows_the_cache_and_then_what_the_child_finds(tmp_path):
    project = make_project(tmp_path / "p", ["one", ""])
    write_overview(project.state_dir / FILE, make_overview(3))

    async def run():
        store, seen = Store(project), []
        store.subscribe(lambda _: seen.append((len(store), store.is_stale, store.overview.whole)))
        await store.load()
        await store.close()
        return store, seen

    store, seen = asyncio.run(run())
    assert seen[0] == (3, False, True)  # the cache, at once
    assert (3, True, True) in seen  # found to be of other files
    assert (2, False, False) in seen  # the dataset alone
    assert seen[-1] == (2, False, True)
    assert [row.name for row in rows_in(store)] == ["clip-0.mp4", "clip-1.mp4"]
    assert [row.caption_state for row in rows_in(store)] == ["auto", "none"]
    assert store.get(0).worst.state is OutputState.BLOCKED  # the files are empty
    assert (store.fault, store.is_loading, store.scanned) == (None, False, None)


def test_a_dataset_that_cannot_be_read_is_a_fault_with_a_remedy(tmp_path):
    project = make_project(tmp_path / "p")
    project.dataset_path.write_text("[{,]")
    store = Store(project)
    asyncio.run(store.load())
    assert len(store) == 0
    assert store.fault is not None
    assert "dataset.json" in store.fault.to_error().headline
    project.dataset_path.write_text(json.dumps([{"media_path": "a.mp4", "caption": "x"}]))
    asyncio.run(store.load())
    assert (len(store), store.fault) == (1, None)


def test_what_changes_while_an_overview_is_made_is_not_undone_by_it(tmp_path):
    project = make_project(tmp_path / "p", ["one", "two"])

    async def run():
        store, begun = Store(project), []

        def change(_changes):
            if len(store) and not store.overview.whole and not begun:
                begun.append(True)
                store.update_row("clip-0.mp4", caption="saved", caption_state=CaptionState.EDITED)
                store.apply(done(1, "clip-1.mp4"))

        store.subscribe(change)
        await store.load()
        return store

    store = asyncio.run(run())
    assert store.overview.whole
    assert (store.get(0).caption, store.get(0).caption_state) == ("saved", CaptionState.EDITED)
    assert state(store, "clip-1.mp4").state is OutputState.FRESH


def test_closing_ends_the_child(tmp_path):
    project = make_project(tmp_path / "p")

    async def run():
        store, begun = Store(project), asyncio.Event()
        store.subscribe(lambda _: begun.set() if store.is_loading else None)
        loading = asyncio.create_task(store.load())
        await begun.wait()
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await loading
        return store

    assert not asyncio.run(run()).is_loading
