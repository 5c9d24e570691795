"""What the rows of a dataset go by wherever more is kept of them than the file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.dataset.caption_db import Key
from engine.dataset.windows import row_name


def name_keys(rows: Sequence[Mapping[str, object]], video_column: str) -> list[Key]:
    """Return for each row its name, and which of the rows of that name it is."""
    counts: Counter[str] = Counter()
    keys = []
    for number, row in enumerate(rows):
        name = row_name(row, video_column, number)
        keys.append(Key(name, counts[name]))
        counts[name] += 1
    return keys
