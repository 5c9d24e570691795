"""One line of text that sends to the terminal only the cells that have changed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


def segments_of(text: Text, console: Console) -> list[Segment]:
    """Return a line of text in segments, in its own style too, which Rich forgets without spans."""
    if not text.spans:
        own = console.get_style(text.style, default=Style.null())
        return [Segment(text.plain, own)] if text.plain else []
    return [part for part in text.render(console) if part.text and part.text != "\n"]


def cells_of(segments: Iterable[Segment]) -> list[tuple[str, object]]:
    """Return the cells of a line, each with its style; a wide letter and an empty one are two."""
    cells: list[tuple[str, object]] = []
    for part in segments:
        for letter in part.text:
            size = 1 if letter.isascii() else Segment(letter).cell_length
            if size:
                cells += [(letter, part.style), *[("", part.style)] * (size - 1)]
    return cells


class Line(Widget, can_focus=False):
    """A line, drawn by hand."""

    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._cells: list[tuple[str, object]] = []
        self._strip = Strip.blank(0)

    def content(self, width: int) -> Text:
        """Return what to show in `width` columns; to be defined by whatever the line is for."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Ask for the content again, and repaint what differs."""
        if not self.is_mounted or not self.size.width:
            return
        before = self._cells
        self._draw()
        if before == self._cells:
            return
        if len(before) != len(self._cells):
            self.refresh()
            return
        changed = [at for at, cell in enumerate(self._cells) if cell != before[at]]
        self.refresh(Region(changed[0], 0, changed[-1] + 1 - changed[0], 1))

    def notify_style_update(self) -> None:
        """Draw anew in another theme's colours."""
        super().notify_style_update()
        self._cells = []

    def on_resize(self) -> None:
        """Draw anew for another width."""
        self.redraw()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        if len(self._cells) != self.size.width:
            self._draw()
        return self._strip

    def _draw(self) -> None:
        width = self.size.width
        text = self.content(width)
        strip = (
            Strip(segments_of(text, self.app.console))
            .adjust_cell_length(width)
            .apply_style(self.rich_style)
        )
        self._strip = strip
        self._cells = cells_of(strip)
