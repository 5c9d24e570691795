"""Lines that are made anew often: only the cells that differ are sent to the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.strip import Strip

from ltx_tui.drawing.signs import Signs
from ltx_tui.widgets.line import cells_of, segments_of
from ltx_tui.widgets.lines import Lines


class Item(msgspec.Struct, frozen=True):
    """A line of a board.

    Attributes:
        key: What it stands for; empty for a line that cannot be chosen.
    """

    text: Text
    key: str = ""


class Board(Lines):
    """Lines that `show` replaces; the cursor stays on what it was on."""

    DEFAULT_CSS = """
    Board { height: 1fr; width: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    """

    def __init__(self, *, has_cursor: bool = True, id: str | None = None) -> None:  # noqa: A002
        super().__init__(has_cursor=has_cursor, id=id)
        self.items: tuple[Item, ...] = ()
        self._is_steered = False

    def count(self) -> int:
        """Return how many lines there are."""
        return len(self.items)

    def text(self, index: int, width: int) -> Text:  # noqa: ARG002 - the lines have their width
        """Return a line."""
        return self.items[index].text

    def can_choose(self, index: int) -> bool:
        """Whether the cursor may rest on a line."""
        return bool(self.items[index].key)

    def move(self, by: int) -> None:
        """Move the cursor, or without one the lines."""
        self._is_steered = True
        super().move(by)

    def show_line(self, index: int) -> None:
        """Scroll to a line once the user has begun to move; until then the top is seen."""
        if self._is_steered:
            super().show_line(index)

    @property
    def chosen(self) -> str:
        """What the cursor is on; empty for nothing."""
        return self.items[self.cursor].key if self.cursor < len(self.items) else ""

    @property
    def room(self) -> int:
        """Columns for a line."""
        return self.scrollable_content_region.width

    def _kind(self, index: int) -> str:
        return super()._kind(index) if self.items[index].key else ""

    def _strip(self, index: int, width: int, kind: str) -> Strip:
        return super()._strip(index, width, kind).simplify()

    def show(self, items: Sequence[Item]) -> None:
        """Replace the lines, and repaint what differs."""
        before, key = self.items, self.chosen
        self.items = tuple(items)
        self._keep_cursor(key)
        if len(before) != len(items):
            drawn = [self._drawn(one.text) for one in before]
            self._cache.clear()
            size = Size(self.room, len(items))
            if size != self.virtual_size:
                self.virtual_size = size
            self._repaint(drawn)
            return
        for index, (old, new) in enumerate(zip(before, items, strict=True)):
            # Texts are compared by letters and spans alone.
            if old.text != new.text or old.text.style != new.text.style:
                self._repaint_line(index, self._drawn(old.text))

    def _keep_cursor(self, key: str) -> None:
        keys = [one.key for one in self.items]
        if key and key in keys:
            self._cursor = keys.index(key)
        elif not self.items:
            self._cursor = 0
        else:
            near = min(self._cursor, len(keys) - 1)
            chances = [at for at, one in enumerate(keys) if one]
            self._cursor = min(chances, key=lambda at: abs(at - near), default=0)

    def _repaint(self, before: Sequence[Sequence[tuple[str, object]]]) -> None:
        """Repaint the lines that differ after lines have come or gone."""
        for index in range(max(len(before), len(self.items))):
            if index < min(len(before), len(self.items)):
                self._repaint_line(index, before[index])
            else:
                self.refresh_lines(index)

    def _repaint_line(self, index: int, before: Sequence[tuple[str, object]]) -> None:
        for key in [key for key in self._cache.keys() if key[0] == index]:  # noqa: SIM118 - no dict
            self._cache.discard(key)
        after = self._drawn(self.items[index].text)
        longest = max(len(before), len(after))
        blank = ("", None)
        changed = [
            at
            for at in range(longest)
            if (before[at] if at < len(before) else blank)
            != (after[at] if at < len(after) else blank)
        ]
        y = index - self.scroll_offset.y
        if not changed or not 0 <= y < self.scrollable_content_region.height:
            return
        # One region: Textual sends a line from its beginning to the end of each.
        self.refresh(Region(changed[0], y, changed[-1] + 1 - changed[0], 1))

    def _drawn(self, text: Text) -> list[tuple[str, object]]:
        return cells_of(segments_of(text, self.app.console))


def wrapped(words: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` cells, broken between words where it can be."""
    lines, line = [], ""
    for word in words.split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cell_len(word) > width > 0:
            head = ""
            for letter in word:
                if cell_len(head + letter) > width:
                    break
                head += letter
            if not head:
                break  # a letter that is wider than all there is
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line] if line else lines


def hanging(head: str, words: str, width: int, *, most: int = 0) -> list[str]:
    """Return a text in lines behind a head, later ones under the first word.

    Args:
        head: What the first line begins with.
        words: The text.
        width: Cells of a line.
        most: Lines at most, the last one ending in "…"; 0 for all.
    """
    indent = cell_len(head)
    lines = wrapped(words, max(1, width - indent)) or [""]
    if most and len(lines) > most:
        lines = lines[:most]
        last = lines[-1]
        while cell_len(last) > max(0, width - indent - 2) and " " in last:
            last = last.rpartition(" ")[0]
        lines[-1] = f"{last} …"
    return [f"{head if not at else ' ' * indent}{line}" for at, line in enumerate(lines)]


def fault_lines(
    headline: str, remedy: str, width: int, red: Style, how: Signs, margin: str = ""
) -> list[Text]:
    """Return what went wrong and what to do about it.

    Args:
        headline: What went wrong.
        remedy: What to do; empty for nothing.
        width: Cells of a line.
        red: How what went wrong looks.
        how: The signs.
        margin: What each line begins with.
    """
    lines = [Text(one, red) for one in hanging(f"{margin}{how.failed} ", headline, width)]
    if remedy:
        lines += map(Text, hanging(f"{margin}  {how.arrow} ", remedy, width))
    return lines
