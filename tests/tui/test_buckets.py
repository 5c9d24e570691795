"""The pane of buckets, its dialogs, and what they write to project.toml."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from engine.buckets import Bucket, choose, parse_bucket, parse_buckets
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook
from engine.project import Project, load_project, update_project
from ltx_tui.app import Workbench
from ltx_tui.clips import bucket_counts as counts
from ltx_tui.clips.store import Store
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.widgets.buckets import Buckets
from tests.tui.bucket_rows import THREE, clip, stored
from tests.tui.conftest import SMALL, WIDE, alone, assert_snapshot, shown
from tests.tui.rows import make_overview

# After these the pane or a dialog does something.
ASKS = {"a", "e", "d", "f", "enter", "escape"}


class App(Workbench):
    """Remembers what the pane posts."""

    shows: list[str]
    changes: list[Project]

    def on_buckets_show_clips(self, event: Buckets.ShowClips) -> None:
        self.shows.append(event.filter)

    def on_buckets_changed(self, event: Buckets.Changed) -> None:
        self.changes.append(event.project)


def do(
    project: Project,
    keys: Sequence[str] = (),
    *,
    store: Store | None = None,
    size: tuple[int, int] = SMALL,
    ascii_only: bool = False,
    name: str = "",
) -> tuple[list[str], App]:
    """Press keys in the pane; return what is shown, then what was told, and the app."""
    result: list[str] = []

    async def run() -> App:
        pane = Buckets(store or stored(project), project, how=ASCII if ascii_only else UNICODE)
        app = alone(pane, project=project)
        app.__class__ = App
        assert isinstance(app, App)
        app.shows, app.changes = [], []
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            pane.board.focus()
            for key in keys:
                await pilot.press(key)
                if key in ASKS:
                    await settle(pilot)
            await settle(pilot)
            if name:
                assert_snapshot(app, name)
            result.extend(shown(app))
            result.extend(one.message for one in app._notifications)
        return app

    app = asyncio.run(run())
    return result, app


async def settle(pilot: Pilot[Any]) -> None:
    """Wait for what the pane does aside, but not for dialogs."""
    await pilot.pause()
    waiting = [one for one in pilot.app.workers if one.group == "count"]
    if waiting:
        await pilot.app.workers.wait_for_complete(waiting)
    await pilot.pause(0.02)


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_lists_buckets_with_clips_share_and_tokens(three: Project, size: tuple[int, int]) -> None:
    outlook = Outlook(
        stage=Stage.LATENTS, name="960x544x121", rung="one-shot", need=1, text="one-shot 5.1 GiB"
    )
    store = stored(three, outlooks=(outlook,))
    lines, _ = do(three, store=store, size=size, name=f"buckets-{size[0]}x{size[1]}")
    assert lines[0].split() == ["960×544×121", "█" * 24, "8", "57", "%", "8,160", "tokens"]
    assert lines[1].split()[0] == "960×544×49"
    assert lines[1].split()[2:] == ["3", "21", "%", "3,570", "tokens"]
    assert lines[2].split()[2:] == ["2", "14", "%", "8,160", "tokens"]
    assert lines[3].split()[:2] == ["too", "short"]
    assert lines[3].split()[3:] == ["1", "7", "%"]
    assert lines[4] == "1 clip whose picture is not known"
    assert lines[6] == "960×544×121  8,160 tokens · one-shot 5.1 GiB"


def test_plain_characters(three: Project) -> None:
    lines, _ = do(three, ascii_only=True)
    assert lines[0].startswith("960x544x121 ####")


def test_says_more_of_the_bucket_under_the_cursor(three: Project) -> None:
    lines, _ = do(three, "j")
    assert "960×544×49  3,570 tokens" in lines
    lines, _ = do(three, ["j", "j", "k"])
    assert "960×544×49  3,570 tokens" in lines


def test_shows_the_clips_of_a_bucket(three: Project) -> None:
    _, app = do(three, ["f", "j", "j", "j", "f"])
    assert app.shows == ["bucket:960x544x121", "bucket:none"]


def test_a_wrong_bucket_in_the_settings_is_told(project: Project) -> None:
    wrong = msgspec.structs.replace(project.video, buckets="960x540x49")
    lines, _ = do(msgspec.structs.replace(project, video=wrong))
    assert lines[0].startswith("✗ bucket 960x540x49: height 540 is not a multiple of 32")


# Dialogs


def test_adds_a_bucket_with_a_preview_of_what_moves(three: Project) -> None:
    lines, _ = do(three, ["a", *"960x544x17"], name="buckets-add-80x24")
    text = "\n".join(lines)
    assert "1,530 tokens" in text
    assert "it would get 1 clip" in text
    assert "1 clip moves; outputs made before become stale" in text
    assert "1 clip  too short → 960x544x17" in text
    lines, app = do(three, ["a", *"960x544x17", "enter"])
    assert [one.video.buckets for one in app.changes] == [f"{THREE};960x544x17"]
    assert three.file is not None
    text = three.file.read_text("utf-8")
    assert f'buckets = "{THREE};960x544x17"  # all there is room for' in text
    assert "# The rabbit." in text
    assert lines[3].startswith("960×544×17")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("960x540x49", ["height 540 is not a multiple of 32", "960x512x49 or 960x544x49"]),
        ("960x544x50", ["50 frames are not a multiple of 8 plus 1", "960x544x49 or 960x544x57"]),
        ("wide", ["'wide' is no bucket", "width x height x frames"]),
        ("960x544x49", ["960x544x49 is there already"]),
    ],
)
def test_a_bad_bucket_is_explained_and_not_taken(
    three: Project, typed: str, words: list[str]
) -> None:
    lines, app = do(three, ["a", *typed, "enter"])
    text = "\n".join(lines)
    for one in words:
        assert one in text
    assert app.changes == []


def test_escape_leaves_everything_as_it_is(three: Project) -> None:
    for key in ("a", "e", "d"):
        lines, app = do(three, [key, "escape"])
        assert app.changes == []
        assert lines[0].startswith("960×544×121")
    assert load_project(three.file or three.root).video.buckets == THREE


def test_changes_a_bucket(three: Project) -> None:
    erase = ["backspace"] * len("960x544x49")
    lines, _ = do(three, ["j", "e", *erase, *"960x544x25"])
    text = "\n".join(lines)
    assert "Change the bucket 960x544x49" in text
    assert "it would get 3 clips" in text
    assert "3 clips  960x544x49 → 960x544x25" in text
    _, app = do(three, ["j", "e", *erase, *"960x544x25", "enter"])
    assert [one.video.buckets for one in app.changes] == ["960x544x121;960x544x25;544x960x121"]


def test_deletes_a_bucket_after_saying_where_its_clips_go(three: Project) -> None:
    lines, _ = do(three, ["d"], name="buckets-delete-80x24")
    text = "\n".join(lines)
    assert "Delete the bucket 960x544x121?" in text
    assert "8 clips  960x544x121 → 960x544x49" in text
    lines, app = do(three, ["d", "enter"])
    assert [one.video.buckets for one in app.changes] == ["960x544x49;544x960x121"]
    # What is said below is of a bucket that is there.
    assert "960×544×49  3,570 tokens" in lines
    assert not any("960×544×121" in line for line in lines)


def test_the_last_bucket_stays(project: Project) -> None:
    lines, app = do(project, ["d"])
    assert any("the last bucket stays" in line for line in lines)
    assert app.changes == []


def test_too_short_can_be_neither_changed_nor_deleted(three: Project) -> None:
    lines, app = do(three, ["j", "j", "j", "e", "d"])
    assert app.changes == []
    assert lines[0].startswith("960×544×121")


def test_references_keep_their_say(three: Project) -> None:
    project = msgspec.structs.replace(
        three,
        dataset=msgspec.structs.replace(three.dataset, reference_column="ref"),
        reference=msgspec.structs.replace(three.reference, downscale=2),
    )
    lines, app = do(project, ["a", *"960x544x17", "enter"])
    assert any("needs exactly one bucket" in line for line in lines)
    assert app.changes == []


def test_what_changed_in_the_file_meanwhile_is_kept(three: Project) -> None:
    assert three.file is not None
    update_project(three.file, {"video.buckets": f"{THREE};64x64x9", "video.fps": 24})
    _, app = do(three, ["a", *"960x544x17", "enter"])
    assert [one.video.buckets for one in app.changes] == [f"{THREE};64x64x9;960x544x17"]
    assert app.changes[0].video.fps == 24


def test_a_file_that_cannot_be_read_is_told(three: Project) -> None:
    assert three.file is not None
    three.file.write_text("[video\n")
    lines, app = do(three, ["a", *"960x544x17", "enter"])
    assert any("not valid TOML" in line for line in lines)
    assert app.changes == []


def test_clips_with_their_own_bucket_are_counted_by_themselves(three: Project) -> None:
    project = msgspec.structs.replace(
        three, clips={"scene-0000.mp4": "64x64x9", "scene-0001.mp4": "64x64x9", "gone.mp4": "x"}
    )
    lines, _ = do(project)
    assert lines[0].split()[2] == "6"
    assert "64×64×9 2 clips by name" in lines


# Counting


@given(
    st.lists(
        st.tuples(st.integers(1, 200), st.integers(16, 4000), st.integers(16, 4000)), max_size=30
    ),
    st.lists(
        st.sampled_from(["64x64x9", "96x64x9", "64x96x17", "512x512x1", "960x544x121"]),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.sampled_from(["64x64x9", "32x32x1", "960x544x49"]),
)
def test_counts_and_moves_are_those_of_the_planner(
    shapes: list[tuple[int, int, int]], names: list[str], new: str
) -> None:
    buckets = parse_buckets(";".join(names))
    after = counts.changed(buckets, buckets[0], parse_bucket(new))
    stock = counts.Stock(shapes=Counter(shapes))
    wanted = Counter(choose(*shape, buckets) for shape in shapes)
    found = stock.counts(buckets)
    assert Counter(found) == wanted + Counter()
    assert sum(found.values()) == len(shapes)
    moves = stock.moves(buckets, after)
    for bucket in {*found, *stock.counts(after)}:
        gone = sum(n for (old, _), n in moves.items() if old == bucket)
        come = sum(n for (_, to), n in moves.items() if to == bucket)
        assert found.get(bucket, 0) - gone + come == stock.counts(after).get(bucket, 0)


def test_clips_that_are_blocked_otherwise_are_no_ones(three: Project) -> None:
    made = [clip(0, 149, (1920, 1080), "960x544x121"), clip(1, 149, (1920, 1080))]
    store = stored(three, made, coverage={"960x544x121": 1, "960x544x49": 0})
    stock = counts.take_stock(store.table, three)
    assert (stock.blocked, sum(stock.shapes.values())) == (1, 1)


def test_another_frame_rate_changes_how_many_frames_there_are(three: Project) -> None:
    store = stored(three, [clip(0, 240, (1920, 1080))])
    half = msgspec.structs.replace(three.video, fps=12.0)
    stock = counts.take_stock(store.table, msgspec.structs.replace(three, video=half))
    assert list(stock.shapes) == [(120, 1920, 1080)]


def test_buckets_are_replaced_in_place_added_and_taken_out() -> None:
    one, two, new = Bucket(64, 64, 9), Bucket(96, 64, 9), Bucket(32, 32, 1)
    assert counts.changed([one, two], one, new) == (new, two)
    assert counts.changed([one, two], None, new) == (one, two, new)
    assert counts.changed([one, two], one, None) == (two,)
    assert counts.changed([one, two], new, two) == (one, two)


def test_a_new_table_is_counted_anew(three: Project) -> None:
    store = stored(three)

    async def run() -> None:
        pane = Buckets(store, three, how=UNICODE)
        app = alone(pane, project=three)
        async with app.run_test(size=SMALL) as pilot:
            await settle(pilot)
            assert shown(app)[0].split()[2] == "8"
            from engine.overview.file import table_of

            store.take(table_of(make_overview([clip(0, 149, (1920, 1080))])))
            await settle(pilot)
            assert shown(app)[0].split()[2] == "1"

    asyncio.run(run())


def test_dialogs_in_a_wide_terminal(three: Project) -> None:
    do(three, ["a", *"960x540x49"], size=WIDE, name="buckets-add-120x40")
    do(three, ["d"], size=WIDE, name="buckets-delete-120x40")
