"""A list of lines that draws only those that are seen, however many there are."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ltx_tui.widgets.line import segments_of

_KEPT = 512


class Lines(ScrollView, can_focus=True):
    """Lines of text, with a cursor where they can be chosen from.

    Attributes:
        has_cursor: Whether one of the lines is chosen.
    """

    DEFAULT_CSS = """
    Lines {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .lines--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: bold;
        }
        & > .lines--blurred {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
        }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor", "lines--blurred"}

    class Picked(Message):
        """A line was chosen: clicked twice, or with enter where the list binds it.

        Attributes:
            index: Its number.
        """

        def __init__(self, lines: Lines, index: int) -> None:
            super().__init__()
            self.lines = lines
            self.index = index

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    class Moved(Picked):
        """The cursor is on another line."""

    def __init__(self, *, has_cursor: bool = True, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.has_cursor = has_cursor
        self._cursor = 0
        self._cache: LRUCache[tuple[int, int, str], Strip] = LRUCache(_KEPT)
        self._on_screen: dict[int, Strip] = {}

    # What a list is of

    def count(self) -> int:
        """Return how many lines there are; to be defined by whatever the list is of."""
        raise NotImplementedError

    def text(self, index: int, width: int) -> Text:
        """Return a line; to be defined by whatever the list is of."""
        raise NotImplementedError

    def can_choose(self, index: int) -> bool:  # noqa: ARG002 - for others
        """Whether the cursor may rest on a line; headings say no."""
        return True

    # The cursor

    @property
    def cursor(self) -> int:
        """The line that is chosen."""
        return self._cursor

    def move_to(self, index: int, *, step: int = 1) -> None:
        """Choose a line, the next in the direction of `step` where it cannot be chosen."""
        last = self.count() - 1
        if last < 0:
            return
        index = max(0, min(last, index))
        for ways in (step, -step):
            at = index
            while 0 <= at <= last and not self.can_choose(at):
                at += ways
            if 0 <= at <= last:
                break
        else:
            return
        before, self._cursor = self._cursor, at
        self.show_line(at)
        if before != at:
            self.refresh_lines(before)
            self.refresh_lines(at)
            self.post_message(self.Moved(self, at))

    def move(self, by: int) -> None:
        """Move the cursor, or without one the lines."""
        if self.has_cursor:
            self.move_to(self._cursor + by, step=1 if by > 0 else -1)
        else:
            self.scroll_to(y=self.scroll_offset.y + by, animate=False, immediate=True)

    @property
    def page(self) -> int:
        """How many lines a page is."""
        return max(1, self.scrollable_content_region.height - 1)

    def show_line(self, index: int) -> None:
        """Scroll as little as is needed to see a line."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if index < top:
            self.scroll_to(y=index, animate=False, immediate=True)
        elif height and index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False, immediate=True)

    # Drawing

    def renew(self) -> None:
        """Draw again what differs: the lines have changed."""
        self._cache.clear()
        width, height = self.scrollable_content_region.size
        self.virtual_size = Size(width, self.count())
        if self._cursor >= self.count():
            self._cursor = max(0, self.count() - 1)
        before = self._on_screen
        self._on_screen = {}
        for y in range(height):
            if before.get(y) != self.render_line(y):
                self.refresh(Region(0, y, width, 1))

    def renew_line(self, index: int) -> None:
        """Draw a line again."""
        for key in [key for key in self._cache.keys() if key[0] == index]:  # noqa: SIM118 - no dict
            self._cache.discard(key)
        self.refresh_lines(index)

    def on_mount(self) -> None:
        """Count the lines."""
        self.renew()

    def on_resize(self) -> None:
        """Draw anew for another width."""
        self.renew()
        if self.has_cursor:
            self.show_line(self._cursor)

    def on_focus(self) -> None:
        """Show where the cursor is."""
        self.refresh_lines(self._cursor)

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.refresh_lines(self._cursor)

    def notify_style_update(self) -> None:
        """Draw anew in another theme's colours."""
        super().notify_style_update()
        self._cache.clear()

    def render_line(self, y: int) -> Strip:
        """Return the line at a height of the window."""
        strip = self._on_screen[y] = self.line_at(y)
        return strip

    def line_at(self, y: int) -> Strip:
        """Return what is seen at a height of the window."""
        index, width = self.scroll_offset.y + y, self.scrollable_content_region.width
        if index >= self.count():
            return Strip.blank(width, self.rich_style)
        kind = self._kind(index)
        key = (index, width, kind)
        strip = self._cache.get(key)
        if strip is None:
            strip = self._cache[key] = self._strip(index, width, kind)
        return strip

    def _kind(self, index: int) -> str:
        if not self.has_cursor or index != self._cursor:
            return ""
        return "lines--cursor" if self.looks_focused else "lines--blurred"

    @property
    def looks_focused(self) -> bool:
        """Whether the cursor is drawn as the one that keys move."""
        return self.has_focus

    def _strip(self, index: int, width: int, kind: str) -> Strip:
        text = self.text(index, width)
        base = self.rich_style
        chosen = self.get_component_rich_style(kind) if kind else None
        segments = []
        for part in segments_of(text, self.app.console):
            own = part.style or Style()
            segments.append(Segment(part.text, base + own + chosen if chosen else base + own))
        return Strip(segments).adjust_cell_length(width, base + chosen if chosen else base)

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Choose the line under the mouse."""
        index = self.scroll_offset.y + event.y
        if self.has_cursor and index < self.count() and self.can_choose(index):
            self.move_to(index)
            if event.chain > 1:
                self.post_message(self.Picked(self, index))
