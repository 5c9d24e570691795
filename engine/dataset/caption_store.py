"""Where new captions go: a dataset file, or two plain text files, and the history beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.caption_origins import Origin, Origins
from engine.dataset.caption_text_files import TextFiles
from engine.dataset.columns import NEW_CAPTION, NEW_VIDEO, find_column, media_column
from engine.dataset.manifest import cell_text, load_manifest
from engine.dataset.name_keys import name_keys, numbered
from engine.dataset.versions import Kind, Versions
from engine.dataset.windows import WHOLE, Span, read_span
from engine.dataset.write_captions import Edit, Request, write
from engine.errors import DatasetError, UsageError
from engine.files.safe import atomic_write
from engine.text import visible

SUFFIXES = (".json", ".jsonl", ".csv", ".txt")
# Beside them a dataset that is there may have these.
_READABLE = (*SUFFIXES, ".ndjson", ".tsv")
_EMPTY = {
    ".json": "[]\n",
    ".csv": "media_path,caption\n",
    ".tsv": "media_path\tcaption\n",
}


def seen_file(state_dir: Path) -> Path:
    """Return where writing notes what it saw; beside the workbench's, whose lock it shares."""
    return state_dir / "editing" / "captioning.seen"


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the dataset.

    Attributes:
        row: 0-based.
        cell: The media path as it is written there.
        media: The file; None where the cell is empty.
        others: The other cells that are text.
        span: Which part of the file it keeps.
        fault: Why that cannot be told; empty where it can.
    """

    key: Key
    row: int
    cell: str
    media: Path | None
    caption: str
    others: dict[str, str] = {}
    span: Span = WHOLE
    fault: str = ""


class NewCaption(msgspec.Struct, frozen=True, kw_only=True):
    """A caption to write.

    Attributes:
        base: The caption that was there when it was asked for.
        is_new: Whether the row is to be added.
        origin: Who wrote it, and whether it is malformed.
    """

    key: Key
    base: str
    text: str
    is_new: bool
    origin: Origin


class CaptionStore(Protocol):
    """A place for captions."""

    @property
    def folder(self) -> Path:
        """Where its paths start from."""

    def rows(self) -> list[StoredRow]:
        """Return the rows; none where nothing is there yet.

        Raises:
            DatasetError: What is there cannot be read.
        """

    def write(self, captions: Sequence[NewCaption]) -> frozenset[Key]:
        """Write captions, all at once; return those whose caption was edited meanwhile.

        Those are left as they are; what was to be written is kept among their versions.

        Raises:
            DatasetError: What is there cannot be read or written.
        """


def open_store(
    path: Path, state_dir: Path, *, video_column: str = "", caption_column: str = ""
) -> CaptionStore:
    """Return the store of an output file, which need not be there yet.

    Args:
        path: A .json, .jsonl, .csv or .txt file.
        state_dir: The project's, which has the captions' history.
        video_column: Empty: found by its name; so is the next.
        caption_column: The column of captions.

    Raises:
        UsageError: Captions cannot be written in that format.
    """
    suffix = path.suffix.lower()
    if suffix not in _READABLE:
        raise UsageError(
            f"captions cannot be written as {suffix or 'a file without suffix'!r}",
            remedy=f"use {', '.join(SUFFIXES)}",
            file=path,
        )
    if suffix == ".txt":
        return _TextStore(TextFiles(path), state_dir)
    return _DatasetStore(path, state_dir, video_column, caption_column)


class _Keeper:
    """Keeps versions, and who wrote what."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    @contextlib.contextmanager
    def _database(self) -> Iterator[CaptionDatabase]:
        database = CaptionDatabase(self._state_dir)
        try:
            yield database
        finally:
            database.close()

    def keep(self, captions: Sequence[NewCaption]) -> None:
        """Note the captions that are there, and those that will be.

        Before they are written: whatever happens then, no text is lost.
        """
        with self._database() as database, database.transaction():
            versions, marks, origins = Versions(database), Marks(database), Origins(database)
            for one in captions:
                if one.base.strip() and one.base != one.text:
                    by_hand = marks.state(one.key, one.base) != "auto"
                    versions.note(one.key, Kind.EDITED if by_hand else Kind.AUTO, one.base)
                versions.note(one.key, Kind.AUTO, one.text)
                origins.note(one.key, one.text, one.origin)


