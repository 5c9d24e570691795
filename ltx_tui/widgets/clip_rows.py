"""The rows of the clip list, drawn line by line; and the line of titles above them."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.strip import Strip

from ltx_tui.clips.columns import Layout, cells, layout
from ltx_tui.clips.store import Store
from ltx_tui.clips.words import empty_words
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import UNICODE, Signs, signs
from ltx_tui.widgets.board import wrapped
from ltx_tui.widgets.line import Line
from ltx_tui.widgets.lines import Lines

_WHEEL = 3


class ClipRows(Lines, inherit_bindings=False):
    """One line a clip; nothing is drawn but what is seen.

    Attributes:
        held: The name of the clip under the cursor, wherever it stands after a change.
    """

    DEFAULT_CSS = """
    ClipRows { height: 1fr; width: 1fr; scrollbar-size-vertical: 1; }
    """

    def __init__(self, store: Store, *, how: Signs | None = None) -> None:
        super().__init__(id="clip-rows")
        self.store = store
        self.how = how or signs()
        self.layout_now = Layout(())
        self.held = ""
        self._styles: dict[tuple[str, str], Style] = {}
        self._words: list[str] = []
        self._begin: int | None = None

    def count(self) -> int:
        """Return how many clips are shown."""
        return len(self.store.shown)

    @property
    def index(self) -> int | None:
        """The row under the cursor; None where there is none."""
        shown = self.store.shown
        return shown[self.cursor] if 0 <= self.cursor < len(shown) else None

    def move_to(self, index: int, *, step: int = 1) -> None:
        """Choose a line."""
        super().move_to(index, step=step)
        self._hold()

    def follow(self, place: int | None) -> None:
        """Find the clip in hand in another place, without telling.

        Args:
            place: Where it is now; None where it is not shown, and the first one is chosen.
        """
        self._cursor = place or 0
        self._hold()

    @property
    def first(self) -> int:
        """The first line that is seen, or will be."""
        return self.scroll_offset.y if self._begin is None else self._begin

    def begin_at(self, line: int) -> None:
        """Have a line be the first that is seen, as soon as the list is shown."""
        self._begin = line
        self.call_after_refresh(self._scroll_to_begin)

    def on_resize(self) -> None:
        """Scroll to where the list is to begin."""
        if self._begin is not None:
            self.call_after_refresh(self._scroll_to_begin)

    def _scroll_to_begin(self) -> None:
        if self._begin is not None and self.scrollable_content_region.height:
            self.scroll_to(y=self._begin, animate=False, immediate=True)
            self._begin = None
            self.show_line(self.cursor)

    def _hold(self) -> None:
        self.held = self.store.table.names[self.index] if self.index is not None else ""

    # Drawing

    def renew(self) -> None:
        """Draw everything again."""
        width = self.scrollable_content_region.width
        self.layout_now = self.layout_for(width)
        words = (wrapped(one, max(8, width - 4)) for one in empty_words(self.store))
        self._words = [line for lines in words for line in (*lines, "")]
        super().renew()

    def layout_for(self, width: int) -> Layout:
        """Return the columns for a width."""
        store = self.store
        return layout(
            width,
            self.how,
            store.table.bucket_names,
            sort=store.sort,
            is_scored=store.table.scores is not None,
        )

    def renew_rows(self, indices: set[int]) -> None:
        """Draw those of some rows again that are seen."""
        top = self.scroll_offset.y
        bottom = min(top + self.scrollable_content_region.height, self.count())
        for place in range(top, bottom):
            if self.store.shown[place] in indices:
                self.renew_line(place)

    def notify_style_update(self) -> None:
        """Draw anew in another theme's colours."""
        super().notify_style_update()
        self._styles.clear()

    def line_at(self, y: int) -> Strip:
        """Return a clip's line, or words where there is no clip."""
        if self.count():
            return super().line_at(y)
        width = self.scrollable_content_region.width
        line = self._words[y - 1] if 0 < y <= len(self._words) else ""
        return Strip([Segment(f"  {line}", self.rich_style)]).adjust_cell_length(
            width, self.rich_style
        )

    def _style(self, kind: str, role: str) -> Style:
        found = self._styles.get((kind, role))
        if found is None:
            found = self.rich_style
            if role == "quiet":
                found += Style(dim=True)
            elif role:
                found += style(self.app, role)
            if kind:
                found += self.get_component_rich_style(kind)
            self._styles[kind, role] = found
        return found

    def _strip(self, index: int, width: int, kind: str) -> Strip:
        row = self.store.get(self.store.shown[index])
        is_marked = row.name in self.store.marked
        here, mark = ("▸", "◆") if self.how is UNICODE else (">", "*")
        parts = [
            Segment(here if kind else " ", self._style(kind, "primary")),
            Segment(mark if is_marked else " ", self._style(kind, "accent")),
        ]
        for number, column in enumerate(self.layout_now.columns):
            gap = "  " if number else ""
            for text, role in cells(row, column, self.how):
                if column.name == "name" and is_marked:
                    role = "accent"
                parts.append(Segment(gap + text, self._style(kind, role)))
                gap = ""
        return Strip(parts).adjust_cell_length(width, self._style(kind, ""))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Choose the line under the mouse; with ctrl held, mark it as well."""
        super().on_click(event)
        if event.ctrl and self.index is not None:
            name = self.store.table.names[self.index]
            self.store.mark([name], on=name not in self.store.marked)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll, and leave the cursor."""
        event.stop()
        self.scroll_to(y=self.scroll_offset.y + _WHEEL, animate=False, immediate=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll, and leave the cursor."""
        event.stop()
        self.scroll_to(y=self.scroll_offset.y - _WHEEL, animate=False, immediate=True)


class ClipHeader(Line):
    """The titles of the columns, with a sign at the one that is sorted by."""

    class Picked(Message):
        """A title was clicked.

        Attributes:
            column: Which, as `ltx_tui.clips.sorting` calls it.
        """

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, rows: ClipRows) -> None:
        super().__init__(id="clip-header")
        self._rows = rows

    def content(self, width: int) -> Text:
        """Return the titles."""
        store, how = self._rows.store, self._rows.how
        text = Text("  ")
        for column in self._rows.layout_for(self._rows_width(width)).columns:
            title = column.title
            is_sorted = column.name == store.sort
            if is_sorted:
                title = f"{title}{_arrow(how, is_reversed=store.is_reversed)}"
                if len(title) > column.width:  # a sign stands alone in its column
                    title = title[-column.width :]
            pad = " " * (column.width - len(title))
            text.append(pad + title if column.right else title + pad, _title_style(is_sorted))
            text.append("  ")
        return text

    def _rows_width(self, width: int) -> int:
        """Return the width of the rows, beside which there may be a scroll bar."""
        return self._rows.scrollable_content_region.width or width

    def on_click(self, event: events.Click) -> None:
        """Tell which title was clicked."""
        columns = self._rows.layout_now
        for start, column in zip(columns.starts(), columns.columns, strict=True):
            if start <= event.x < start + column.width + 1:
                self.post_message(self.Picked(column.name))


def _arrow(how: Signs, *, is_reversed: bool) -> str:
    up, down = ("▲", "▼") if how is UNICODE else ("^", "v")
    return down if is_reversed else up


def _title_style(is_sorted: bool) -> Style:
    return Style(bold=True) if is_sorted else Style(dim=True)
