"""Rows taken out of a dataset file; all other bytes of the file stay.

The rows are kept whole before the file is changed; their media are never touched.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from engine.dataset.caption_db import Key
from engine.dataset.keyed_rows import KeyedRows, Moved, asked_of
from engine.dataset.manifest import Manifest, cell_text
from engine.dataset.name_keys import name_keys
from engine.dataset.rewrite import rewrite
from engine.dataset.taken_rows import TakenOut, TakenRow, TakenRows
from engine.dataset.write_cells import refuse_read_only
from engine.errors import DatasetError, LtxError

# No row is called like this: names are safe to show.
_ASIDE = "\x01taken out "


def take_out(
    path: Path,
    store: TakenRows,
    *,
    keys: Collection[Key] = (),
    names: Sequence[str] = (),
    drafts: Mapping[Key, str] | None = None,
    video_column: str = "",
    caption_column: str = "",
) -> Moved:
    """Take rows out of a dataset file, atomically: all that are asked for, or none.

    Args:
        path: The dataset file.
        store: Keeps them.
        keys: The rows.
        names: Further ones, as they are listed: all that are called so. "a.mp4 #2" is the second
            that is called "a.mp4".
        drafts: Captions that were typed and may not be in the file yet.
        video_column: The column of media paths; empty: found by its name; so is the next.
        caption_column: The column of captions.

    Raises:
        UsageError: No row has one of the names.
        DatasetError: A row is not there any more, its caption waits to be saved, or the file cannot
            be read or written.
        OSError: The folder of the file, or that of the store, cannot be written.
    """
    kept: list[TakenOut] = []

    def make(was: bytes) -> tuple[bytes, Moved]:
        _undo(store, kept)
        manifest = Manifest(path, was)
        file = _File(manifest, video_column, caption_column)
        rows = file.find(keys, names)
        file.refuse_drafts(rows, drafts or {})
        refuse_read_only(path)
        taken, moved = file.take(rows, store.dataset)
        if rows:
            store.keep(taken)
            kept.append(taken)
        return manifest.without(rows) if rows else was, moved

    try:
        return rewrite(path, make)
    except (LtxError, OSError):  # not Ctrl-C, which may come when they are out already
        with contextlib.suppress(OSError):
            _undo(store, kept)
        raise


def _undo(store: TakenRows, kept: list[TakenOut]) -> None:
    while kept:
        store.undo(kept[-1])
        kept.pop()


class _File(KeyedRows):
    """A dataset file that was just read, to take rows out of."""

    def find(self, keys: Collection[Key], names: Sequence[str]) -> list[int]:
        """Return the rows that are meant, in their order."""
        places = {key: row for row, key in enumerate(self.keys)}
        found = set()
        for key in keys:
            if key not in places:
                raise DatasetError(
                    f"the row of {key.name} was changed or removed by another program",
                    remedy="nothing was written; f5 in the workbench reads the dataset again",
                    file=self.manifest.path,
                )
            found.add(places[key])
        lack = "no row is called"
        found |= {places[key] for key in asked_of(names, self.keys, self.manifest.path, lack)}
        return sorted(found)

    def refuse_drafts(self, rows: Sequence[int], drafts: Mapping[Key, str]) -> None:
        """Refuse rows whose captions are not yet as somebody typed them."""
        for row in rows:
            draft = drafts.get(self.keys[row])
            if draft is not None and draft != self.text_of(row):
                raise DatasetError(
                    f"what was typed as the caption of {self.keys[row].name} is not saved yet",
                    remedy="open its caption in the workbench, which saves it or says why not",
                    file=self.manifest.path,
                    row=row + 1,
                )

    def take(self, rows: Sequence[int], dataset: str) -> tuple[TakenOut, Moved]:
        """Return what is to be kept of rows, and what becomes of all of them without these."""
        manifest, gone, ident = self.manifest, set(rows), uuid.uuid4().hex
        many = Counter(key.name for key in self.keys)
        stay = [row for row in range(len(self.keys)) if row not in gone]
        new = name_keys([manifest.rows[row] for row in stay], self.video)
        after: list[Key | None] = [None] * len(self.keys)
        for row, key in zip(stay, new, strict=True):
            after[row] = key
        used = set(new)
        taken = [
            TakenRow(
                key=(key := self.keys[row]),
                row=row,
                behind=(after[row - 1] or self.keys[row - 1]) if row else None,
                many=many[key.name] if self._has_path(manifest.rows[row]) else 0,
                # Another row may go by its key from now on.
                kept=Key(_ASIDE + ident, number) if key in used else key,
                source=manifest.source(row),
                values=dict(manifest.rows[row]),
            )
            for number, row in enumerate(rows)
        ]
        moved = Moved(
            keys=tuple(self.keys[row] for row in rows),
            rows=tuple(rows),
            captions=tuple(map(self.text_of, rows)),
            before=tuple(self.keys),
            after=tuple(after),
            aside={one.key: one.kept for one in taken if one.kept != one.key},
        )
        return TakenOut(id=ident, at=time.time(), dataset=dataset, rows=tuple(taken)), moved

    def _has_path(self, row: Mapping[str, object]) -> bool:
        return bool(cell_text(row.get(self.video)).strip())
