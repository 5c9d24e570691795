"""The overview as a file that opens at once, whatever the size of the dataset.

What lists sort and filter by lies in columns at the end and is read whole: some 100 bytes a row.
The rows themselves, with captions and reasons, are read one by one when they are looked at, and
text is searched in the file: a view of 100,000 clips need not hold their captions.

    magic | rows, msgpack each | captions | warnings | reasons | head, msgpack | length of head
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.files.safe import atomic_path
from engine.overview.types import WORST_FIRST, CaptionState, OutputState, Overview, Row

if TYPE_CHECKING:
    from engine.suspicion.file import Scores

FILE = "overview.msgpack"

_MAGIC = b"ltx-view"
_VERSION = 1
_TRAILER = struct.Struct("<Q")
_BATCH = 1000  # rows that are packed together
_SEARCHED = 1 << 22  # bytes that a search reads at a time

CAPTIONS = tuple(CaptionState)
OUTPUTS = (None, *OutputState)  # a stage of which nothing is known is 0
WORST = bytes([0, *(len(OutputState) - WORST_FIRST.index(one) for one in OutputState)])

Text = Literal["captions", "warnings", "reasons"]
_TEXTS: tuple[Text, ...] = ("captions", "warnings", "reasons")


class _Columns(msgspec.Struct, array_like=True):
    """The columns as bytes of arrays; names joined by line feeds, which none of them has."""

    names: str
    seconds: bytes
    widths: bytes
    heights: bytes
    frames: bytes
    fps: bytes
    audio: bytes
    buckets: bytes
    bucket_names: list[str]
    captions: bytes
    states: list[bytes]


class _Head(msgspec.Struct, array_like=True):
    """All but the rows and the text that is searched.

    Attributes:
        overview: Without its rows.
        starts: Where each row, and each piece of text, begins and the last one ends.
    """

    version: int
    count: int
    overview: Overview
    columns: _Columns
    starts: dict[str, bytes]


class Table:
    """An open overview.

    Attributes:
        overview: What is true of all of it; its `rows` are empty, see `row`.
        names: The names of all rows.
        seconds: Lengths; these columns and those below have one entry a row.
        widths: Pixels as displayed.
        heights: Pixels as displayed.
        frames: Decoded frames.
        fps: Frames a second.
        audio: 1 where there is sound.
        buckets: Index into `bucket_names`, whose first is empty; see `set_bucket`.
        captions: Index into `CAPTIONS`; may be changed.
        states: For each stage, index into `OUTPUTS`; may be changed.
        stages: The stages of `states`; may be added to.
        scores: How suspicious the captions are; None where nobody knows. Not of the file: they are
            found beside it.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        """Open what `write_overview` wrote.

        Args:
            read: Returns the bytes at (offset, length).
            size: Bytes there are.

        Raises:
            ValueError: It is no overview, or one of another version.
        """
        self._read = read
        head = _read_head(read, size)
        self.overview = head.overview
        columns = head.columns
        self.names = columns.names.split("\n") if head.count else []
        self.seconds = array("d", columns.seconds)
        self.widths = array("I", columns.widths)
        self.heights = array("I", columns.heights)
        self.frames = array("I", columns.frames)
        self.fps = array("d", columns.fps)
        self.audio = columns.audio
        self.buckets = array("H", columns.buckets)
        self.bucket_names = columns.bucket_names
        self.captions = bytearray(columns.captions)
        self.stages = list(head.overview.stages)
        self.states = [bytearray(one) for one in columns.states]
        self.scores: Scores | None = None
        self._starts = {name: array("Q", data) for name, data in head.starts.items()}

    def __len__(self) -> int:
        return len(self.names)

    def row(self, index: int) -> Row:
        """Return a row as it was when the overview was made."""
        starts = self._starts["rows"]
        data = self._read(starts[index], starts[index + 1] - starts[index])
        return _ROW.decode(data)

    def column(self, stage: str) -> bytearray:
        """Return the states of a stage, adding a stage that is not there."""
        if stage not in self.stages:
            self.stages.append(stage)
            self.states.append(bytearray(len(self)))
        return self.states[self.stages.index(stage)]

    def set_bucket(self, index: int, name: str) -> None:
        """Change the bucket of a row."""
        if name not in self.bucket_names:
            self.bucket_names.append(name)
        self.buckets[index] = self.bucket_names.index(name)

    def worst(self) -> bytes:
        """Return, for each row, the worst of its states as `WORST` ranks them; 0 for none."""
        ranks = [state.translate(_RANKS) for state in self.states]
        if len(ranks) < 2:
            return bytes(ranks[0]) if ranks else bytes(len(self))
        return bytes(map(max, *ranks))

    def filled(self, where: Text) -> frozenset[int]:
        """Return the rows that have such text at all."""
        starts = self._starts[where]
        return frozenset(row for row in range(len(self)) if starts[row + 1] - starts[row] > 1)

    def search(self, where: Text, text: str) -> list[int]:
        """Return the rows whose text has `text`, whatever the case and the spaces."""
        needle = folded(text).encode("utf-8", "replace")
        if not needle:
            return list(range(len(self)))
        starts = self._starts[where]
        found: list[int] = []
        first = 0
        while first < len(self):
            last = max(bisect_right(starts, starts[first] + _SEARCHED) - 1, first + 1)
            data = self._read(starts[first], starts[last] - starts[first])
            found += _hits(data, needle, starts, first)
            first = last
        return found


