"""Cells written into a dataset file by programs: all else stays, edits made meanwhile too."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engine.dataset.caption_db import Key
from engine.dataset.columns import media_column
from engine.dataset.manifest import ConflictError, Manifest, cell_text, load_manifest
from engine.dataset.merge import same
from engine.dataset.name_keys import numbered
from engine.errors import DatasetError


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell to write.

    Attributes:
        media: The media path of its row, exactly as the dataset has it.
        nth: Which of the rows that have it, from 0.
        column: Added where it is not there.
        before: What the cell held when it was decided to write it.
        value: What it gets.
    """

    media: str
    nth: int
    column: str
    before: object = None
    value: object = None


def row_keys(rows: Sequence[Mapping[str, object]], video_column: str) -> list[Key]:
    """Return (media path, which of the rows that have it) for each row."""
    return list(numbered(cell_text(row.get(video_column)) for row in rows))


def write_cells(path: Path, cells: Sequence[Cell], *, video_column: str = "") -> list[Cell]:
    """Write cells into a dataset file, atomically.

    Args:
        path: The dataset file.
        cells: What to write.
        video_column: The column of media paths; empty: found by its name.

    Returns:
        The cells that were not written: their row is gone, or the cell was changed meanwhile. The
        cells of such a row are left as a whole, so that no row is half changed.

    Raises:
        DatasetError: The file cannot be read, is read-only, or cannot hold a value.
        OSError: The folder cannot be written.
    """
    manifest = load_manifest(path, key_column=video_column)
    column = media_column(manifest, video_column)
    rows = {key: row for row, key in enumerate(row_keys(manifest.rows, column))}
    grouped: dict[Key, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(Key(cell.media, cell.nth), []).append(cell)
    left: list[Cell] = []
    owners: dict[int, list[Cell]] = {}
    for key, group in grouped.items():
        row = rows.get(key)
        if row is None or not all(_is_as_before(manifest, row, cell) for cell in group):
            left += group
            continue
        owners[row] = group
        for cell in group:
            manifest.set(row, cell.column, cell.value)
    if manifest.is_changed:
        refuse_read_only(path)
        left += _save(manifest, owners)
    return left


def _is_as_before(manifest: Manifest, row: int, cell: Cell) -> bool:
    now = manifest.rows[row].get(cell.column)
    return same(now, cell.before) or same(now, cell.value)


def _save(manifest: Manifest, owners: Mapping[int, list[Cell]]) -> list[Cell]:
    """Save; rows that were changed at the last moment are left out."""
    lost: list[Cell] = []
    while True:
        try:
            manifest.save()
            return lost
        except ConflictError as error:
            for row in dict.fromkeys(conflict.row for conflict in error.conflicts):
                lost += owners[row]
                for cell in owners[row]:
                    manifest.set(row, cell.column, cell.before)
            for conflict in error.conflicts:
                manifest.resolve(conflict, keep_ours=False)


def refuse_read_only(path: Path, *, then: str = "") -> None:
    """Refuse to write where the owner wants nothing written.

    Args:
        path: The file; one that is not there may be written.
        then: What to say behind the remedy.

    Raises:
        DatasetError: The file is read-only.
    """
    # A rename would replace even a file that its owner made read-only.
    with contextlib.suppress(FileNotFoundError):
        if not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise DatasetError(
                "the file is read-only", remedy=f"make it writable (chmod u+w){then}", file=path
            )
