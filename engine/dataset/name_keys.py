"""What the rows of a dataset go by wherever more is kept of them than the file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.dataset.caption_db import Key
from engine.dataset.windows import row_name


def numbered(names: Iterable[str]) -> Iterator[Key]:
    """Yield each name with how many of its like came before it."""
    counts: Counter[str] = Counter()
    for name in names:
        yield Key(name, counts[name])
        counts[name] += 1


def name_keys(rows: Sequence[Mapping[str, object]], video_column: str) -> list[Key]:
    """Return for each row its name, and which of the rows of that name it is."""
    return list(numbered(row_name(row, video_column, at) for at, row in enumerate(rows)))
