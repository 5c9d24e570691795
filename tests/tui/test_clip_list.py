import pytest
from rich.cells import cell_len

from engine.events import ClipStarted
from engine.overview.file import table_of
from engine.overview.types import CaptionState, OutputState, StageState
from engine.worker.protocol import Told
from engine.worker.spec import Fault
from ltx_tui.clips.columns import Column, cells, fitted_name, layout, legend, shortened
from ltx_tui.clips.sorting import COLUMNS
from ltx_tui.commands.registry import commands
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.widgets.clip_list import ClipList
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, make_project, shown
from tests.tui.lists import start
from tests.tui.rows import make_overview, make_row, store_of


def names(heard, kind):
    return [message.name for message in heard if type(message) is kind]


def test_moving_tells_which_clip_is_under_the_cursor():
    async def steps(pilot, panel, heard):
        await pilot.press("j")
        await pilot.pause(0.2)
        await pilot.press("down", "down", "k")
        await pilot.pause(0.2)
        await pilot.press("G")
        await pilot.pause(0.2)
        await pilot.press("j", "g", "k")
        await pilot.pause(0.2)
        found = names(heard, ClipList.Selected)
        # While keys come fast the others hear of where the cursor comes to rest.
        assert found[:2] == ["scene-0000.mp4", "scene-0001.mp4"]
        assert found[-2:] == ["scene-0199.mp4", "scene-0000.mp4"]
        assert panel.clip == "scene-0000.mp4"
        assert panel.rows.scroll_offset.y == 0

    start(store_of(200), steps)


def test_pages_scroll_and_keep_the_cursor_in_sight():
    async def steps(pilot, panel, heard):
        page = panel.rows.page
        await pilot.press("ctrl+d", "pagedown")
        assert panel.rows.cursor == 2 * page
        top = panel.rows.scroll_offset.y
        assert top <= panel.rows.cursor < top + panel.rows.size.height
        await pilot.press("ctrl+u")
        assert panel.rows.cursor == page
        assert "▸ scene-0022.mp4" in " ".join(shown(pilot.app))

    start(store_of(200), steps)


def test_marks():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("space", "space", "k")
        assert store.marked == {"scene-0000.mp4", "scene-0001.mp4"}
        assert panel.rows.cursor == 1
        await pilot.press("space")
        assert store.marked == {"scene-0000.mp4"}
        await pilot.press("j", "j", "V")
        assert store.marked == {f"scene-000{number}.mp4" for number in (0, 1, 2, 3, 4)}
        assert "◆" in shown(pilot.app)[1]
        assert panel.chosen == tuple(f"scene-000{number}.mp4" for number in range(5))
        await pilot.press("A")
        assert store.marked == set()
        await pilot.press("slash", *"bucket:none", "enter", "a")
        assert len(store.marked) == len(store.shown) == 6
        await pilot.press("escape")
        assert len(store.shown) == 20

    start(store, steps)


def test_sorting_goes_through_the_columns_and_keeps_the_clip():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("j", "j", "j")
        for column in COLUMNS:
            await pilot.press("s")
            assert store.sort == column
            assert panel.clip == "scene-0003.mp4"
        await pilot.press("s")
        assert store.sort == ""
        await pilot.press("S")
        assert store.is_reversed
        assert panel.rows.cursor == 16
        await pilot.press("s", "s")
        assert "len▲" in shown(pilot.app)[0]
        await pilot.press("S")
        assert "len▼" in shown(pilot.app)[0]

    start(store, steps)


def test_a_click_on_a_title_sorts_and_a_second_turns_around():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        place = shown(pilot.app)[0].index("bucket")
        await pilot.click(panel.header, offset=(place, 0))
        assert (store.sort, store.is_reversed) == ("bucket", False)
        await pilot.click(panel.header, offset=(place + 2, 0))
        assert (store.sort, store.is_reversed) == ("bucket", True)

    start(store, steps)


def test_what_is_wanted_of_clips_is_told_with_their_names():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("j", "r", "b", "x", "e", "enter")
        store.mark(["scene-0007.mp4", "scene-0003.mp4"])
        await pilot.press("r", "b", "x")

    heard = start(store, steps)
    one, two = ("scene-0001.mp4",), ("scene-0003.mp4", "scene-0007.mp4")
    for kind in (ClipList.Reviewed, ClipList.ChooseBucket, ClipList.RunMarked):
        assert [message.names for message in heard if type(message) is kind] == [one, two]
    assert names(heard, ClipList.Edit) == ["scene-0001.mp4"] * 2


