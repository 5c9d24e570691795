"""Windows of clips written into a dataset file: set, added as rows of their own, taken away.

All other bytes of the file stay. What other programs wrote meanwhile stays too: a row that is not
as the asking session knows it is left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from engine.dataset.caption_db import Key
from engine.dataset.columns import find_column, media_column
from engine.dataset.manifest import Manifest, cell_text
from engine.dataset.name_keys import name_keys
from engine.dataset.rewrite import rewrite
from engine.dataset.windows import END_COLUMN, START_COLUMN, WHOLE, read_span, row_name
from engine.dataset.write_captions import digest_of
from engine.errors import DatasetError, UsageError

# Seconds are written to the thousandth, as names of rows have them.
_DIGITS = 3


What = Literal["set", "add", "remove"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with the window of a row.

    Attributes:
        what: "set" writes it into the row; "add" makes another row with it, a copy of this one;
            "remove" takes it away: with its row where others have the same media, else by
            emptying its cells.
        key: The row.
        start: Seconds after the first frame; None for the clip's beginning.
        end: Seconds after the first frame; None for the clip's end.
        with_row: "remove": whether the row is to go; where that is not what would be done, nothing
            is.
        caption: "remove": `digest_of` the row's caption, as the one who asks knows it.
    """

    what: What
    key: Key
    start: float | None = None
    end: float | None = None
    with_row: bool = False
    caption: int = 0


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        before: What the rows went by, in their order.
        after: What the same rows go by now, None for one that is gone; an added one stands last.
        key: The row that was changed or added; for one that is gone, what it went by.
        row: 0-based row of it in the file as it is now; of one that is gone, as it was.
        is_gone: Whether the row was taken out of the file.
        caption: The caption of a row that is gone.
    """

    before: tuple[Key, ...]
    after: tuple[Key | None, ...]
    key: Key
    row: int
    is_gone: bool = False
    caption: str = ""


def change_window(
    path: Path, change: Change, *, video_column: str = "", caption_column: str = ""
) -> Changed:
    """Change the window of a row in the dataset file, atomically.

    Args:
        path: The dataset file.
        change: What to do.
        video_column: The column of media paths; empty: found by its name; so is the next.
        caption_column: The column of captions.

    Raises:
        UsageError: The window makes no sense, or there is none to take away.
        DatasetError: The row is not there any more as it was, another row has that window, or the
            file cannot be read, is read-only, or cannot hold a value.
        OSError: The folder cannot be written.
    """
    _check(change)

    def make(was: bytes) -> tuple[bytes, Changed]:
        manifest = Manifest(path, was, key_column=video_column)
        work = _Work(manifest, change, video_column, caption_column)
        return work.do(), work.changed

    return rewrite(path, make)


def _check(change: Change) -> None:
    """Refuse a window that ends before it starts.

    Raises:
        UsageError: It does.
    """
    start = change.start or 0.0
    if start < 0 or (change.end is not None and round(change.end - start, _DIGITS) <= 0):
        raise UsageError("the window ends before it starts", remedy="set the out point later")


class _Work:
    """One change of a file that was just read."""

    def __init__(self, manifest: Manifest, change: Change, video: str, caption: str) -> None:
        self._manifest = manifest
        self._change = change
        self._caption = caption or find_column(manifest.columns, "caption")
        self._video = media_column(manifest, video)
        self._before = tuple(name_keys(manifest.rows, self._video))
        row = next((n for n, key in enumerate(self._before) if key == change.key), None)
        if row is None:
            raise self._conflict("the row was changed or removed by another program")
        self._row = row
        self.changed = Changed(before=self._before, after=self._before, key=change.key, row=row)

    def do(self) -> bytes:
        """Return the file with the change made."""
        change, manifest = self._change, self._manifest
        if change.what == "remove":
            return self._remove()
        row = self._row
        if change.what == "add":
            row = len(manifest.rows)
            manifest.append(manifest.rows[self._row])
        self._set(row, change.start, change.end)
        self._refuse_double(row)
        return self._done(row)

    def _remove(self) -> bytes:
        manifest, row = self._manifest, self._row
        values = manifest.rows[row]
        if read_span(values) == WHOLE:
            raise UsageError("the row has no window", remedy="there is nothing to take away")
        media = values.get(self._video)
        is_only = sum(one.get(self._video) == media for one in manifest.rows) == 1
        if is_only == self._change.with_row:
            raise self._conflict("other rows of this clip came or went meanwhile")
        if is_only:
            self._set(row, None, None)
            return self._done(row)
        caption = cell_text(values.get(self._caption)) if self._caption else ""
        if digest_of(caption) != self._change.caption:
            raise self._conflict("the row's caption was changed by another program")
        others = [one for number, one in enumerate(manifest.rows) if number != row]
        after = name_keys(others, self._video)
        self.changed = msgspec.structs.replace(
            self.changed,
            after=(*after[:row], None, *after[row:]),
            is_gone=True,
            caption=caption,
        )
        return manifest.without([row])

    def _set(self, row: int, start: float | None, end: float | None) -> None:
        for column, seconds in ((START_COLUMN, start), (END_COLUMN, end)):
            there = column in self._manifest.rows[row]
            if seconds is not None or (there and self._manifest.rows[row][column] is not None):
                self._manifest.set(row, column, self._value(column, seconds))

    def _value(self, column: str, seconds: float | None) -> object:
        """Return seconds as the file writes them: as text where it has text already."""
        rows = self._manifest.rows
        is_text = any(isinstance(row.get(column), str) for row in rows)
        if seconds is None:
            return "" if is_text else None
        value = round(seconds, _DIGITS)
        number = int(value) if value == int(value) else value
        return str(number) if is_text or self._manifest.format == "csv" else number

    def _refuse_double(self, row: int) -> None:
        """Refuse what a row of the same media has already: both would write one output."""
        rows = self._manifest.rows
        name = row_name(rows[row], self._video, row)
        for number, other in enumerate(rows):
            if number != row and row_name(other, self._video, number) == name:
                raise DatasetError(
                    f"row {number + 1} has this window already",
                    remedy="choose another in or out point",
                    file=self._manifest.path,
                )

    def _done(self, row: int) -> bytes:
        after = tuple(name_keys(self._manifest.rows, self._video))
        self.changed = msgspec.structs.replace(
            self.changed, after=after[: len(self._before)], key=after[row], row=row
        )
        return self._manifest.to_bytes()

    def _conflict(self, message: str) -> DatasetError:
        return DatasetError(
            message,
            remedy="nothing was written; f5 in the workbench reads the dataset again",
            file=self._manifest.path,
        )
