"""JSON datasets: a list of objects, or an object that holds one, with the place of each value.

No library edits JSON and leaves the rest of the bytes alone, so the objects of the rows are walked
here; all values, and so all of JSON's details, are read by the standard library's decoder.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.dataset.spans import Edits, Splice, edits_by_row, line_of, newline_of, spliced
from engine.errors import DatasetError

_SPACE = re.compile(r"[ \t\n\r]*")
_ESCAPED = re.compile(r"\\u(?!00[0-7])[0-9a-fA-F]{4}")
_DECODER = json.JSONDecoder()


class Pair(NamedTuple):
    """A key and its value, each with the place of its text."""

    value: object
    key_start: int
    key_end: int
    start: int
    end: int


class JsonRow(NamedTuple):
    """An object of the list: its pairs, and the place of its braces."""

    pairs: dict[str, Pair]
    start: int
    end: int


class JsonRows(ABC):
    """The objects of a dataset file, read and changed without touching what is between them."""

    def __init__(self, text: str, items: list[JsonRow], *, one_line: bool = False) -> None:
        """Take the text and the objects in it, each on a line of its own where `one_line`."""
        self._text = text
        self._items = items
        self._style = JsonStyle(text, items, one_line=one_line)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of all rows in the order in which they are first seen."""
        return tuple(dict.fromkeys(key for row in self._items for key in row.pairs))

    @property
    def rows(self) -> list[dict[str, object]]:
        """The values as they are in the file."""
        return [{key: pair.value for key, pair in row.pairs.items()} for row in self._items]

    def line(self, row: int) -> int:
        """Return the 1-based line on which a row starts."""
        return line_of(self._text, self._items[row].start)

    def edited(self, edits: Edits, appended: Sequence[Mapping[str, object]]) -> str:
        """Return the text with some cells changed and rows added; the rest stays as it was."""
        splices = [
            splice
            for row, changes in edits_by_row(edits).items()
            for splice in self._style.changes(self._items[row], changes)
        ]
        if appended:
            splices.append(self._append([self._style.row(row) for row in appended]))
        return spliced(self._text, splices)

    @abstractmethod
    def without(self, rows: Collection[int]) -> str:
        """Return the text without some rows; the rest stays as it is in the file."""

    @abstractmethod
    def inserted(self, texts: Mapping[int, Sequence[str]]) -> str:
        """Return the text with rows put before others; the rest stays as it is in the file."""

    @abstractmethod
    def _append(self, texts: Sequence[str]) -> Splice:
        """Return how the texts of rows are added."""


class JsonDocument(JsonRows):
    """A JSON dataset file."""

    def __init__(self, text: str, file: Path) -> None:
        """Parse the text.

        Raises:
            DatasetError: It is not JSON, or holds no list of objects, or a row has a key twice.
        """
        self._open, items, self._close = _Scanner(text, file).table()
        super().__init__(text, items)

    def without(self, rows: Collection[int]) -> str:
        """Return the text without some rows; the rest stays as it is in the file."""
        items, gone = self._items, set(rows)
        last = max((row for row in range(len(items)) if row not in gone), default=None)
        if last is None:
            return self._text[: self._open + 1] + self._text[self._close :]
        splices = [Splice(items[row].start, items[row + 1].start, "") for row in gone if row < last]
        if last + 1 < len(items):
            splices.append(Splice(items[last].end, items[-1].end, ""))
        return spliced(self._text, splices)

    def source(self, row: int) -> str:
        """Return the object of a row."""
        return self._text[self._items[row].start : self._items[row].end]

    def inserted(self, texts: Mapping[int, Sequence[str]]) -> str:
        """Return the text with objects put before others; the rest stays as it is in the file."""
        between = self._between()
        starts = [item.start for item in self._items]
        return spliced(
            self._text,
            [
                Splice(starts[row], starts[row], "".join(text + between for text in objects))
                if row < len(starts)
                else self._append(objects)
                for row, objects in texts.items()
            ],
        )

    def _between(self) -> str:
        """Return what stands between two objects."""
        if len(self._items) > 1:
            return self._text[self._items[-2].end : self._items[-1].start]
        if self._items:
            return "," + (self._text[self._open + 1 : self._items[0].start] or " ")
        return f",{newline_of(self._text)}  "

    def _append(self, texts: Sequence[str]) -> Splice:
        between = self._between()
        if not self._items:
            newline = newline_of(self._text)
            body = between.join(texts)
            return Splice(self._open + 1, self._close, f"{newline}  {body}{newline}")
        end = self._items[-1].end
        return Splice(end, end, "".join(between + text for text in texts))


