"""The keys of screens with a list: moving through it, and looking for words in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.widgets import Input

from ltx_tui.host import focus_now
from ltx_tui.widgets.lines import Lines

# For the BINDINGS of a screen: a line, and a page or all of the way.
LINE_KEYS: tuple[BindingType, ...] = (
    Binding("j,down", "move(1)", show=False),
    Binding("k,up", "move(-1)", show=False),
)
PAGE_KEYS: tuple[BindingType, ...] = (
    Binding("ctrl+d,pagedown", "page(1)", show=False),
    Binding("ctrl+u,pageup", "page(-1)", show=False),
    Binding("g,home", "edge(False)", show=False),
    Binding("G,end", "edge(True)", show=False),
)

if TYPE_CHECKING:
    _Mixed = DOMNode
else:
    # A DOMNode that stands first among the bases would hide the CSS of the screen beside it.
    _Mixed = object


class ListKeys(_Mixed):
    """A mix-in for what has a list: does what `LINE_KEYS` and `PAGE_KEYS` are bound to."""

    @property
    def _moved(self) -> Lines:
        """The first list that there is."""
        return self.query(Lines).first()

    def action_move(self, by: int) -> None:
        """Move by lines."""
        self._moved.move(by)

    def action_page(self, by: int) -> None:
        """Move by pages."""
        self._moved.move(by * self._moved.page)

    def action_edge(self, at_end: bool) -> None:
        """Go to the first or the last line."""
        self._moved.move(self._moved.count() * (1 if at_end else -1))


class SearchedList(ListKeys):
    """A mix-in for what has, below its list, the input `#find` for words that lines must have."""

    def do_find(self) -> None:
        """Look for words."""
        find = self.query_one("#find", Input)
        find.display = True
        focus_now(find)

    def _keep_words(self) -> None:
        """Go back to the list, to the lines with the words."""
        find = self.query_one("#find", Input)
        find.display = bool(find.value)
        focus_now(self._moved)

    def _drop_words(self) -> bool:
        """Go back to all lines; return whether words were looked for."""
        find = self.query_one("#find", Input)
        if not find.has_focus and not find.value:
            return False
        find.value = ""
        find.display = False
        focus_now(self._moved)
        return True
