"""The rows of a store as a sequence, read one by one as they are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from engine.overview_types import Row


class HasRows(Protocol):
    """What is asked of a store here."""

    def __len__(self) -> int: ...

    def get(self, index: int) -> Row:
        """Return a row as it is now."""


class RowView(Sequence[Row]):
    """All rows of a store."""

    def __init__(self, store: HasRows) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """Return a row, or several."""
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self._store.get(number) for number in numbers]
        return self._store.get(numbers)

    def __iter__(self) -> Iterator[Row]:
        return (self._store.get(number) for number in range(len(self)))
