"""The line of tabs of a narrow terminal: "[1 Clips] 2 Caption  3 Buckets  4 Jobs"."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message

from engine.text import visible
from ltx_tui.drawing.colours import style
from ltx_tui.widgets.line import Line

TABS = (
    ("clips", "1 Clips"),
    ("caption", "2 Caption"),
    ("buckets", "3 Buckets"),
    ("jobs", "4 Jobs"),
)


class TabLine(Line):
    """Which pane is shown, and a word on the right about it."""

    class Picked(Message):
        """A tab was clicked.

        Attributes:
            pane: Its name.
        """

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self.pane = "clips"
        self.note = ""

    def show(self, pane: str) -> None:
        """Change the tab."""
        self.pane = pane
        self.redraw()

    def say(self, note: str) -> None:
        """Change the word on the right."""
        self.note = note
        self.redraw()

    def content(self, width: int) -> Text:
        """Return the line."""
        text = Text()
        for name, title in TABS:
            if name == self.pane:
                text.append(f"[{title}]", style(self.app, "primary", bold=True))
            else:
                text.append(f" {title} ", Style())
        note = visible(self.note)
        room = width - text.cell_len - 2
        if note and Text(note).cell_len <= room:
            text.append(note.rjust(room + 1))
        return text

    def on_click(self, event: events.Click) -> None:
        """Pick the tab under the mouse."""
        at = 0
        for name, title in TABS:
            at += len(title) + 2
            if event.x < at:
                self.post_message(self.Picked(name))
                return
