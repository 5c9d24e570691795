"""Which column holds what: named by the user, or by the conventions of the trainers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from engine.errors import DatasetError
from engine.settings import DatasetSection
from engine.text import listed

# By role, the first that is there counts; both generations of the trainer's names.
CONVENTIONS: dict[str, tuple[str, ...]] = {
    "video": ("video", "media_path", "video_path", "image", "image_path"),
    "caption": ("caption",),
    "reference": ("reference_video", "ref_media_path", "reference_path"),
    "audio": ("audio",),
    "reference_audio": ("reference_audio",),
    "video_mask": ("video_mask",),
    "audio_mask": ("audio_mask",),
}

# What columns are called in a dataset that has none yet.
NEW_VIDEO, NEW_CAPTION = "media_path", "caption"


class HasColumns(Protocol):
    """What is asked of a manifest here."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that there are."""

    @property
    def path(self) -> Path:
        """The dataset file."""


class ColumnMap(msgspec.Struct, frozen=True, kw_only=True):
    """The column of each role; empty where the dataset has none.

    Attributes:
        reference: The reference videos, only when they were asked for by name.
        detected_reference: The column that looks like references, asked for or not.
    """

    video: str
    caption: str = ""
    reference: str = ""
    audio: str = ""
    reference_audio: str = ""
    video_mask: str = ""
    audio_mask: str = ""
    detected_reference: str = ""


def resolve_columns(
    manifest: HasColumns,
    *,
    video: str = "",
    caption: str = "",
    reference: str = "",
    audio: str = "",
    reference_audio: str = "",
    video_mask: str = "",
    audio_mask: str = "",
    need_caption: bool = True,
) -> ColumnMap:
    """Return the columns: those given by name, else those that the conventions find.

    References are never used by convention alone: the trainers' scripts read that column only
    when it is named, and a dataset may have it from an earlier job.

    Args:
        manifest: The dataset.
        video: The column of media paths; empty, here and below: by convention.
        caption: The column of captions.
        reference: The column of reference videos; empty: none.
        audio: The column of separate sound files.
        reference_audio: The column of the references' sound files.
        video_mask: The column of video masks.
        audio_mask: The column of audio masks.
        need_caption: Whether a dataset without captions is an error.

    Raises:
        DatasetError: A column that was named is not there, or there is none for the media.
    """
    given = {
        "video": video,
        "caption": caption,
        "reference": reference,
        "audio": audio,
        "reference_audio": reference_audio,
        "video_mask": video_mask,
        "audio_mask": audio_mask,
    }
    for name in given.values():
        if name and name not in manifest.columns:
            raise _missing(manifest, name)
    detected = {role: find_column(manifest.columns, role) for role in CONVENTIONS}
    found = {role: given[role] or detected[role] for role in given} | {"reference": reference}
    for role in ("video", "caption") if need_caption else ("video",):
        if not found[role] and manifest.columns:
            raise _unnamed(manifest, role)
    return ColumnMap(**found, detected_reference=reference or detected["reference"])


def project_columns(
    manifest: HasColumns,
    section: DatasetSection,
    *,
    video: str = "",
    with_references: bool = True,
    need_caption: bool = True,
) -> ColumnMap:
    """Return the columns of a project's dataset; raises as `resolve_columns`.

    Args:
        manifest: The dataset.
        section: What the project names.
        video: The column of media paths where the project names none; empty: by convention.
        with_references: Whether the column of references has to be there that the project names.
        need_caption: Whether a dataset without captions is an error.
    """
    return resolve_columns(
        manifest,
        video=section.video_column or video,
        caption=section.caption_column,
        reference=section.reference_column if with_references else "",
        audio=section.audio_column,
        need_caption=need_caption,
    )


def media_column(
    manifest: HasColumns,
    name: str = "",
    *,
    remedy: str = "name it as dataset.video_column",
) -> str:
    """Return the column of media paths: the named one, else by convention.

    A dataset without any column, such as an empty list, has the one that is new in it.

    Raises:
        DatasetError: There is none; its remedy may be given.
    """
    if not manifest.columns:
        return name or NEW_VIDEO
    column = name or find_column(manifest.columns, "video")
    if column not in manifest.columns:
        raise DatasetError("no column of media paths", remedy=remedy, file=manifest.path)
    return column


def find_column(columns: Sequence[str], role: str) -> str:
    """Return the column of a role by convention, or an empty string."""
    return next((name for name in CONVENTIONS[role] if name in columns), "")


def _missing(manifest: HasColumns, name: str) -> DatasetError:
    close = difflib.get_close_matches(name, manifest.columns, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return DatasetError(
        "there is no such column",
        remedy=f"{guess}the columns are: {', '.join(manifest.columns) or 'none'}",
        file=manifest.path,
        column=name,
    )


def _unnamed(manifest: HasColumns, role: str) -> DatasetError:
    folded = {name.strip().casefold(): name for name in manifest.columns}
    close = [folded[name] for name in CONVENTIONS[role] if name in folded]
    guess = f"is it {close[0]!r}? " if close else ""
    what = "media paths" if role == "video" else f"{role}s"
    return DatasetError(
        f"no column of {what}: looked for {', '.join(CONVENTIONS[role])}",
        remedy=f"{guess}name it as dataset.{role}_column or with --{role}-column; "
        f"the columns are: {', '.join(manifest.columns)}",
        file=manifest.path,
    )


def unused_columns(columns: ColumnMap) -> list[str]:
    """Warn of columns that look as if they were meant to be encoded, and are not."""
    warnings = []
    if columns.detected_reference and not columns.reference:
        warnings.append(
            f"column {columns.detected_reference!r} looks like references, which are not asked "
            "for: dataset.reference_column or --reference-column names it"
        )
    unused = (columns.reference_audio, columns.video_mask, columns.audio_mask)
    if names := [name for name in unused if name]:
        warnings.append(f"{listed(names)}: reference sounds and masks are not encoded yet")
    return warnings
