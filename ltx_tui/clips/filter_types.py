"""What the filter language and its keys share."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Protocol

from engine.overview.file import Table, Text
from engine.overview.types import CaptionState, OutputState

CAPTION_WORDS = tuple(state.value for state in CaptionState)
STATE_WORDS = tuple(state.value for state in OutputState)


class FilterError(Exception):
    """A filter that cannot be understood.

    Attributes:
        message: What is wrong.
        position: Where in the text, from 0.
        hint: What may have been meant; may be empty.
    """

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        super().__init__(message, position, hint)
        self.message = message
        self.position = position
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


class Searched(Protocol):
    """What a filter looks at: a table with what has changed since it was made."""

    @property
    def table(self) -> Table:
        """The columns."""

    @property
    def marked(self) -> Set[str]:
        """The names of the marked rows."""

    @property
    def folded_names(self) -> Sequence[str]:
        """The names in lower case."""

    def search(self, where: Text, text: str) -> Set[int]:
        """Return the rows whose text has `text`."""


Rows = Sequence[int]
Select = Callable[[Searched, Rows], Rows]
"""Returns those of the rows that it holds for, in their order."""
