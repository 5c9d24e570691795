"""JSON Lines datasets: one object a line; blank lines are allowed, and stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from engine.dataset.json_file import JsonRow, JsonRows, json_error, scan_row, skip
from engine.dataset.line_rows import LineRows
from engine.dataset.spans import NEWLINE, Splice, lines_at_end, whole_line


class JsonlDocument(LineRows, JsonRows):
    """A JSON Lines dataset file."""

    def __init__(self, text: str, file: Path) -> None:
        """Parse the text.

        Raises:
            DatasetError: A line is not an object, or has a key twice.
        """
        items: list[JsonRow] = []
        start = 0
        ends = [*(match.span() for match in NEWLINE.finditer(text)), (len(text), len(text))]
        for end, following in ends:
            position = skip(text, start)
            if position < end:
                try:
                    items.append(_scan_line(text, position, end))
                except (ValueError, RecursionError) as error:
                    raise json_error(error, text, file, len(items) + 1) from error
            start = following
        super().__init__(text, items, one_line=True)

    def _line(self, row: int) -> Splice:
        item = self._items[row]
        return whole_line(self._text, item.start, item.end)

    def _starts(self) -> list[int]:
        return [self._line(row).start for row in range(len(self._items))]

    def _append(self, texts: Sequence[str]) -> Splice:
        return lines_at_end(self._text, texts)


def _scan_line(text: str, start: int, end: int) -> JsonRow:
    row = scan_row(text, start)
    if row.end > end:
        raise json.JSONDecodeError("an object should stand on one line", text, start)
    rest = skip(text, row.end)
    if rest < end:
        raise json.JSONDecodeError("more text after the object", text, rest)
    return row
