"""The line in which a filter is typed."""

from textual.widgets import Input

from tests.tui.conftest import shown
from tests.tui.lists import start
from tests.tui.rows import store_of


def test_a_filter_filters_while_it_is_typed():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("slash", *"bucket:none")
        await pilot.pause(0.25)
        assert len(store.shown) == 6
        assert "6 of 20" in shown(pilot.app)[-2]
        assert "its bucket, or none: bucket:960x544x49" in shown(pilot.app)[-1]
        await pilot.press("enter")
        await pilot.pause()
        assert panel.rows.has_focus
        assert shown(pilot.app)[-1].startswith("/bucket:none")
        assert heard[-1].text == "6 of 20 · /bucket:none"
        await pilot.press("escape")
        await pilot.pause()
        assert "bucket:none" not in shown(pilot.app)[-1]
        assert heard[-1].text == "20 clips"

    start(store, steps)


def test_a_wrong_filter_says_where_and_what_was_meant():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("slash", *"state:stal", "enter")
        await pilot.pause(0.2)
        words = "✗ column 7: 'stal' is none of its values — did you mean stale?"
        assert words in shown(pilot.app)[-1]
        assert len(store.shown) == 20
        assert not panel.rows.has_focus

    start(store, steps)


def test_escape_gives_a_filter_up():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        await pilot.press("slash", *"bucket:none", "enter")
        await pilot.press("slash", *" audio:no")
        await pilot.pause(0.25)
        assert store.filter.text == "bucket:none audio:no"
        await pilot.press("escape")
        await pilot.pause()
        assert store.filter.text == "bucket:none"
        assert shown(pilot.app)[-1].startswith("/bucket:none ")

    start(store, steps)


def test_tab_completes():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        field = pilot.app.screen.query_one("#filter-input", Input)
        await pilot.press("slash", *"st", "tab")
        await pilot.pause()
        assert field.value == "state:"
        await pilot.press("tab")
        await pilot.pause()
        assert field.value == "stage:"
        await pilot.press("l", "tab", "f", "tab", "tab")
        await pilot.pause()
        assert field.value == "stage:latents.failed"

    start(store, steps)


def test_arrows_bring_older_filters():
    store = store_of(20)

    async def steps(pilot, panel, heard):
        field = pilot.app.screen.query_one("#filter-input", Input)
        for text in ("00", "001"):
            await pilot.press("slash", *["backspace"] * 2, *text, "enter")
        await pilot.press("slash", "up", "up", "up")
        assert field.value == "00"
        await pilot.press("down")
        assert field.value == "001"
        await pilot.press("down", "down")
        assert field.value == ""

    start(store, steps)


def test_a_filter_that_hides_the_clip_begins_with_those_that_are_left():
    async def steps(pilot, panel, heard):
        await pilot.press("G", "slash", *"scene-0000", "enter")
        await pilot.pause()
        assert panel.clip == "scene-0000.mp4"

    start(store_of(200), steps)
