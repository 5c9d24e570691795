"""Clips: the rows of a dataset as media files, each with the output path that is its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from engine.dataset.columns import ColumnMap
from engine.dataset.manifest import Manifest, cell_text
from engine.dataset.outputs import claim_outputs, output_path
from engine.dataset.windows import (
    START_COLUMN,
    WHOLE,
    WINDOW_REMEDY,
    Span,
    read_span,
    row_name,
)
from engine.text import visible

# Control characters, and half surrogates, which no message and no output name can hold.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

OnCollision = Literal["refuse", "rename"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a row.

    Attributes:
        row: 0-based row; None when it is about the whole dataset.
        column: The column, or empty.
        severity: "error" keeps the clip from being encoded, "warning" does not.
        code: A short name for programs, such as "missing-file".
    """

    row: int | None
    column: str
    severity: Literal["error", "warning"]
    message: str
    remedy: str
    code: str


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose paths can be used.

    Attributes:
        row: 0-based row of the dataset.
        name: The media path as the dataset has it, safe to show, and the window of a row with one.
        span: Which part of it.
        media: The media file, absolute, links not followed and `..` kept.
        caption: As the dataset has it.
        reference: The reference video, when that column was asked for and the row has one.
        audio: A separate sound file, when the row has one.
        output: Path of the output inside the folder of every stage; unique.
    """

    row: int
    name: str
    media: Path
    caption: str
    output: PurePosixPath
    span: Span = WHOLE
    reference: Path | None = None
    audio: Path | None = None


class ClipSet(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of a dataset and what is wrong with its rows.

    Attributes:
        clips: In the order of the rows; a row with an error that leaves it without a path of its
            own is not among them. One whose file is missing is, and is in `blocked`.
        problems: In the order of the rows.
    """

    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]

    @property
    def blocked(self) -> frozenset[int]:
        """The rows that have an error."""
        return frozenset(
            one.row for one in self.problems if one.severity == "error" and one.row is not None
        )


def load_clips(
    manifest: Manifest,
    columns: ColumnMap,
    *,
    root: Path | None = None,
    on_collision: OnCollision = "refuse",
) -> ClipSet:
    """Return the clips of a dataset. Nothing is opened, only looked for; no row raises.

    Args:
        manifest: The dataset.
        columns: Its columns.
        root: The folder that relative paths start from and output paths mirror; by default the
            folder of the dataset file.
        on_collision: What becomes of rows that would write one output: all of them are refused,
            or the first keeps the name and the others get another.
    """
    folder = (root or manifest.path.parent).absolute()
    reader = _Reader(manifest.rows, columns, folder)
    media = {
        row: path for row in range(len(manifest.rows)) if (path := reader.media(row)) is not None
    }
    spans = {row: reader.span(row) for row in media}
    wanted = {
        row: output_path(cell_text(reader.rows[row][columns.video]), folder, _part(spans[row]))
        for row in media
    }
    claims = claim_outputs(wanted, {row: path.name for row, path in media.items()})
    reader.report(claims.collisions, claims.names, on_collision)
    reader.report_case(claims.names)
    clips = []
    for row, path in media.items():
        if on_collision == "refuse" and row in claims.collisions:
            continue
        values = reader.rows[row]
        clips.append(
            Clip(
                row=row,
                name=row_name(values, columns.video, row),
                span=spans[row],
                media=path,
                caption=reader.caption(row),
                output=claims.names[row],
                reference=reader.other(row, columns.reference, "reference"),
                audio=reader.other(row, columns.audio, "audio"),
            )
        )
    problems = sorted(reader.problems, key=lambda one: -1 if one.row is None else one.row)
    return ClipSet(clips=tuple(clips), problems=tuple(problems))


def _part(span: Span) -> str:
    return "" if span == WHOLE else f"@{span.words}"


