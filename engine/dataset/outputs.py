"""Output paths: always inside their folder, and never two clips on one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec
import xxhash

_SUFFIX = ".pt"
_LONGEST_NAME = 240  # bytes; file systems stop at 255, and temporary files need a few


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes what.

    Attributes:
        names: The output of each row; unique. In a collision the first row has the plain name.
        collisions: For each row in one, all its rows in order, itself included.
    """

    names: dict[int, PurePosixPath]
    collisions: dict[int, tuple[int, ...]]


def output_path(media: str, folder: Path, part: str = "") -> PurePosixPath:
    """Return the output path of a media path as it is written in the dataset.

    It mirrors the media's path in the dataset's folder, with the suffix `.pt`. Media elsewhere go
    to `external/<parent's name>-<hash of the parent as written>/`, so that two folders of one name
    stay apart. Paths are taken as text: links are not followed.

    Args:
        media: The path, relative to `folder` or absolute; without control characters.
        folder: The dataset's folder, absolute.
        part: Put behind the name of an output that is made from a part of the media.
    """
    home = os.path.normpath(folder)
    whole = os.path.normpath(os.path.join(home, media))  # noqa: PTH118 - asked of every row
    before = home if home.endswith("/") else home + "/"
    if whole.startswith(before) and not whole.startswith("//") and whole != before:
        return _with_pt(PurePosixPath(whole.removeprefix(before)), part)
    path = PurePosixPath(whole)
    parent = str(PurePosixPath(media).parent)
    digest = xxhash.xxh3_64_hexdigest(parent.encode("utf-8", "surrogatepass"))[:8]
    name = PurePosixPath(path.parent.name or "root")
    return _with_pt(PurePosixPath("external", f"{name}-{digest}", path.name or "root"), part)


def claim_outputs(wanted: Mapping[int, PurePosixPath], media: Mapping[int, str]) -> Claims:
    """Give every row an output of its own.

    The first row that wants a name keeps it. The others get the name with the media's suffix
    (`a.mov.pt`) or, where that is taken or wanted by somebody, a number (`a~2.pt`).

    Args:
        wanted: The plain output of each row, in the order of the rows.
        media: The media's file name of each row.
    """
    groups: dict[PurePosixPath, list[int]] = {}
    for row, name in wanted.items():
        groups.setdefault(name, []).append(row)
    taken = set(groups)
    names = {group[0]: name for name, group in groups.items()}
    for name, group in groups.items():
        for row in group[1:]:
            names[row] = _free(name, media[row], taken)
            taken.add(names[row])
    collisions = {row: tuple(group) for group in groups.values() if len(group) > 1 for row in group}
    return Claims(names={row: names[row] for row in wanted}, collisions=collisions)


def _free(name: PurePosixPath, media: str, taken: set[PurePosixPath]) -> PurePosixPath:
    candidate = name.with_name(_fitting(media)) if media else name  # "/" has no name
    number = 1
    while candidate in taken:
        number += 1
        candidate = name.with_name(_fitting(f"{name.stem}~{number}"))
    return candidate


def _with_pt(path: PurePosixPath, part: str) -> PurePosixPath:
    """Replace the suffix, as the trainer's own scripts do: `a.b.mp4` gives `a.b.pt`."""
    return path.with_name(_fitting(path.stem + part))


def _fitting(stem: str) -> str:
    """Return `stem.pt`; a name that would be too long for a disk is cut and gets a hash."""
    data = stem.encode("utf-8", "surrogatepass")
    if len(data) <= _LONGEST_NAME:
        return stem + _SUFFIX
    digest = xxhash.xxh3_64_hexdigest(data)[:8]
    return f"{data[:_LONGEST_NAME].decode('utf-8', 'ignore')}-{digest}{_SUFFIX}"
