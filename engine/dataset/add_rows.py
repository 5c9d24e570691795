"""Rows for new media at the end of a dataset file; all that is there stays as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.dataset.columns import NEW_CAPTION, NEW_VIDEO, find_column, media_column
from engine.dataset.manifest import Manifest, cell_text
from engine.dataset.write_cells import refuse_read_only
from engine.errors import DatasetError, EnvironmentFaultError
from engine.files.safe import atomic_path
from engine.text import is_utf8, visible

_ATTEMPTS = 5


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What became of media.

    Attributes:
        names: What the new rows call their media.
        there: How many had rows already.
        gone: What rows call files that are gone.
    """

    names: tuple[str, ...] = ()
    there: int = 0
    gone: tuple[str, ...] = ()


class _ChangedMeanwhileError(Exception):
    """Another program wrote between our reading and our writing."""


def add_rows(
    path: Path,
    media: Iterable[Path],
    *,
    gone: Iterable[Path] = (),
    video_column: str = "",
    caption_column: str = "",
) -> Added:
    """Give each file a row without a caption, atomically; one that has a row gets no other.

    A dataset file that is not there is made.

    Args:
        path: The dataset file.
        media: Files. They are written relative to the dataset's folder where they lie in it.
        gone: Files that were removed; rows that name them stay, and are told.
        video_column: The column of media paths; empty: found by its name; so is the next.
        caption_column: The column of captions.

    Raises:
        DatasetError: The file cannot be read, is read-only, has no column of media, or cannot
            hold a name.
        EnvironmentFaultError: The folder cannot be written.
    """
    files = [_plain(one) for one in media]
    lost = {str(_plain(one)) for one in gone}
    for _ in range(_ATTEMPTS):
        was = _bytes(path)
        manifest = Manifest(path, was if was is not None else _blank(path))
        added = _append(manifest, files, lost, video_column, caption_column)
        if not added.names:
            return added
        refuse_read_only(path)
        try:
            with atomic_path(path) as part:
                part.write_bytes(manifest.to_bytes())
                # The last look before the rename.
                if _bytes(path) != was:
                    raise _ChangedMeanwhileError
        except _ChangedMeanwhileError:
            continue
        except OSError as error:
            raise EnvironmentFaultError(
                f"cannot be written: {error.strerror}",
                remedy="make its folder writable, and space on its disk",
                file=path,
            ) from error
        return added
    raise DatasetError(
        "the file keeps changing", remedy="stop the other program and try again", file=path
    )


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(
            f"cannot be read: {error.strerror}", remedy="check the path", file=path
        ) from error


def _blank(path: Path) -> bytes:
    """Return a dataset without rows, by the suffix of its file."""
    match path.suffix.lower():
        case ".csv":
            return f"{NEW_CAPTION},{NEW_VIDEO}\n".encode()
        case ".tsv":
            return f"{NEW_CAPTION}\t{NEW_VIDEO}\n".encode()
        case ".jsonl" | ".ndjson":
            return b""
    return json.dumps([]).encode() + b"\n"


def _plain(path: Path) -> Path:
    """Return a path to compare with others; links are not followed."""
    return Path(os.path.normpath(path.absolute()))


def _append(
    manifest: Manifest,
    files: Sequence[Path],
    lost: set[str],
    video_column: str,
    caption_column: str,
) -> Added:
    folder = manifest.path.absolute().parent
    video, caption = _columns(manifest, video_column, caption_column)
    named = media_paths(manifest.rows, video, folder)
    taken = set(named)
    names: list[str] = []
    there = 0
    for file in files:
        if str(file) in taken:
            there += 1
            continue
        taken.add(str(file))
        name = _written(file, folder)
        if not is_utf8(name):
            raise DatasetError(
                f"{visible(name)} is not UTF-8, so a dataset cannot name it",
                remedy="rename the file",
                file=manifest.path,
            )
        values = {caption: "", video: name} if caption else {video: name}
        order = {column: at for at, column in enumerate(manifest.columns)}
        manifest.append(dict(sorted(values.items(), key=lambda one: order.get(one[0], len(order)))))
        names.append(name)
    gone = (_written(Path(one), folder) for one in dict.fromkeys(named) if one in lost)
    return Added(names=tuple(names), there=there, gone=tuple(gone))


def _columns(manifest: Manifest, video: str, caption: str) -> tuple[str, str]:
    """Return the columns of media and captions; those of a dataset without any are new."""
    new = "" if manifest.columns else NEW_CAPTION
    found = find_column(manifest.columns, "caption")
    return media_column(manifest, video), caption or found or new


def media_paths(rows: Iterable[Mapping[str, object]], video_column: str, folder: Path) -> list[str]:
    """Return the files that rows name, as absolute paths; links are not followed."""
    cells = (cell_text(row.get(video_column)).strip() for row in rows)
    return [os.path.normpath(folder / cell) for cell in cells if cell]


def _written(file: Path, folder: Path) -> str:
    """Return how a dataset names a file: relative to its folder where it lies in it."""
    try:
        return file.relative_to(folder).as_posix()
    except ValueError:
        return file.as_posix()
