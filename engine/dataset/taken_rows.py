"""Rows that were taken out of datasets, kept whole in `.ltx-tui/taken-out.jsonl`.

Lines are only added, and are on the disk before the dataset is changed: a row is in one of both, or
for a moment in both, and never in none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.dataset.caption_db import Key
from engine.files.safe import fsync_folder
from engine.state.file import keep_out_of_git

FILE = "taken-out.jsonl"


class TakenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was.

    Attributes:
        key: What it went by.
        row: 0-based place in the file.
        behind: What the row before it goes by; None for the first.
        many: How many rows were called the same, itself among them; 0 for one without a path.
        kept: Under which key its caption's past is kept.
        source: Its text in the file.
        values: Its cells.
    """

    key: Key
    row: int
    behind: Key | None
    many: int
    kept: Key
    source: str
    values: dict[str, Any]


class TakenOut(msgspec.Struct, frozen=True, kw_only=True, tag="out", tag_field="what"):
    """Rows that are taken out together.

    Attributes:
        id: Tells it from others.
        at: When, in seconds since 1970.
        dataset: The file, relative to the project's folder where it lies in it.
        rows: In their order.
    """

    id: str
    at: float
    dataset: str
    rows: tuple[TakenRow, ...]


class _Given(msgspec.Struct, frozen=True, kw_only=True, tag="given", tag_field="what"):
    """Rows that are in the dataset again, by their places in `TakenOut.rows`."""

    id: str
    rows: tuple[int, ...]


class _Undone(msgspec.Struct, frozen=True, kw_only=True, tag="undone", tag_field="what"):
    """A taking-out that never came to be."""

    id: str


_Line = TakenOut | _Given | _Undone


class TakenRows:
    """The file, for one dataset."""

    def __init__(self, state_dir: Path, dataset: Path) -> None:
        """Open nothing yet.

        Args:
            state_dir: The project's state folder.
            dataset: The dataset file.
        """
        self.path = state_dir / FILE
        home = str(state_dir.absolute().parent)
        # As text that moves with the project.
        self.dataset = str(dataset.absolute()).removeprefix(home + os.sep)

    def keep(self, taken: TakenOut) -> None:
        """Keep rows that are to be taken out; they are on the disk when this returns.

        Raises:
            OSError: The file cannot be written.
        """
        self._add(taken)

    def undo(self, taken: TakenOut) -> None:
        """Note that the rows were not taken out after all.

        Raises:
            OSError: The file cannot be written.
        """
        self._add(_Undone(id=taken.id))

    def give(self, taken: TakenOut, rows: Sequence[int]) -> None:
        """Note that some of the rows are in the dataset again.

        Raises:
            OSError: The file cannot be written.
        """
        self._add(_Given(id=taken.id, rows=tuple(rows)))

    def left(self) -> list[tuple[TakenOut, list[int]]]:
        """Return what was taken out of this dataset, the oldest first, and which rows still are.

        Raises:
            OSError: The file cannot be read.
        """
        found: dict[str, tuple[TakenOut, list[int]]] = {}
        for line in self._lines():
            if isinstance(line, TakenOut):
                if line.dataset == self.dataset:
                    found[line.id] = (line, [*range(len(line.rows))])
            elif isinstance(line, _Undone):
                found.pop(line.id, None)
            elif line.id in found:
                taken, rows = found[line.id]
                found[line.id] = (taken, [row for row in rows if row not in line.rows])
        return list(found.values())

    def _lines(self) -> Iterator[_Line]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.splitlines():
            try:
                yield msgspec.convert(json.loads(line), _Line)
            except (ValueError, RecursionError):
                # Half a line is of a power cut, before anything was taken out.
                continue

    def _add(self, line: _Line) -> None:
        # Not by msgspec: a cell of JSON may hold half surrogates, and numbers that are none.
        data = json.dumps(msgspec.to_builtins(line)).encode() + b"\n"
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        keep_out_of_git(folder)
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    data = b"\n" + data
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(folder)
