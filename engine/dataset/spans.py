"""A dataset file as text whose pieces can be replaced while every other byte stays."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.errors import DatasetError

Edits = Mapping[tuple[int, str], object]

# UTF-32-LE comes first: its mark begins with that of UTF-16-LE.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NEWLINE = re.compile(r"\r\n?|\n")


class Splice(NamedTuple):
    """Put `new` in the place of the characters `start` to `end`."""

    start: int
    end: int
    new: str


class Encoding(NamedTuple):
    """How a file's text became bytes: its byte order mark (or none) and its codec."""

    mark: bytes
    codec: str

    def encode(self, text: str) -> bytes:
        """Return the bytes of the file."""
        return self.mark + text.encode(self.codec)


class Document(Protocol):
    """A parsed dataset file: values by row, and a way back to text."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the order in which they are first seen."""

    @property
    def rows(self) -> Sequence[Mapping[str, object]]:
        """The values as they are in the file."""

    def line(self, row: int) -> int:
        """Return the 1-based line on which a row starts."""

    def edited(self, edits: Edits, appended: Sequence[Mapping[str, object]]) -> str:
        """Return the text with some cells changed and rows added; the rest stays as it was.

        Args:
            edits: New values by (row index, column); a column that is new is added.
            appended: Rows to add at the end.
        """

    def without(self, rows: Collection[int]) -> str:
        """Return the text without some rows; the rest stays as it is in the file."""

    def source(self, row: int) -> str:
        """Return the text of a row, as `inserted` takes it."""

    def inserted(self, texts: Mapping[int, Sequence[str]]) -> str:
        """Return the text with rows put into it; the rest stays as it is in the file.

        Args:
            texts: What comes before a row, each as `source` gave it; what comes last stands under
                the number of rows.
        """


def decode(data: bytes, file: Path) -> tuple[str, Encoding]:
    """Return a file's text, and what is needed to turn it back into the same bytes.

    Raises:
        DatasetError: The bytes are not of the encoding that the mark says, or, without one, not
            UTF-8.
    """
    mark, codec = next((m for m in _MARKS if data.startswith(m[0])), (b"", "utf-8"))
    body = data[len(mark) :]
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as error:
        line = line_of(body[: error.start].decode(codec, "replace"), None)
        raise DatasetError(
            f"line {line}: byte {len(mark) + error.start} is not {codec.upper()}",
            remedy="save the file as UTF-8",
            file=file,
        ) from error
    if not mark and "\0" in text:
        raise DatasetError(
            f"line {line_of(text, text.index(chr(0)))}: NUL characters in the text",
            remedy="save the file as UTF-8 (it may be UTF-16 without a byte order mark)",
            file=file,
        )
    return text, Encoding(mark, codec)


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with pieces replaced; of two at one place the first given comes first."""
    parts = []
    position = 0
    for splice in sorted(splices, key=lambda one: one.start):
        parts += [text[position : splice.start], splice.new]
        position = splice.end
    return "".join([*parts, text[position:]])


def line_of(text: str, position: int | None) -> int:
    """Return the 1-based line of a position (None: of the end)."""
    return (
        sum(1 for _ in NEWLINE.finditer(text, 0, len(text) if position is None else position)) + 1
    )


def newline_of(text: str) -> str:
    """Return the newline that the text uses last, which is what an added line should use."""
    found = NEWLINE.findall(text)
    return found[-1] if found else "\n"


def edits_by_row(edits: Edits) -> dict[int, dict[str, object]]:
    """Group edits by row."""
    rows: dict[int, dict[str, object]] = {}
    for (row, column), value in edits.items():
        rows.setdefault(row, {})[column] = value
    return rows


def whole_line(text: str, start: int, end: int) -> Splice:
    """Return where a record stands with the spaces around it on its lines, and nothing for it.

    Args:
        text: The whole text.
        start: Where the record starts, spaces before it left out.
        end: Where it ends; nothing but spaces follow on its line.
    """
    while start and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t":
        end += 1
    return Splice(start, end, "")


def without_lines(text: str, lines: Iterable[Splice]) -> str:
    """Return the text without the lines of records; a last line that is open leaves one.

    Args:
        text: The whole text.
        lines: Of each record, as `whole_line` gives it.
    """
    splices, is_open = [], False
    for line in lines:
        after = NEWLINE.match(text, line.end)
        is_open = is_open or after is None
        splices.append(line if after is None else Splice(line.start, after.end(), ""))
    left = spliced(text, splices)
    return left.removesuffix("\n").removesuffix("\r") if is_open else left


def with_lines(text: str, starts: Sequence[int], texts: Mapping[int, Sequence[str]]) -> str:
    """Return the text with the lines of records put into it.

    Args:
        text: The whole text.
        starts: Where the line of each record starts that is there.
        texts: As for `Document.inserted`.
    """
    newline = newline_of(text)
    return spliced(
        text,
        [
            Splice(starts[row], starts[row], "".join(line + newline for line in lines))
            if row < len(starts)
            else lines_at_end(text, lines)
            for row, lines in texts.items()
        ],
    )


def lines_at_end(text: str, lines: Sequence[str]) -> Splice:
    """Return how lines are added; a last line that is open stays open, for the added one."""
    newline, end = newline_of(text), len(text)
    body = newline.join(lines)
    is_open = bool(text) and not text.endswith(("\n", "\r"))
    return Splice(end, end, f"{newline}{body}" if is_open else f"{body}{newline}")
