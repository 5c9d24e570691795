"""Rows that were taken out of a dataset file given back; all other bytes of the file stay."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.dataset.caption_db import Key
from engine.dataset.keyed_rows import KeyedRows, Moved, asked_of
from engine.dataset.manifest import Manifest
from engine.dataset.rewrite import rewrite
from engine.dataset.taken_rows import TakenOut, TakenRow, TakenRows
from engine.errors import DatasetError, UsageError


def give_back(
    path: Path,
    store: TakenRows,
    *,
    names: Sequence[str] = (),
    video_column: str = "",
    caption_column: str = "",
) -> Moved:
    """Give rows back to a dataset file, atomically, near where they were.

    A row whose clip has one again is left where it is.

    Args:
        path: The dataset file.
        store: Has them.
        names: What they went by; without any, those that were taken out last.
        video_column: The column of media paths; empty: found by its name; so is the next.
        caption_column: The column of captions.

    Raises:
        UsageError: None was taken out, or none that is called so.
        DatasetError: The file cannot be read or written, or cannot hold a value.
        OSError: The folder of the file, or the store, cannot be read or written.
    """
    given: list[tuple[TakenOut, list[int]]] = []

    def make(was: bytes) -> tuple[bytes, Moved]:
        file = _File(Manifest(path, was), video_column, caption_column)
        given[:], there = file.choose(store.left(), names)
        before = file.keys
        rows: list[TakenRow | Key] = [*before]
        for taken, chosen in given:
            new, places = file.give([taken.rows[row] for row in chosen], taken)
            for row, place in sorted(zip(chosen, places, strict=True), key=lambda one: one[1]):
                rows.insert(place, taken.rows[row])
            file = _File(new, video_column, caption_column)
        return file.manifest.to_bytes(), file.moved(before, rows, there)

    moved = rewrite(path, make)
    # Where this fails they are seen to be there again.
    with contextlib.suppress(OSError):
        for taken, rows in given:
            store.give(taken, rows)
    return moved


class _File(KeyedRows):
    """A dataset file that was just read, to give rows back to."""

    def choose(
        self, left: Sequence[tuple[TakenOut, list[int]]], names: Sequence[str]
    ) -> tuple[list[tuple[TakenOut, list[int]]], tuple[str, ...]]:
        """Return the rows to give back, and the names of those whose clips have rows again."""
        free = _Free(left, self.keys)
        if not any(rows for _, rows in left):
            raise UsageError(
                "no row was taken out that could be given back", file=self.manifest.path
            )
        if not names:
            for taken, rows in reversed(left):
                chosen, others = free.of(taken, rows)
                if chosen:
                    return [(taken, chosen)], others
            raise UsageError(
                "all rows that were taken out are there again", file=self.manifest.path
            )
        known = [taken.rows[row].key for taken, rows in left for row in rows]
        asked = asked_of(names, known, self.manifest.path, "no row was taken out that was called")
        found: list[tuple[TakenOut, list[int]]] = []
        there: tuple[str, ...] = ()
        # What was taken out last of one name is what is given back first.
        for taken, rows in reversed(left):
            wanted = [row for row in rows if taken.rows[row].key in asked]
            chosen, more = free.of(taken, wanted)
            there += more
            if chosen:
                found.append((taken, chosen))
        return found, there

    def give(self, rows: Sequence[TakenRow], taken: TakenOut) -> tuple[Manifest, list[int]]:
        """Return the file with rows given back, and the place of each in it."""
        manifest, places = self.manifest, self._places(rows, taken)
        texts: dict[int, list[str]] = {}
        for row, place in zip(rows, places, strict=True):
            texts.setdefault(place, []).append(row.source)
        order = sorted(range(len(rows)), key=places.__getitem__)
        new = {number: places[number] + before for before, number in enumerate(order)}
        done = self._inserted(texts, {new[number]: row.values for number, row in enumerate(rows)})
        if done is not None:
            return done, [new[number] for number in range(len(rows))]
        # The file is written otherwise by now.
        for row in rows:
            manifest.append(row.values)
        done = Manifest(manifest.path, manifest.to_bytes())
        return done, [*range(len(self.keys), len(self.keys) + len(rows))]

    def _places(self, rows: Sequence[TakenRow], taken: TakenOut) -> list[int]:
        """Return before which row of the file each comes, near to where it was."""
        at = {key: row for row, key in enumerate(self.keys)}
        wanted, found = {row.row for row in rows}, []
        before: tuple[int, int] | None = None  # the row before, and where it would come
        for row in taken.rows:
            follows = before is not None and before[0] == row.row - 1
            if row.behind is None:
                place = 0
            elif before is not None and follows and (before[0] in wanted or row.behind not in at):
                place = before[1]
            elif row.behind in at:
                place = at[row.behind] + 1
            else:
                place = min(row.row, len(self.keys))
            before = (row.row, place)
            if row.row in wanted:
                found.append(place)
        return found

    def _inserted(
        self, texts: Mapping[int, Sequence[str]], rows: Mapping[int, dict[str, Any]]
    ) -> Manifest | None:
        """Return the file with rows as they were written; None where it would read otherwise."""
        manifest = self.manifest
        try:
            new = Manifest(manifest.path, manifest.inserted(texts))
        except (DatasetError, UnicodeEncodeError):
            return None
        is_whole = len(new.rows) == len(self.keys) + len(rows)
        return new if is_whole and all(_reads(new.rows[at], rows[at]) for at in rows) else None

    def moved(
        self, before: Sequence[Key], rows: Sequence[TakenRow | Key], there: tuple[str, ...]
    ) -> Moved:
        """Return what was given back to this file.

        Args:
            before: What the rows went by that were there before.
            rows: What each row of the file was before.
            there: Names of rows that were not given back.
        """
        back = {at: row for at, row in enumerate(rows) if isinstance(row, TakenRow)}
        here = set(before)
        return Moved(
            keys=tuple(self.keys[at] for at in back),
            rows=tuple(back),
            captions=tuple(map(self.text_of, back)),
            before=tuple(before),
            after=tuple(key for at, key in enumerate(self.keys) if at not in back),
            aside={
                row.kept: self.keys[at]
                for at, row in back.items()
                if row.kept != self.keys[at] and row.kept not in here
            },
            there=there,
        )


def _reads(row: Mapping[str, object], values: Mapping[str, object]) -> bool:
    """Whether a row has these values, and else at most empty cells."""
    # By repr, for 1, 1.0 and True are written differently.
    same = {column: row.get(column) for column in values}
    return repr(same) == repr(dict(values)) and not any(
        value for column, value in row.items() if column not in values
    )


class _Free:
    """Tells whose clips have no rows again."""

    def __init__(self, left: Sequence[tuple[TakenOut, list[int]]], keys: Sequence[Key]) -> None:
        self._now = Counter(key.name for key in keys)
        self._most: Counter[str] = Counter()
        for taken, _ in left:
            for one in taken.rows:
                self._most[one.key.name] = max(self._most[one.key.name], one.many)

    def of(self, taken: TakenOut, rows: Sequence[int]) -> tuple[list[int], tuple[str, ...]]:
        """Return those of some rows that may be given back, and the names of the others."""
        chosen, there = [], []
        for row in rows:
            one = taken.rows[row]
            if one.many and self._now[one.key.name] >= self._most[one.key.name]:
                there.append(one.key.name)
                continue
            self._now[one.key.name] += 1
            chosen.append(row)
        return chosen, tuple(there)
