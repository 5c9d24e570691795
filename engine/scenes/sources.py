"""Videos that can be cut into scenes, all but those made here, and rows for their pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.dataset.add_rows import Added, add_rows
from engine.errors import UsageError
from engine.files.identity import stat_identity
from engine.findings import PROXY
from engine.media.scene_options import VIDEO_SUFFIXES
from engine.project import Project
from engine.text import natural
from engine.worker.scene_record import RECORDS, records

_PIECE = re.compile(r"-Scene-\d{3,}")
_OURS = re.compile(rf"(?:_reference|{re.escape(PROXY)}(?:~\d+)?)\Z")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A video that can be cut.

    Attributes:
        path: The file, absolute.
        size: Its bytes.
        is_clip: Whether the dataset names it.
    """

    path: Path
    size: int
    is_clip: bool = False


def find_sources(
    folder: Path, *, without: Iterable[Path] = (), clips: Iterable[Path] = ()
) -> list[Source]:
    """Return the videos under a folder that can be cut: those that are no clips yet come first.

    Left out are hidden folders, pieces that were cut before, references, proxies, and whatever
    lies in some folders.

    Args:
        folder: Where to look.
        without: Folders that are not looked into, such as that of the outputs.
        clips: What the dataset names.

    Raises:
        UsageError: The folder cannot be read.
    """
    folder = folder.absolute()
    shut, named = set(map(_plain, without)), set(map(_plain, clips))
    found: list[Source] = []

    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            raise UsageError(
                f"cannot be read: {error.strerror}", remedy="check the path", file=folder
            )

    for root, folders, names in os.walk(folder, onerror=refuse):
        pieces = _pieces(Path(root)) if RECORDS in folders else None
        folders[:] = [
            name for name in folders if name[0] != "." and _plain(Path(root, name)) not in shut
        ]
        for name in names:
            path = Path(root, name)
            if _is_video(name) and not _is_ours(path, pieces) and path.is_file():
                size = path.stat().st_size
                found.append(Source(path=path, size=size, is_clip=_plain(path) in named))
    return sorted(found, key=lambda one: (one.is_clip, natural(str(one.path.relative_to(folder)))))


def source_of(path: Path) -> Source:
    """Return a video that was named.

    Raises:
        UsageError: There is none.
    """
    if not path.exists():
        raise UsageError("no such file or folder", remedy="check the path", file=path)
    if not path.is_file() or not _is_video(path.name):
        raise UsageError(
            "is no video by its name",
            remedy=f"name one of {', '.join(sorted(VIDEO_SUFFIXES))}, or a folder",
            file=path,
        )
    return Source(path=path.absolute(), size=stat_identity(path).size)


def _is_video(name: str) -> bool:
    return name[0] != "." and Path(name).suffix.lower() in VIDEO_SUFFIXES


def _pieces(folder: Path) -> set[str]:
    return {str(made.file) for record in records(folder) for made in record.files()}


def _is_ours(path: Path, pieces: set[str] | None) -> bool:
    """Whether a video was made here.

    Args:
        path: The video.
        pieces: Names of pieces that were cut into its folder; None where none were.
    """
    if pieces is not None and (path.name in pieces or _PIECE.search(path.stem)):
        return True
    return bool(_OURS.search(path.stem))


def _plain(path: Path) -> str:
    """Return a path to compare with others; links are not followed."""
    return os.path.normpath(path.absolute())


def add_pieces(project: Project, pieces: Iterable[Path], gone: Iterable[Path]) -> Added:
    """Give pieces rows in the project's dataset; raises as `add_rows`.

    Args:
        project: The settings.
        pieces: Those that are there.
        gone: Those of earlier settings that were removed.
    """
    return add_rows(
        project.dataset_path,
        sorted(pieces),
        gone=gone,
        video_column=project.dataset.video_column,
        caption_column=project.dataset.caption_column,
    )
