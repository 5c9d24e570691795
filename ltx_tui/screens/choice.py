"""A short list to choose one thing from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from engine.text import visible
from ltx_tui.screens.dialog import Dialog
from ltx_tui.widgets.lines import Lines


class _Options(Lines):
    """The things."""

    def __init__(self, options: Sequence[str], now: str) -> None:
        super().__init__(id="options")
        self.options = list(options)
        self._now = now

    def count(self) -> int:
        """Return how many there are."""
        return len(self.options)

    def text(self, index: int, width: int) -> Text:  # noqa: ARG002 - as all lists
        """Return one, and whether it is chosen now."""
        option = self.options[index]
        now = "  now" if option == self._now else ""
        return Text.assemble(f" {visible(option) or 'empty'}", (now, Style(dim=True)))


class Choice(Dialog[int | None]):
    """Ends with the number of what was chosen, or None."""

    DEFAULT_CSS = """
    Choice {
        #box { width: auto; min-width: 30; max-width: 90%; padding: 0; }
        #options { width: 40; height: auto; max-height: 16; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", show=False),
        Binding("enter", "take", show=False),
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
    ]

    def __init__(self, title: str, options: Sequence[str], now: str = "") -> None:
        """Offer some things.

        Args:
            title: What they are.
            options: Their names.
            now: The one that is chosen so far.
        """
        super().__init__()
        self._title = title
        self._list = _Options(options, now)

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with Vertical(id="box") as box:
            box.border_title = Text(visible(self._title))
            box.border_subtitle = "enter take · esc back"
            yield self._list

    def on_mount(self) -> None:
        """Begin with what is chosen so far."""
        if self._list._now in self._list.options:
            self._list.move_to(self._list.options.index(self._list._now))

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Take what was clicked twice."""
        self.dismiss(event.index)

    def action_move(self, by: int) -> None:
        """Choose another one."""
        self._list.move(by)

    def action_take(self) -> None:
        """Take it."""
        self.dismiss(self._list.cursor)

    def action_close(self) -> None:
        """Take none."""
        self.dismiss(None)
