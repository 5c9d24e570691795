"""The columns that the clip list can be sorted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.overview.file import Table

Key = Callable[[int], object]


def _names(table: Table) -> Key:
    names = table.names
    return lambda index: (names[index].casefold(), index)


def _sizes(table: Table) -> Key:
    widths, heights = table.widths, table.heights
    return lambda index: (widths[index] * heights[index], widths[index], index)


def _buckets(table: Table) -> Key:
    order = {name: rank for rank, name in enumerate(sorted(table.bucket_names, key=_bucket_size))}
    ranks = [order[name] for name in table.bucket_names]
    return lambda index: (ranks[table.buckets[index]], index)


def _bucket_size(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split("x")) if name else ()


def _outputs(table: Table) -> Key:
    # What most needs the user first.
    worst = table.worst()
    return lambda index: (-worst[index], index)


def _suspicion(table: Table) -> Key:
    # The worst first; those that were not scored come last.
    scores = table.scores
    if scores is None:
        return lambda index: index
    values = scores.values
    return lambda index: (-values[index], index)


def _plain(column: str) -> Callable[[Table], Key]:
    def make(table: Table) -> Key:
        values: Sequence[float] = getattr(table, column)
        return lambda index: (values[index], index)

    return make


COLUMNS: dict[str, Callable[[Table], Key]] = {
    "name": _names,
    "length": _plain("seconds"),
    "size": _sizes,
    "fps": _plain("fps"),
    "audio": _plain("audio"),
    "bucket": _buckets,
    "caption": _plain("captions"),
    "outputs": _outputs,
    "suspicion": _suspicion,
}


def key_of(table: Table, column: str) -> Key:
    """Return what rows are sorted by: the column, then the dataset's order; empty for that alone.

    Raises:
        KeyError: There is no such column.
    """
    return COLUMNS[column](table) if column else lambda index: index


def in_order(
    rows: Sequence[int], table: Table, column: str, *, reverse: bool = False
) -> Sequence[int]:
    """Return rows that are in the dataset's order in another order."""
    if column:
        return sorted(rows, key=key_of(table, column), reverse=reverse)  # type: ignore[arg-type]
    return rows[::-1] if reverse else rows