class JsonStyle:
    """How a file writes its objects, for values, keys and rows that are added to it."""

    def __init__(self, text: str, rows: Sequence[JsonRow], *, one_line: bool = False) -> None:
        self._text = text
        self._one_line = one_line
        self._model = next((row for row in reversed(rows) if row.pairs), None)
        # Characters beyond ASCII: as the file writes them already, else as themselves.
        self._ascii = text.isascii() and bool(_ESCAPED.search(text))

    def changes(self, row: JsonRow, changes: Mapping[str, object]) -> Iterator[Splice]:
        """Yield the splices that change or add values in a row."""
        added = ""
        comma, colon = self._separators(row)
        for column, value in changes.items():
            pair = row.pairs.get(column)
            if pair is None:
                key = self._dump(column)
                added += f"{comma if row.pairs or added else ''}{key}{colon}{self._dump(value)}"
            else:
                yield Splice(pair.start, pair.end, self._dump(value, pair))
        if added:
            end = max((pair.end for pair in row.pairs.values()), default=row.start + 1)
            yield Splice(end, end, added)

    def row(self, row: Mapping[str, object]) -> str:
        """Return an object with these values, laid out as the last one of the file is."""
        if self._model is None:
            newline = newline_of(self._text)
            before, after = ("", "") if self._one_line else (f"{newline}    ", f"{newline}  ")
            comma, colon = "," + (before or " "), ": "
        else:
            pairs = list(self._model.pairs.values())
            before = self._text[self._model.start + 1 : pairs[0].key_start]
            after = self._text[pairs[-1].end : self._model.end - 1]
            comma, colon = self._separators(self._model)
        body = comma.join(f"{self._dump(key)}{colon}{self._dump(row[key])}" for key in row)
        return f"{{{before}{body}{after}}}"

    def _separators(self, row: JsonRow) -> tuple[str, str]:
        """Return what a row, or the file's last one, has between pairs, and after a key."""
        model = row if row.pairs else self._model
        if model is None:
            return ", ", ": "
        pairs = list(model.pairs.values())
        colon = self._text[pairs[-1].key_end : pairs[-1].start]
        if len(pairs) > 1:
            return self._text[pairs[-2].end : pairs[-1].key_start], colon
        before = self._text[model.start + 1 : pairs[0].key_start]
        return "," + (before or (" " if colon.endswith(" ") else "")), colon

    def _dump(self, value: object, old: Pair | None = None) -> str:
        """Return a value as JSON, escaped like the value that it replaces."""
        escape = self._ascii
        if old is not None:
            token = self._text[old.start : old.end]
            if not token.isascii():
                escape = False
            elif _ESCAPED.search(token):
                escape = True
        text = json.dumps(value, ensure_ascii=escape)
        # Half a surrogate pair can only be written as an escape.
        return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def scan_row(text: str, start: int) -> JsonRow:
    """Read the object at `start`.

    Raises:
        ValueError: A JSONDecodeError where it is not JSON; its message says when a key is doubled.
        RecursionError: A value is nested too deeply.
    """
    if not text.startswith("{", start):
        raise json.JSONDecodeError("expected an object in braces", text, start)
    pairs: dict[str, Pair] = {}
    position = skip(text, start + 1)
    if text.startswith("}", position):
        return JsonRow(pairs, start, position + 1)
    while True:
        key, key_end = _DECODER.raw_decode(text, position)
        if not isinstance(key, str):
            raise json.JSONDecodeError("expected a key in double quotes", text, position)
        if key in pairs:
            raise json.JSONDecodeError(f"the key {key!r} is there twice", text, position)
        colon = skip(text, key_end)
        if not text.startswith(":", colon):
            raise json.JSONDecodeError("expected a colon after a key", text, colon)
        value_start = skip(text, colon + 1)
        value, value_end = _DECODER.raw_decode(text, value_start)
        pairs[key] = Pair(value, position, key_end, value_start, value_end)
        position = skip(text, value_end)
        if text.startswith("}", position):
            return JsonRow(pairs, start, position + 1)
        if not text.startswith(",", position):
            raise json.JSONDecodeError("expected a comma or a closing brace", text, position)
        position = skip(text, position + 1)


