"""A caption that was changed here and in the dataset file: the user decides."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from engine.text import visible
from ltx_tui.captions.docs import Doc
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.status import written
from ltx_tui.commands.registry import Commanded
from ltx_tui.screens.diff_text import diff_text
from ltx_tui.widgets.footer import Footer


class ConflictScreen(Commanded, Screen[None]):
    """Both texts, and what lies between them."""

    SCOPE = "conflict"
    DEFAULT_CSS = """
    ConflictScreen {
        .title { height: 1; background: $panel; padding: 0 1; text-style: bold; }
        .text { height: 1fr; padding: 0 1; }
        #head { height: auto; padding: 0 1; color: $warning; }
    }
    """

    def __init__(self, captions: Captions, doc: Doc) -> None:
        super().__init__()
        self._captions = captions
        self._doc = doc

    def compose(self) -> ComposeResult:
        """Yield mine, theirs, and the difference."""
        clash = self._doc.clash
        is_gone = clash is not None and clash.is_gone
        theirs = clash.theirs if clash is not None else ""
        what = "its row is gone from" if is_gone else "it was also changed in"
        words = f"⚠ {visible(self._doc.key.name)} was edited here, and {what} the dataset file."
        yield Static(Text(written(words)), id="head")
        yield Static(Text("Mine (m)"), classes="title")
        yield self._text(Text(visible(self._doc.text, keep="\n")))
        yield Static(Text("Theirs (t)"), classes="title")
        gone = Text("no row: m adds it again, t leaves it out and keeps mine among the versions")
        yield self._text(gone if is_gone else Text(visible(theirs, keep="\n") or "empty"))
        if not is_gone:
            yield Static(Text("From mine to theirs"), classes="title")
            yield self._text(diff_text(self.app, self._doc.text, theirs))
        yield Footer()

    def _text(self, text: Text) -> VerticalScroll:
        return VerticalScroll(Static(text), classes="text", can_focus=True)

    def do_close(self) -> None:
        """Decide later."""
        self.dismiss()

    def do_mine(self) -> None:
        """Keep mine."""
        self._captions.keep_mine(self._doc)
        self.dismiss()

    async def do_theirs(self) -> None:
        """Take theirs."""
        await self._captions.take_theirs(self._doc)
        self.app.notify("yours is among the versions; ctrl+z brings it back")
        self.dismiss()

    def do_both(self) -> None:
        """Put both into the editor."""
        self._captions.take_both(self._doc)
        self.app.notify("both texts are in the editor; it is saved after your next change")
        self.dismiss()