class _DatasetStore:
    """A dataset file, edited without losing anything."""

    def __init__(self, path: Path, state_dir: Path, video_column: str, caption_column: str) -> None:
        self._path = path
        self._video = video_column
        self._caption = caption_column
        self._seen = seen_file(state_dir)
        self._has_columns = False
        self._keeper = _Keeper(state_dir)

    @property
    def folder(self) -> Path:
        return self._path.parent

    def rows(self) -> list[StoredRow]:
        if not self._path.exists():
            return []
        manifest = load_manifest(self._path, key_column=self._video)
        if not manifest.rows:
            return []
        remedy = "name it as dataset.video_column, or write to another file with -o"
        video = media_column(manifest, self._video, remedy=remedy)
        caption = self._caption or find_column(manifest.columns, "caption") or NEW_CAPTION
        rows = []
        keys = name_keys(manifest.rows, video)
        for number, (key, row) in enumerate(zip(keys, manifest.rows, strict=True)):
            cell = cell_text(row.get(video))
            others = {
                column: value
                for column, value in row.items()
                if column not in (video, caption) and isinstance(value, str)
            }
            span, fault = _span(row)
            rows.append(
                StoredRow(
                    key=key,
                    row=number,
                    cell=cell,
                    media=self.folder / cell if cell.strip() else None,
                    caption=cell_text(row.get(caption)),
                    others=others,
                    span=span,
                    fault=fault,
                )
            )
        return rows

    def write(self, captions: Sequence[NewCaption]) -> frozenset[Key]:
        self._keeper.keep(captions)
        self._begin()
        captions = self._first_rows(captions)
        if not captions:
            return frozenset()
        edits = tuple(
            Edit(name=one.key.name, nth=one.key.nth, base=one.base, text=one.text, add=one.is_new)
            for one in captions
        )
        answer = write(
            Request(
                dataset=str(self._path),
                video_column=self._video,
                caption_column=self._caption,
                seen=str(self._seen),
                edits=edits,
            )
        )
        if answer.problem:
            raise DatasetError(answer.problem, remedy=answer.remedy)
        return frozenset(Key(clash.name, clash.nth) for clash in answer.clashes)

    def _begin(self) -> None:
        if not self._path.exists():
            atomic_write(self._path, _EMPTY.get(self._path.suffix.lower(), "").encode())

    def _first_rows(self, captions: Sequence[NewCaption]) -> list[NewCaption]:
        """Write the new rows of a dataset without columns; return what is left to write."""
        manifest = load_manifest(self._path) if not self._has_columns else None
        if manifest is None or manifest.columns:
            self._has_columns = True
            return list(captions)
        for one in captions:
            if one.is_new:
                manifest.append(
                    {
                        self._video or NEW_VIDEO: one.key.name,
                        self._caption or NEW_CAPTION: one.text,
                    }
                )
        manifest.save()
        return [one for one in captions if not one.is_new]


def _span(row: Mapping[str, object]) -> tuple[Span, str]:
    try:
        return read_span(row), ""
    except ValueError as error:
        return WHOLE, str(error)


class _TextStore:
    """Two text files, a line for each clip."""

    def __init__(self, files: TextFiles, state_dir: Path) -> None:
        self._files = files
        self._keeper = _Keeper(state_dir)

    @property
    def folder(self) -> Path:
        return self._files.folder

    def rows(self) -> list[StoredRow]:
        lines = self._files.read()
        keys = numbered(visible(cell) for cell, _ in lines)
        return [
            StoredRow(
                key=key,
                row=number,
                cell=cell,
                media=self.folder / cell,
                caption=caption,
            )
            for number, (key, (cell, caption)) in enumerate(zip(keys, lines, strict=True))
        ]

    def write(self, captions: Sequence[NewCaption]) -> frozenset[Key]:
        captions = [
            msgspec.structs.replace(one, text=" ".join(one.text.split())) for one in captions
        ]
        self._keeper.keep(captions)
        lines = self._files.read()
        places = {row.key: row.row for row in self.rows()}
        clashes = set()
        for one in captions:
            at = places.get(one.key)
            if at is None and one.is_new:
                places[one.key] = len(lines)
                lines.append((one.key.name, one.text))
            elif at is None or lines[at][1] not in (one.base, one.text):
                clashes.add(one.key)
            else:
                lines[at] = (lines[at][0], one.text)
        self._files.write(lines)
        return frozenset(clashes)
