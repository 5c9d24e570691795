"""Three-way merge of a dataset: our edits into a file that was changed elsewhere meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

Rows = Sequence[Mapping[str, object]]
Place = tuple[int, str]


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """An edit that cannot be made without overwriting somebody else's.

    Attributes:
        row: 0-based row as we know it.
        column: The edited column.
        base: The value when the file was read.
        ours: The value that we want to write.
        theirs: The value that is in the file now; None when the row is gone.
        row_is_gone: Whether the row is not there any more, or cannot be told from its doubles.
        reason: The same in words.
    """

    row: int
    column: str
    base: object
    ours: object
    theirs: object = None
    row_is_gone: bool = False
    reason: str


def merge(
    base: Rows,
    edits: Mapping[Place, object],
    theirs: Rows,
    key_column: str,
    agreed: Mapping[Place, object],
) -> tuple[dict[Place, object], list[Conflict]]:
    """Return our edits as edits of their rows, and those that cannot be made.

    Args:
        base: The rows as they were when we read them.
        edits: Our values by (row of `base`, column).
        theirs: The rows as they are now.
        key_column: The column of media paths, which says which row is which (the n-th row of a
            path is the n-th of it there); empty: the whole row has to be the same.
        agreed: Values of theirs, by place in `base`, that the user agreed to overwrite.
    """
    rows = _matched(base, theirs, key_column)
    merged: dict[Place, object] = {}
    conflicts = []
    for (row, column), ours in edits.items():
        was = base[row].get(column)
        if row not in rows:
            conflicts.append(
                Conflict(
                    row=row,
                    column=column,
                    base=was,
                    ours=ours,
                    row_is_gone=True,
                    reason="the row was edited here and removed, renamed or doubled elsewhere",
                )
            )
            continue
        now = theirs[rows[row]].get(column)
        may_write = same(now, was) or ((row, column) in agreed and same(now, agreed[row, column]))
        if may_write:
            merged[rows[row], column] = ours
        elif not same(now, ours):
            conflicts.append(
                Conflict(
                    row=row,
                    column=column,
                    base=was,
                    ours=ours,
                    theirs=now,
                    reason="the value was edited here and also elsewhere",
                )
            )
    return merged, conflicts


def same(one: object, other: object) -> bool:
    """Whether two values are the same; 1, 1.0 and True are not, nothing and empty are."""
    return (one in (None, "") and other in (None, "")) or repr(one) == repr(other)


def _matched(base: Rows, theirs: Rows, key_column: str) -> dict[int, int]:
    """Return their row for each of ours that can be told for certain."""
    our_keys, their_keys = _keys(base, key_column), _keys(theirs, key_column)
    our_counts, their_counts = Counter(our_keys), Counter(their_keys)
    places: dict[str, list[int]] = {}
    for place, key in enumerate(their_keys):
        places.setdefault(key, []).append(place)
    seen: Counter[str] = Counter()
    matched = {}
    for row, key in enumerate(our_keys):
        if our_counts[key] == their_counts[key]:
            matched[row] = places[key][seen[key]]
            seen[key] += 1
    return matched


def _keys(rows: Rows, key_column: str) -> list[str]:
    return [repr(row.get(key_column)) if key_column else repr(dict(row)) for row in rows]