def skip(text: str, position: int) -> int:
    """Return the position after JSON's white space."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def json_error(error: Exception, text: str, file: Path, row: int | None) -> DatasetError:
    """Return what is wrong with a JSON text as an error of the dataset.

    Args:
        error: What `scan_row` or the decoder raised.
        text: The whole text.
        file: The dataset file.
        row: The 1-based row, where known.
    """
    if isinstance(error, json.JSONDecodeError):
        line = line_of(text, error.pos)
        column = error.pos - max(text.rfind("\n", 0, error.pos), text.rfind("\r", 0, error.pos))
        return DatasetError(
            f"line {line}, character {column}: {error.msg.removesuffix(' at')}",
            remedy="mend the JSON there",
            file=file,
            row=row,
        )
    message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return DatasetError(message, remedy="mend the JSON there", file=file, row=row)


class _Scanner:
    """Finds the list of rows in a JSON text."""

    def __init__(self, text: str, file: Path) -> None:
        self._text = text
        self._file = file
        self._row: int | None = None

    def table(self) -> tuple[int, list[JsonRow], int]:
        """Return where the list opens, its rows, and where its closing bracket is."""
        text = self._text
        start = skip(text, 0)
        if start == len(text):
            raise DatasetError("is empty", remedy="an empty dataset is written []", file=self._file)
        try:
            if text.startswith("{", start):
                top = scan_row(text, start)
                end = top.end
                opening = self._the_list(top)
                rows, close = self._list(opening)
            else:
                opening = start
                rows, close = self._list(start)
                end = close + 1
            if skip(text, end) != len(text):
                raise json.JSONDecodeError("more text after the end", text, skip(text, end))
        except (ValueError, RecursionError) as error:
            raise json_error(error, text, self._file, self._row) from error
        return opening, rows, close

    def _the_list(self, top: JsonRow) -> int:
        """Return where the one list of objects in the top object starts."""
        rest = skip(self._text, top.end)
        if self._text.startswith("{", rest):
            raise DatasetError(
                f"line {line_of(self._text, rest)}: a second object follows the first",
                remedy="rename the file to .jsonl if it has one object a line",
                file=self._file,
            )
        lists = [
            key
            for key, pair in top.pairs.items()
            if isinstance(pair.value, list) and all(isinstance(one, dict) for one in pair.value)
        ]
        filled = [key for key in lists if top.pairs[key].value]
        lists = filled or lists
        if len(lists) != 1:
            found = f"several: {', '.join(map(repr, lists))}" if lists else "none"
            raise DatasetError(
                f"the file should hold one list of objects, and holds {found}",
                remedy='write a list of clips: [{"video": "a.mp4", "caption": "…"}, …]',
                file=self._file,
            )
        return top.pairs[lists[0]].start

    def _list(self, opening: int) -> tuple[list[JsonRow], int]:
        text = self._text
        if not text.startswith("[", opening):
            raise json.JSONDecodeError("expected a list of objects", text, opening)
        rows: list[JsonRow] = []
        position = skip(text, opening + 1)
        if text.startswith("]", position):
            return rows, position
        while True:
            self._row = len(rows) + 1
            row = scan_row(text, position)
            rows.append(row)
            position = skip(text, row.end)
            if text.startswith("]", position):
                self._row = None
                return rows, position
            if not text.startswith(",", position):
                raise json.JSONDecodeError("expected a comma or a closing bracket", text, position)
            position = skip(text, position + 1)