def test_nothing_is_wanted_where_there_is_no_clip():
    async def steps(pilot, panel, heard):
        await pilot.press("r", "b", "x", "e", "j", "G", "space", "V", "y", "n", "s", "a")
        assert panel.clip == ""
        assert panel.chosen == ()

    heard = start(store_of(0), steps)
    assert not [message for message in heard if isinstance(message, ClipList.Wanted)]


def test_unreviewed_captions_are_gone_through_and_from_the_end_begin_again():
    states = [CaptionState.REVIEWED] * 6
    states[1], states[4] = CaptionState.AUTO, CaptionState.NONE
    rows = [make_row(number, caption_state=state) for number, state in enumerate(states)]

    async def steps(pilot, panel, heard):
        places = []
        for key in ("n", "n", "n", "N"):
            await pilot.press(key)
            places.append(panel.rows.cursor)
        assert places == [1, 4, 1, 4]
        panel.store.update_row("scene-0001.mp4", caption_state=CaptionState.REVIEWED)
        panel.store.update_row("scene-0004.mp4", caption_state=CaptionState.REVIEWED)
        await pilot.press("g", "n")
        assert panel.rows.cursor == 0

    start(store_of(rows), steps)


def test_the_path_is_copied(monkeypatch):
    copied = []

    async def steps(pilot, panel, heard):
        async def copy(text):
            copied.append(text)

        monkeypatch.setattr(pilot.app, "copy", copy)
        await pilot.press("j", "y")

    start(store_of(3), steps)
    assert copied == ["/data/scene-0001.mp4"]


def test_every_command_of_the_list_is_done_by_it():
    assert all(hasattr(ClipList, one.method) for one in commands("clips"))


def test_no_clip_matches():
    async def steps(pilot, panel, heard):
        await pilot.press("slash", *"zzz", "enter")
        await pilot.pause()
        text = "\n".join(shown(pilot.app))
        assert "None of 20 clips matches /zzz" in text
        assert "escape shows all of them" in text
        assert names(heard, ClipList.Selected)[-1] == ""

    start(store_of(20), steps)


# What is drawn


def test_only_lines_that_changed_are_drawn_again():
    store = store_of(200)

    async def steps(pilot, panel, heard):
        await pilot.pause(0.2)
        drawn, line = [], panel.rows.render_line
        panel.rows.render_line = lambda y: drawn.append(y) or line(y)
        store.apply(Told(job=1, event=ClipStarted(stage="latents", clip="scene-0005.mp4", row=5)))
        store.apply(Told(job=1, event=ClipStarted(stage="latents", clip="scene-0150.mp4", row=150)))
        await pilot.pause(0.2)
        assert drawn == [5]
        assert "▶ running" in shown(pilot.app)[6]

    start(store, steps)


def test_a_cleared_row_leaves_when_the_cursor_is_elsewhere():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("slash", *"caption:auto", "enter")
        first, second = store.shown[:2]
        for index in (first, second):
            store.update_row(store.get(index).name, caption_state=CaptionState.REVIEWED)
        panel._settle_now()
        assert first in store.shown
        assert second not in store.shown
        assert panel.rows.index == first

    start(store, steps)


def test_a_fault_is_said_below_what_was_kept():
    store = store_of(3)

    async def steps(pilot, panel, heard):
        store.fault = Fault(kind="DatasetError", message="no JSON", remedy="mend it", file="d.json")
        store._tell(None)
        await pilot.pause()
        assert "✗ d.json: no JSON — mend it — f5 tries again" in "\n".join(shown(pilot.app))
        assert heard[-1].text == "3 clips · as it was last time"

    start(store, steps)


def test_an_empty_list_says_why(tmp_path):
    store = store_of(0, project=make_project(tmp_path / "p"))

    async def steps(pilot, panel, heard):
        assert "dataset.json has no clips yet" in "\n".join(shown(pilot.app))
        store.fault = Fault(kind="DatasetError", message="no JSON", remedy="mend it", file="d.json")
        store._tell(None)
        await pilot.pause()
        assert "d.json: no JSON" in "\n".join(shown(pilot.app))

    start(store, steps)