def _hits(data: bytes, needle: bytes, starts: Sequence[int], first: int) -> Iterator[int]:
    """Yield the rows whose text has the needle, in data that begins with a row's."""
    base = starts[first]
    place = data.find(needle)
    while place >= 0:
        index = bisect_right(starts, base + place) - 1
        yield index
        place = data.find(needle, starts[index + 1] - base)


def folded(text: str) -> str:
    """Return text as it is searched: lower case, single spaces."""
    return " ".join(text.casefold().split())


def open_overview(path: Path) -> Table | None:
    """Open an overview; None where there is none that can be used.

    The file may be replaced meanwhile: what was opened stays as it was.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    source = _File(fd)
    try:
        return Table(source.read, os.fstat(fd).st_size)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError):
        return None  # of another version, or cut short: it is made again


def table_of(overview: Overview) -> Table:
    """Return an overview as a table that lies in memory."""
    data = b"".join(_pack(overview))
    return Table(lambda start, length: data[start : start + length], len(data))


def write_overview(path: Path, overview: Overview) -> None:
    """Write an overview, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        file.writelines(_pack(overview))


class _File:
    """An open file that is closed when nobody reads it any more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, start: int, length: int) -> bytes:
        """Return bytes of it."""
        return os.pread(self._fd, length, start)

    def __del__(self) -> None:
        os.close(self._fd)


def _read_head(read: Callable[[int, int], bytes], size: int) -> _Head:
    least = len(_MAGIC) + _TRAILER.size
    if size < least or read(0, len(_MAGIC)) != _MAGIC:
        raise ValueError("no overview")
    (length,) = _TRAILER.unpack(read(size - _TRAILER.size, _TRAILER.size))
    if length > size - least:
        raise ValueError("cut short")
    head = _HEAD.decode(read(size - _TRAILER.size - length, length))
    if head.version != _VERSION:
        raise ValueError("of another version")
    return head


def _pack(overview: Overview) -> Iterator[bytes]:
    """Yield the file piece by piece."""
    yield _MAGIC
    place = len(_MAGIC)
    starts: dict[str, bytes] = {}
    parts: list[tuple[str, Callable[[Row], bytes]]] = [("rows", _packed_row)]
    parts += [(name, _TEXT_OF[name]) for name in _TEXTS]
    for name, pack in parts:
        marks = array("Q", [place])
        for number in range(0, len(overview.rows), _BATCH):
            pieces = [pack(row) for row in overview.rows[number : number + _BATCH]]
            for piece in pieces:
                place += len(piece)
                marks.append(place)
            yield b"".join(pieces)
        starts[name] = marks.tobytes()
    head = msgspec.msgpack.encode(
        _Head(
            version=_VERSION,
            count=len(overview.rows),
            overview=msgspec.structs.replace(overview, rows=()),
            columns=_columns(overview),
            starts=starts,
        )
    )
    yield head
    yield _TRAILER.pack(len(head))


def _columns(overview: Overview) -> _Columns:
    rows = overview.rows
    names = ["", *sorted({row.bucket for row in rows} - {""})]
    number = {name: index for index, name in enumerate(names)}
    return _Columns(
        names="\n".join(row.name for row in rows),
        seconds=array("d", (row.seconds for row in rows)).tobytes(),
        widths=array("I", (row.size[0] for row in rows)).tobytes(),
        heights=array("I", (row.size[1] for row in rows)).tobytes(),
        frames=array("I", (row.frames for row in rows)).tobytes(),
        fps=array("d", (row.fps for row in rows)).tobytes(),
        audio=bytes(row.audio for row in rows),
        buckets=array("H", (number[row.bucket] for row in rows)).tobytes(),
        bucket_names=names,
        captions=bytes(CAPTIONS.index(row.caption_state) for row in rows),
        states=[_states(rows, stage) for stage in overview.stages],
    )


def _states(rows: Iterable[Row], stage: str) -> bytes:
    """Return the codes of one stage."""
    return bytes(
        next((OUTPUTS.index(one.state) for one in row.stages if one.stage == stage), 0)
        for row in rows
    )


def _packed_row(row: Row) -> bytes:
    try:
        return msgspec.msgpack.encode(row)
    except UnicodeEncodeError:  # half a surrogate, which only JSON can hold
        caption = row.caption.encode("utf-8", "replace").decode()
        return msgspec.msgpack.encode(msgspec.structs.replace(row, caption=caption))


def _text(lines: Iterable[str]) -> bytes:
    # NUL keeps what is searched for from lying in two rows.
    return "\n".join(folded(line) for line in lines).encode("utf-8", "replace") + b"\0"


_TEXT_OF: dict[Text, Callable[[Row], bytes]] = {
    "captions": lambda row: _text([row.caption]),
    "warnings": lambda row: _text(row.warnings),
    "reasons": lambda row: _text(one.reason for one in row.stages if one.reason),
}
_RANKS = WORST + bytes(256 - len(WORST))
_ROW = msgspec.msgpack.Decoder(Row)
_HEAD = msgspec.msgpack.Decoder(_Head)
