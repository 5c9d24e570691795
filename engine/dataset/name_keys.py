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


def numbered_name(key: Key) -> str:
    """Return what asks for one row alone where others are called the same: "a.mp4 #1"."""
    return f"{key.name} #{key.nth + 1}"


def asked_keys(names: Iterable[str], keys: Iterable[Key]) -> dict[str, list[Key]]:
    """Return for each name the rows that it asks for: all that are called so, or "a.mp4 #1"."""
    found: dict[str, list[Key]] = {name: [] for name in names}
    for key in keys:
        for name in (key.name, numbered_name(key)):
            if name in found:
                found[name].append(key)
    return found
