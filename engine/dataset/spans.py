"""A dataset file as text whose pieces can be replaced while every other byte stays."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
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

    def without(self, row: int) -> str:
        """Return the text without a row; the rest stays as it is in the file."""


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


def without_line(text: str, start: int, end: int) -> str:
    """Return the text without the lines of a record; a last line that is open leaves one.

    Args:
        text: The whole text.
        start: Where the record starts, spaces before it left out.
        end: Where it ends; nothing but spaces follow on its line.
    """
    start -= len(text[:start]) - len(text[:start].rstrip(" \t"))
    end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    after = NEWLINE.match(text, end)
    if after is not None:
        return text[:start] + text[after.end() :]
    return text[:start].removesuffix("\n").removesuffix("\r")
