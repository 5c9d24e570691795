"""JSON Lines datasets: one object a line; blank lines are allowed, and stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.dataset.json_file import JsonRow, JsonStyle, json_error, scan_row, skip, values
from engine.dataset.spans import (
    NEWLINE,
    Edits,
    Splice,
    edits_by_row,
    line_of,
    newline_of,
    spliced,
    without_line,
)


class JsonlDocument:
    """A JSON Lines dataset file."""

    def __init__(self, text: str, file: Path) -> None:
        """Parse the text.

        Raises:
            DatasetError: A line is not an object, or has a key twice.
        """
        self._text = text
        self._items: list[JsonRow] = []
        start = 0
        ends = [*(match.span() for match in NEWLINE.finditer(text)), (len(text), len(text))]
        for end, following in ends:
            position = skip(text, start)
            if position < end:
                try:
                    self._items.append(_scan_line(text, position, end))
                except (ValueError, RecursionError) as error:
                    raise json_error(error, text, file, len(self._items) + 1) from error
            start = following
        self._style = JsonStyle(text, self._items, one_line=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of all rows in the order in which they are first seen."""
        return tuple(dict.fromkeys(key for row in self._items for key in row.pairs))

    @property
    def rows(self) -> list[dict[str, object]]:
        """The values as they are in the file."""
        return [values(row) for row in self._items]

    def line(self, row: int) -> int:
        """Return the 1-based line of a row."""
        return line_of(self._text, self._items[row].start)

    def edited(self, edits: Edits, appended: Sequence[Mapping[str, object]]) -> str:
        """Return the text with some cells changed and rows added; the rest stays as it was."""
        splices = [
            splice
            for row, changes in edits_by_row(edits).items()
            for splice in self._style.changes(self._items[row], changes)
        ]
        if appended:
            newline = newline_of(self._text)
            lines = newline.join(self._style.row(row) for row in appended)
            # A last line that is open stays open, for the added one.
            is_open = bool(self._text) and not self._text.endswith(("\n", "\r"))
            end = len(self._text)
            added = f"{newline}{lines}" if is_open else f"{lines}{newline}"
            splices.append(Splice(end, end, added))
        return spliced(self._text, splices)

    def without(self, row: int) -> str:
        """Return the text without a row; the rest stays as it is in the file."""
        item = self._items[row]
        return without_line(self._text, item.start, item.end)


def _scan_line(text: str, start: int, end: int) -> JsonRow:
    row = scan_row(text, start)
    if row.end > end:
        raise json.JSONDecodeError("an object should stand on one line", text, start)
    rest = skip(text, row.end)
    if rest < end:
        raise json.JSONDecodeError("more text after the object", text, rest)
    return row