class _Reader:
    """Reads the cells of rows, and notes what is wrong with them."""

    def __init__(
        self, rows: Sequence[Mapping[str, object]], columns: ColumnMap, folder: Path
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.folder = folder
        self.problems: list[Problem] = []

    def media(self, row: int) -> Path | None:
        """Return the media file of a row, or None when its cell is no path."""
        column = self.columns.video
        value = self.rows[row].get(column)
        if not cell_text(value).strip():
            self._note(row, column, "media-empty", "no media path", "fill the cell in")
            return None
        return self._path(row, column, value)

    def span(self, row: int) -> Span:
        """Return the window of a row."""
        try:
            return read_span(self.rows[row])
        except ValueError as error:
            self._note(row, START_COLUMN, "window", str(error), WINDOW_REMEDY)
            return WHOLE

    def caption(self, row: int) -> str:
        """Return the caption of a row."""
        column = self.columns.caption
        if not column:
            return ""
        value = self.rows[row].get(column)
        if value is not None and not isinstance(value, str | int | float):
            kind = "a list" if isinstance(value, list) else "an object"
            self._note(
                row, column, "caption-type", f"the caption is {kind}, not text", "write it as text"
            )
            return ""
        caption = cell_text(value)
        if not caption.strip():
            self._note(
                row,
                column,
                "caption-empty",
                "no caption",
                "write one, or run caption-videos",
                warning=True,
            )
        return caption

    def other(self, row: int, column: str, what: str) -> Path | None:
        """Return the file in a further column, or None where there is none."""
        if not column:
            return None
        value = self.rows[row].get(column)
        if not cell_text(value).strip():
            if what == "reference":
                self._note(row, column, "reference-empty", "no reference", "fill the cell in")
            return None
        return self._path(row, column, value)

    def report(
        self,
        collisions: Mapping[int, tuple[int, ...]],
        names: Mapping[int, PurePosixPath],
        on_collision: OnCollision,
    ) -> None:
        """Note the rows that would write one output, with the names that they could have."""
        for row, group in collisions.items():
            others = ", ".join(str(other + 1) for other in group if other != row)
            output = visible(names[group[0]])
            own = visible(names[row])
            message = f"rows {row + 1} and {others} would both write {output}"
            if on_collision == "rename":
                if row != group[0]:
                    self._note(
                        row,
                        self.columns.video,
                        "renamed",
                        message,
                        f"this one writes {own}",
                        warning=True,
                    )
                continue
            offer = (
                'rename or remove one, or set dataset.on_collision to "rename": '
                f"this row then writes {own}"
            )
            self._note(row, self.columns.video, "collision", message, offer)

    def report_case(self, names: Mapping[int, PurePosixPath]) -> None:
        """Note outputs that differ by upper and lower case only."""
        first: dict[str, int] = {}
        for row, name in names.items():
            other = first.setdefault(str(name).casefold(), row)
            if other != row and names[other] != name:
                self._note(
                    row,
                    self.columns.video,
                    "case-collision",
                    f"differs from row {other + 1} by upper and lower case only",
                    "rename one: some disks and archives take the two for one file",
                    warning=True,
                )

    def _path(self, row: int, column: str, value: object) -> Path | None:
        """Return a cell's path, made absolute without following links; None when it is none."""
        if not isinstance(value, str):
            self._note(
                row, column, "path-type", f"{visible(value)!r} is not a path", "write it as text"
            )
            return None
        if _UNUSABLE.search(value):
            self._note(
                row,
                column,
                "path-characters",
                f"the path {visible(value)} has control characters",
                "rename the file",
            )
            return None
        path = self.folder / value
        self._look(row, column, visible(value), path)
        return path

    def _look(self, row: int, column: str, value: str, path: Path) -> None:
        """Note when there is no such file."""
        try:
            is_file = path.is_file()
            exists = is_file or path.exists()
        except OSError:  # such as a name that is too long
            is_file = exists = False
        if is_file:
            return
        if exists:
            self._note(row, column, "not-a-file", f"{value} is not a file", "name a media file")
        elif "\\" in value:
            self._note(
                row,
                column,
                "missing-file",
                f"there is no {value}",
                "write the path with / instead of \\",
            )
        else:
            self._note(
                row,
                column,
                "missing-file",
                f"there is no {value}",
                f"relative paths start from {self.folder}",
            )

    def _note(
        self, row: int, column: str, code: str, message: str, remedy: str, *, warning: bool = False
    ) -> None:
        self.problems.append(
            Problem(
                row=row,
                column=column,
                severity="warning" if warning else "error",
                message=message,
                remedy=remedy,
                code=code,
            )
        )
