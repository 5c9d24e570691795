"""The dataset file: read, edited cell by cell, saved without losing a byte that is not ours."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from engine.dataset.columns import find_column
from engine.dataset.csv_file import CsvDocument
from engine.dataset.json_file import JsonDocument
from engine.dataset.jsonl_file import JsonlDocument
from engine.dataset.merge import Conflict, merge
from engine.dataset.spans import Document, decode
from engine.errors import DatasetError
from engine.files.safe import atomic_path

_PARSERS: dict[str, tuple[str, Callable[[str, Path], Document]]] = {
    ".json": ("json", JsonDocument),
    ".jsonl": ("jsonl", JsonlDocument),
    ".ndjson": ("jsonl", JsonlDocument),
    ".csv": ("csv", CsvDocument),
    ".tsv": ("csv", CsvDocument),
}
_SAVE_ATTEMPTS = 5


class ConflictError(DatasetError):
    """The file was changed elsewhere in the very cells that were edited here.

    Attributes:
        conflicts: All of them; give each to `Manifest.resolve`, then save again.
    """

    def __init__(self, conflicts: Sequence[Conflict], file: Path) -> None:
        first = conflicts[0]
        more = f" (and {len(conflicts) - 1:,} more)" if len(conflicts) > 1 else ""
        super().__init__(
            f"conflict: {first.reason}{more}",
            remedy="nothing was written; keep either version, then save again",
            file=file,
            row=first.row + 1,
            column=first.column,
        )
        self.conflicts = tuple(conflicts)


class _ChangedMeanwhileError(Exception):
    """The file changed between the merge and the rename."""


def load_manifest(path: Path, *, key_column: str = "") -> Manifest:
    """Read a dataset file.

    Args:
        path: A .json, .jsonl (.ndjson), .csv or .tsv file.
        key_column: The column of media paths, by which `save` finds rows again in a file that was
            changed elsewhere; empty: found by its name.

    Raises:
        DatasetError: It cannot be read; the message names the line.
    """
    return Manifest(path, dataset_bytes(path), key_column=key_column)


def dataset_bytes(path: Path) -> bytes:
    """Return what is in a dataset file.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"cannot be read: {error.strerror}", remedy="check the path", file=path
        ) from error


def cell_text(value: object) -> str:
    """Return a cell as text: empty for nothing and for "not a number", as pandas leaves it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value)
    return "" if text in ("nan", "NaN") else text


def caption_text(row: Mapping[str, object], column: str) -> str:
    """Return a row's caption; empty where there is none, or none that is text."""
    value = row.get(column) if column else None
    return cell_text(value) if isinstance(value, str | int | float) else ""