def test_where_the_user_was_is_restored():
    store = store_of(200)

    async def steps(pilot, panel, heard):
        panel.restore(clip="scene-0091.mp4", text="audio:yes", sort="name", reverse=True, scroll=60)
        await pilot.pause()
        assert panel.clip == "scene-0091.mp4"
        assert (store.filter.text, store.sort, store.is_reversed) == ("audio:yes", "name", True)
        panel.restore(clip="gone.mp4", text="no:filter", sort="colour")
        await pilot.pause()
        assert store.filter.text == ""

    start(store, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_how_it_looks(size):
    rows = [make_row(number) for number in range(30)]
    rows[1] = make_row(1, name="a folder/of its own/with a rather long name of a clip.mp4")
    rows[2] = make_row(2, name="bad\x1b[31mname\u202e.mp4")
    rows[3] = make_row(3, seconds=754.0, name="雪の中のうさぎ.mp4")
    rows[4] = make_row(4, seconds=0.0, size=(0, 0), fps=0.0, bucket="", stages=())
    store = store_of(rows)

    async def steps(pilot, panel, heard):
        await pilot.press("j", "space", "slash", *"-name:scene-0011*", "enter")
        await pilot.pause()
        assert_snapshot(pilot.app, f"clips-{size[0]}x{size[1]}")

    start(store, steps, size=size)


# Columns


@pytest.mark.parametrize("how", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [30, 38, 44, 52, 60, 61, 79, 80, 99, 120, 160, 200])
def test_columns_fill_the_width_and_every_cell_is_as_wide_as_its_column(width, how):
    found = layout(width, how)
    assert {"name", "caption", "outputs"} <= {column.name for column in found.columns}
    total = 2 + sum(column.width for column in found.columns) + 2 * (len(found.columns) - 1)
    assert total <= width
    rows = [make_row(number) for number in range(12)]
    rows.append(make_row(12, name="雪の中のうさぎ" * 9, bucket="12345x12345x12345", seconds=4000.0))
    rows.append(make_row(13, stages=(StageState("latents", OutputState.FAILED, "雪" * 90),)))
    for row in rows:
        for column in found.columns:
            words = "".join(text for text, _ in cells(row, column, how))
            assert cell_len(words) == column.width, (column, words)
            assert how is UNICODE or row.row > 11 or words.isascii()


def test_wider_lists_say_more():
    assert [column.name for column in layout(52).columns] == [
        "name",
        "length",
        "bucket",
        "caption",
        "outputs",
    ]
    # Suspicion comes with the scores; see test_suspicion.
    assert {column.name for column in layout(140).columns} == set(COLUMNS) - {"suspicion"}
    widths = [{column.name: column.width for column in layout(at).columns} for at in (80, 200)]
    assert widths[1]["outputs"] > widths[0]["outputs"]


def test_every_state_has_a_sign_of_its_own():
    for how in (UNICODE, ASCII):
        captions = [sign for (sign, _), what in legend(how) if what.startswith("caption")]
        outputs = [sign for (sign, _), what in legend(how) if what.startswith("output")]
        assert len(set(captions)) == len(CaptionState)
        assert len(set(outputs)) == len(OutputState)
        assert all(cell_len(sign) == 1 for sign in captions + outputs)


def test_of_a_long_name_the_end_is_kept():
    assert fitted_name("a/b/scene.mp4", 12) == "…/scene.mp4 "
    assert fitted_name("a/b/a-very-long-scene.mp4", 12) == "…g-scene.mp4"
    assert fitted_name("short.mp4", 12) == "short.mp4   "


def test_texts_are_shortened_between_words():
    assert shortened("caption edited by hand", 17) == "caption edited …"
    assert shortened("caption edited", 14) == "caption edited"
    assert shortened("unbreakable", 6) == "unbre…"


def test_an_overview_that_comes_later_keeps_the_clip_and_the_scroll():
    store = store_of(200)

    async def steps(pilot, panel, heard):
        await pilot.press("G", "k", "k")
        rows = [make_row(number, name=f"scene-{number + 5:04}.mp4") for number in range(195)]
        store.take(table_of(make_overview(rows)))
        await pilot.pause()
        assert panel.clip == "scene-0197.mp4"
        assert panel.rows.cursor == 192

    start(store, steps)


@pytest.mark.parametrize(
    ("why", "said"),
    [("caption edited", "◐ stale: caption …"), ("the output was changed", "◐ stale")],
)
def test_the_beginning_of_a_reason_that_says_nothing_is_left_out(why: str, said: str) -> None:
    row = make_row(0, stages=(StageState("latents", OutputState.STALE, why),))
    parts = cells(row, Column("outputs", "outputs", 20))
    assert "".join(text for text, _ in parts).rstrip() == said
