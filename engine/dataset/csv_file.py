"""CSV datasets with the place of each cell.

Values are what the standard library's `csv` reads: a quote is special at the start of a cell, is
doubled inside one, and a record may span lines. `csv` does not say where a cell was, so the cells
are found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.dataset.line_rows import LineRows
from engine.dataset.spans import (
    Edits,
    Splice,
    edits_by_row,
    line_of,
    lines_at_end,
    spliced,
)
from engine.errors import DatasetError

_DELIMITERS = ",;\t|"


class CsvCell(NamedTuple):
    """A cell's value and the place of its text, quotes included."""

    value: str
    start: int
    end: int


class CsvDocument(LineRows):
    """A CSV dataset file with a header."""

    def __init__(self, text: str, file: Path) -> None:
        """Parse the text.

        Raises:
            DatasetError: There is no header, a column is there twice, a quote is not closed, or a
                row has more cells than the header.
        """
        self._text = text
        self._delimiter = _delimiter(text)
        self._needs_quotes = re.compile(rf'[{re.escape(self._delimiter)}"\r\n]')
        records = _records(text, self._delimiter, file)
        header = next(records, None)
        if header is None:
            raise DatasetError(
                "is empty", remedy="its first line should name the columns", file=file
            )
        self._header = header
        self._columns = _column_names(header, file)
        self._rows: list[list[CsvCell]] = []
        for record in records:
            if len(header) > 1 and len(record) == 1 and not record[0].value.strip():
                continue
            if any(cell.value for cell in record[len(header) :]):
                raise DatasetError(
                    f"line {line_of(text, record[0].start)}: {len(record)} cells, but the header "
                    f"has {len(header)}",
                    remedy=f"put a cell that has {self._delimiter!r} in it in double quotes",
                    file=file,
                    row=len(self._rows) + 1,
                )
            self._rows.append(record)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns; one without a name is called "Unnamed: N"."""
        return self._columns

    @property
    def rows(self) -> list[dict[str, object]]:
        """The values as they are in the file; a cell that a short row lacks is empty."""
        blank = [""] * len(self._columns)
        return [
            dict(
                zip(
                    self._columns,
                    [*(cell.value for cell in row), *blank[len(row) :]],
                    strict=False,  # trailing empty cells have no column
                )
            )
            for row in self._rows
        ]

    def line(self, row: int) -> int:
        """Return the 1-based line on which a row starts."""
        return line_of(self._text, self._rows[row][0].start)

    def edited(self, edits: Edits, appended: Sequence[Mapping[str, object]]) -> str:
        """Return the text with some cells changed and rows added; the rest stays as it was."""
        asked = [column for _, column in edits] + [column for row in appended for column in row]
        new = [column for column in dict.fromkeys(asked) if column not in self._columns]
        names = [*self._columns, *new]
        splices: list[Splice] = []
        if new:
            titles = dict(zip(range(len(self._columns), len(names)), new, strict=True))
            splices += self._changes(self._header, titles, len(names))
        changed = edits_by_row(edits)
        for index, row in enumerate(self._rows):
            if index in changed or new:
                by_place = {
                    names.index(name): _as_text(value)
                    for name, value in changed.get(index, {}).items()
                }
                # A lone cell may be empty, and would then look like a blank line.
                width = len(names) if new or len(row) == 1 else 1 + max(by_place)
                splices += self._changes(row, by_place, width)
        if appended:
            splices.append(self._append(names, appended))
        return spliced(self._text, splices)

    def _line(self, row: int) -> Splice:
        record = self._rows[row]
        return Splice(record[0].start, record[-1].end, "")

    def _starts(self) -> list[int]:
        return [record[0].start for record in self._rows]

    def _changes(
        self, record: list[CsvCell], changes: Mapping[int, str], width: int
    ) -> Iterator[Splice]:
        """Yield the splices that change cells, and lengthen the record to `width` cells."""
        for place, value in changes.items():
            if place < len(record):
                cell = record[place]
                new = self._write(
                    value, quoted=self._is_quoted(cell), alone=max(width, len(record)) == 1
                )
                yield Splice(cell.start, cell.end, new)
        last = record[-1]
        added = "".join(
            self._delimiter + self._write(changes.get(place, ""), quoted=self._is_quoted(last))
            for place in range(len(record), width)
        )
        if added:
            yield Splice(last.end, last.end, added)

    def _append(self, names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> Splice:
        model = self._rows[-1] if self._rows else self._header
        quoted = [self._is_quoted(cell) for cell in model][: len(names)]
        quoted += [quoted[-1]] * (len(names) - len(quoted))
        lines = [
            self._delimiter.join(
                self._write(_as_text(row.get(name)), quoted=quote, alone=len(names) == 1)
                for name, quote in zip(names, quoted, strict=True)
            )
            for row in rows
        ]
        return lines_at_end(self._text, lines)

    def _is_quoted(self, cell: CsvCell) -> bool:
        return self._text.startswith('"', cell.start) and cell.end > cell.start

    def _write(self, value: str, *, quoted: bool, alone: bool = False) -> str:
        """Return a cell's text: quoted as the one that it replaces, or where it must be."""
        if quoted or self._needs_quotes.search(value) or (alone and not value):
            return '"' + value.replace('"', '""') + '"'
        return value


def _as_text(value: object) -> str:
    return "" if value is None else str(value)


def _delimiter(text: str) -> str:
    """Return the delimiter that the header has most often outside quotes; the comma if none."""
    header = re.match(r'(?:[^"\r\n]+|"[^"]*")*', text.lstrip("\r\n"))
    plain = re.sub(r'"[^"]*"', "", header[0]) if header else ""
    return max(_DELIMITERS, key=plain.count)


def _records(text: str, delimiter: str, file: Path) -> Iterator[list[CsvCell]]:
    """Yield the cells of each record that is not an empty line."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    # Possessive: the first half of a doubled quote must not pass for the closing one.
    quoted = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')
    record: list[CsvCell] = []
    position = 0
    while position < len(text) or record:
        start = position
        value = ""
        if text.startswith('"', position):
            match = quoted.match(text, position)
            if match is None:
                raise DatasetError(
                    f"line {line_of(text, position)}: a double quote is opened and never closed",
                    remedy='close it, or write "" for a quote inside a quoted cell',
                    file=file,
                )
            value = match[1].replace('""', '"')
            position = match.end()
        rest = plain.match(text, position)
        if rest is not None:
            value += rest[0]
            position = rest.end()
        record.append(CsvCell(value, start, position))
        if text.startswith(delimiter, position):
            position += 1
            continue
        if len(record) > 1 or position > start:
            yield record
        record = []
        position += 2 if text.startswith("\r\n", position) else 1


def _column_names(header: Sequence[CsvCell], file: Path) -> tuple[str, ...]:
    names = tuple(cell.value or f"Unnamed: {place}" for place, cell in enumerate(header))
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DatasetError(
                "the column is there twice", remedy="rename one of them", file=file, column=name
            )
    return names