class Manifest:
    """A dataset file with its pending edits.

    Attributes:
        path: The file.
        format: "json", "jsonl" or "csv".
    """

    def __init__(self, path: Path, data: bytes, *, key_column: str = "") -> None:
        """Parse the bytes of a file; see `load_manifest`."""
        if path.suffix.lower() not in _PARSERS:
            raise DatasetError(
                f"{path.suffix or 'a name without suffix'!r} is no dataset format",
                remedy=f"use {', '.join(_PARSERS)}",
                file=path,
            )
        self.path = path
        self.format, self._parser = _PARSERS[path.suffix.lower()]
        self._key_column = key_column
        self._load(data)

    @property
    def rows(self) -> Sequence[Mapping[str, object]]:
        """The rows with all edits; in JSON only the keys that a row has, in CSV every column."""
        return self._rows

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, those added by edits included."""
        added = [column for _, column in self._edits]
        added += [column for row in self._appended for column in row]
        return tuple(dict.fromkeys([*self._document.columns, *added]))

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(self._edits or self._appended)

    def line(self, row: int) -> int | None:
        """Return the 1-based line of the file on which a row starts; None for an added row."""
        return self._document.line(row) if row < len(self._document.rows) else None

    def set(self, row: int, column: str, value: object) -> None:
        """Change a cell; a column that is not there is added.

        Args:
            row: 0-based index into `rows`.
            column: The column.
            value: In CSV written as text, in JSON as what it is.

        Raises:
            DatasetError: The file cannot hold the value.
            IndexError: There is no such row.
        """
        if not 0 <= row < len(self._rows):
            raise IndexError(row)
        self._check(column, value, row)
        if self.format == "csv":
            value = "" if value is None else str(value)
        self._rows[row][column] = value
        loaded = len(self._original)
        if row >= loaded:
            self._appended[row - loaded][column] = value
        elif column in self._original[row] and repr(self._original[row][column]) == repr(value):
            # By repr, for 1, 1.0 and True are written differently.
            self._edits.pop((row, column), None)
        else:
            self._edits[row, column] = value

    def append(self, values: Mapping[str, object]) -> None:
        """Add a row at the end.

        Raises:
            DatasetError: The file cannot hold one of the values.
        """
        for column, value in values.items():
            self._check(column, value, len(self._rows))
        self._appended.append(dict(values))
        self._rows.append(dict(values))

    def to_bytes(self) -> bytes:
        """Return the file with all edits: only the edited cells differ from what was read."""
        if not self.is_changed:
            return self._data
        return self._encoding.encode(self._document.edited(self._edits, self._appended))

    def without(self, rows: Collection[int]) -> bytes:
        """Return the file as it was read, without some rows; all other bytes stay.

        Args:
            rows: 0-based indices into the rows of the file.

        Raises:
            IndexError: There is no such row.
        """
        for row in rows:
            if not 0 <= row < len(self._original):
                raise IndexError(row)
        return self._encoding.encode(self._document.without(rows))

    def source(self, row: int) -> str:
        """Return the text of a row of the file, as `inserted` takes it."""
        return self._document.source(row)

    def inserted(self, texts: Mapping[int, Sequence[str]]) -> bytes:
        """Return the file as it was read, with rows put into it; all other bytes stay.

        Args:
            texts: What comes before a row, each as `source` gave it, from this file or another;
                what comes last stands under the number of rows.

        Raises:
            UnicodeEncodeError: The file's encoding cannot hold a text.
        """
        return self._encoding.encode(self._document.inserted(texts))

    def save(self) -> None:
        """Write the edits into the file, atomically, together with what was changed elsewhere.

        When the file has changed since it was read, the edits are made in its new content: rows
        are found by their media path. Afterwards `rows` are those of the file as it is then.

        Raises:
            ConflictError: Both sides changed one cell, or a row that was edited is gone. Nothing
                is written, and the edits are kept.
            DatasetError: The file was changed into something that cannot be read.
        """
        if not self.is_changed:
            return
        for _ in range(_SAVE_ATTEMPTS):
            now = self._on_disk()
            data = self.to_bytes() if now is None or now == self._data else self._merged(now)
            try:
                with atomic_path(self.path) as part:
                    part.write_bytes(data)
                    # The last look before the rename leaves others microseconds, not a merge.
                    if self._on_disk() != now:
                        raise _ChangedMeanwhileError
            except _ChangedMeanwhileError:
                continue
            self._load(data)
            return
        raise DatasetError(
            "the file keeps changing",
            remedy="stop the other program and save again",
            file=self.path,
        )

    def resolve(self, conflict: Conflict, *, keep_ours: bool) -> None:
        """Decide a conflict, for the next `save`.

        Args:
            conflict: One of a `ConflictError`.
            keep_ours: Write our value over the one that was seen there (a row that is gone is
                added again), or drop our edit.
        """
        place = (conflict.row, conflict.column)
        if not keep_ours:
            self._edits.pop(place, None)
        elif not conflict.row_is_gone:
            self._agreed[place] = conflict.theirs
        elif place in self._edits:
            self.append(self._rows[conflict.row])
            for key in [key for key in self._edits if key[0] == conflict.row]:
                del self._edits[key]

    def _load(self, data: bytes) -> None:
        text, self._encoding = decode(data, self.path)
        self._document = self._parser(text, self.path)
        self._data = data
        self._original = self._document.rows
        self._rows = [dict(row) for row in self._original]
        self._edits: dict[tuple[int, str], object] = {}
        self._appended: list[dict[str, object]] = []
        self._agreed: dict[tuple[int, str], object] = {}

    def _on_disk(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def _merged(self, now: bytes) -> bytes:
        """Return the file as it is now with our edits made in it."""
        theirs = Manifest(self.path, now)
        edits, conflicts = merge(
            self._original,
            self._edits,
            theirs.rows,
            self._key_column or find_column(self._document.columns, "video"),
            self._agreed,
        )
        if conflicts:
            raise ConflictError(conflicts, self.path)
        for (row, column), value in edits.items():
            theirs.set(row, column, value)
        for values in self._appended:
            if values not in theirs.rows[len(self._original) :]:
                theirs.append(values)
        return theirs.to_bytes()

    def _check(self, column: str, value: object, row: int) -> None:
        """Refuse what the file cannot hold."""
        try:
            if self.format == "csv":
                f"{column}{value}".encode(self._encoding.codec)
            else:
                json.dumps(value)
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            raise DatasetError(
                f"the value cannot be written to {self.format.upper()}: {error}",
                remedy="remove what is not text from it",
                file=self.path,
                row=row + 1,
                column=column,
            ) from error
