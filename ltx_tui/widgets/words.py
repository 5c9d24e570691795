"""A line of words, with a few more at its end."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text

from ltx_tui.widgets.line import Line


class Words(Line):
    """A line that says something, and something else at its end."""

    DEFAULT_CSS = """
    Words.title { background: $panel; }
    """

    def __init__(self, *, id: str, classes: str = "") -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._text, self._end = Text(), ""

    def say(self, text: Text, end: str = "") -> None:
        """Show other words."""
        self._text, self._end = text, end
        self.redraw()

    def content(self, width: int) -> Text:
        """Return the line."""
        room = width - 1 - (len(self._end) + 2 if self._end else 0)
        text = self._text.copy()
        if text.cell_len > room:
            text.truncate(max(0, room), overflow="ellipsis")
        text.pad_left(1)
        if self._end:
            text.append(" " * (width - text.cell_len - len(self._end) - 1))
            text.append(self._end, Style(dim=True))
        return text
