"""Asks whether a window shall be taken away, and says what would be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from engine.text import visible
from ltx_tui.widgets.board import Board, Item, hanging

# Lines of a paragraph: a caption may be long.
_MOST = 4


class WindowDialog(ModalScreen[bool]):
    """Ends with the answer."""

    DEFAULT_CSS = """
    WindowDialog {
        align: center middle;
        background: $background 60%;
        #box {
            width: 72; max-width: 96%; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        Board { height: 6; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", show=False),
        Binding("enter,y", "answer(True)", show=False),
    ]

    def __init__(self, title: str, words: Sequence[str]) -> None:
        """Ask.

        Args:
            title: The question.
            words: What would be written, a paragraph each.
        """
        super().__init__()
        self._title, self._words = title, tuple(words)
        self._board = Board(has_cursor=False)

    def compose(self) -> ComposeResult:
        """Yield the words."""
        with Vertical(id="box") as box:
            box.border_title = Text(visible(self._title))
            box.border_subtitle = "enter take away · esc back"
            yield self._board

    def on_mount(self) -> None:
        """Say what would be written."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        room = self._board.room
        lines = [
            line for one in self._words for line in hanging("", visible(one), room, most=_MOST)
        ]
        self._board.show([Item(Text(line)) for line in lines])

    def action_answer(self, yes: bool) -> None:
        """Take the answer."""
        self.dismiss(yes)
