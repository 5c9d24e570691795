"""Dataset files whose rows stand on lines of their own: rows taken out of them and put in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from engine.dataset.spans import Splice, with_lines, without_lines


class LineRows(ABC):
    """The part of a `Document` that is the same for all of them."""

    _text: str

    def without(self, rows: Collection[int]) -> str:
        """Return the text without some rows; the rest stays as it is in the file."""
        return without_lines(self._text, [self._line(row) for row in rows])

    def source(self, row: int) -> str:
        """Return the line of a row, or its lines."""
        line = self._line(row)
        return self._text[line.start : line.end]

    def inserted(self, texts: Mapping[int, Sequence[str]]) -> str:
        """Return the text with lines put before others; the rest stays as it is in the file."""
        return with_lines(self._text, self._starts(), texts)

    @abstractmethod
    def _line(self, row: int) -> Splice:
        """Return where a row stands, and nothing for it."""

    @abstractmethod
    def _starts(self) -> list[int]:
        """Return where the line of each row starts."""
