"""The clip list alone, for tests."""

from ltx_tui.widgets.clip_list import ClipList
from tests.tui.conftest import SMALL, alone, run_app

CSS = "ClipList { border: none; }"


def start(store, steps, *, size=SMALL):
    """Run the list alone with the focus on it; return the messages that it posted."""
    heard = []
    panel = ClipList(store)
    post = panel.post_message

    def post_message(message):
        if isinstance(message, (ClipList.Selected, ClipList.Wanted, ClipList.Headline)):
            heard.append(message)
        return post(message)

    panel.post_message = post_message

    async def run(pilot):
        panel.rows.focus()
        await pilot.pause()
        await steps(pilot, panel, heard)

    run_app(alone(panel, css=CSS), run, size=size)
    return heard
