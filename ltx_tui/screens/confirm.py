"""A question before something is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from engine.text import visible
from ltx_tui.drawing.signs import signs
from ltx_tui.screens.dialog import Dialog
from ltx_tui.widgets.board import Board, Item, hanging


class Confirm(Dialog[bool]):
    """Says what would be done; ends with whether it shall be."""

    DEFAULT_CSS = """
    Confirm #box { width: 68; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "end(True)", show=False),
        Binding("escape,n,q", "end(False)", show=False),
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[str],
        *,
        does: str,
        head: str | None = None,
        most: int = 0,
    ) -> None:
        """Ask.

        Args:
            title: What it is about.
            lines: What would be done, a paragraph each.
            does: What `enter` does, in a word or two.
            head: What each paragraph begins with; None for an arrow.
            most: Lines of a paragraph at most; 0 for all.
        """
        super().__init__()
        self._title, self._lines, self._does = title, lines, does
        self._head = f"{signs().arrow} " if head is None else head
        self._most = most
        self._board = Board(has_cursor=False)

    def compose(self) -> ComposeResult:
        """Yield what would be done."""
        with Vertical(id="box") as box:
            box.border_title = Text(visible(self._title))
            box.border_subtitle = f"enter {self._does} · esc back"
            yield self._board

    def on_mount(self) -> None:
        """Say it once there is room."""
        self.call_after_refresh(self._say)

    def on_resize(self) -> None:
        """Say it in lines of another width."""
        self.call_after_refresh(self._say)

    def _say(self) -> None:
        if not self.is_mounted or not self._board.room:
            return
        room, most = self._board.room, self._most
        lines = [
            Item(Text(line))
            for words in self._lines
            for line in hanging(self._head, visible(words), room, most=most)
        ]
        self._board.styles.height = len(lines)
        self._board.show(lines)

    def action_end(self, is_wanted: bool) -> None:
        """End with the answer."""
        self.dismiss(is_wanted)
