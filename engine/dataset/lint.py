"""The doctor's look at a dataset: what is allowed, and still probably not meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.captioners.answers import is_refusal
from engine.captions import sections, strip_llm_prefix
from engine.dataset.clips import Clip, ClipSet, Problem
from engine.dataset.columns import ColumnMap
from engine.dataset.manifest import Manifest, cell_text
from engine.media.images import is_image
from engine.text import listed, plural

_REFERENCE = "_reference"  # what compute-reference puts behind a clip's stem


def lint(manifest: Manifest, columns: ColumnMap, clips: ClipSet) -> list[Problem]:
    """Return all that is wrong or doubtful in a dataset: by row, then what is about all of it.

    Args:
        manifest: The dataset.
        columns: Its columns.
        clips: Its clips; their problems (missing files, collisions, empty captions) are included.
    """
    problems = [*clips.problems]
    problems += _captions(clips.clips, columns)
    problems += _paths(manifest, columns, clips.clips)
    problems += _references(manifest, columns)
    problems.sort(key=lambda one: len(manifest.rows) if one.row is None else one.row)
    if not manifest.rows:
        problems.append(_note(None, "", "no-clips", "the dataset has no rows", "add clips to it"))
    return [*problems, *_kinds(clips.clips, columns)]


def _captions(clips: Sequence[Clip], columns: ColumnMap) -> Iterator[Problem]:
    column = columns.caption
    first: dict[str, int] = {}
    for clip in clips:
        text = clip.caption.strip()
        if not text:
            continue
        if text != clip.caption:
            yield _note(
                clip.row,
                column,
                "caption-spaces",
                "space before or after the caption",
                "remove it",
            )
        if is_refusal(sections(text).get("VISUAL") or text):
            yield _note(
                clip.row,
                column,
                "caption-refusal",
                "the caption reads like a model's refusal",
                "write one, or caption this clip again",
            )
        elif strip_llm_prefix(clip.caption) != clip.caption:
            yield _note(
                clip.row,
                column,
                "caption-opening",
                "the caption opens like a model's answer",
                "set text.strip_prefixes, or shorten it",
            )
        other = first.setdefault(text, clip.row)
        if other != clip.row:
            yield _note(
                clip.row,
                column,
                "caption-duplicate",
                f"the same caption as row {other + 1}",
                "say what differs",
            )


def _paths(manifest: Manifest, columns: ColumnMap, clips: Sequence[Clip]) -> Iterator[Problem]:
    stems = {(clip.media.parent, clip.media.stem) for clip in clips}
    for clip in clips:
        value = cell_text(manifest.rows[clip.row].get(columns.video))
        if value != value.strip():
            yield _note(
                clip.row,
                columns.video,
                "path-spaces",
                "space before or after the path",
                "remove it, unless the file is really called so",
            )
        folder, stem = clip.media.parent, clip.media.stem
        if stem.endswith(_REFERENCE) and (folder, stem.removesuffix(_REFERENCE)) in stems:
            yield _note(
                clip.row,
                columns.video,
                "reference-as-clip",
                "looks like the reference of another clip",
                "remove the row, or it is trained on as a clip",
            )


def _references(manifest: Manifest, columns: ColumnMap) -> Iterator[Problem]:
    """Note references that are there and will not be used."""
    column = columns.detected_reference
    if columns.reference or not column:
        return
    count = sum(1 for row in manifest.rows if cell_text(row.get(column)).strip())
    if count:
        yield _note(
            None,
            column,
            "reference-unused",
            f"{plural(count, 'row has', 'rows have')} a reference that is not used",
            f'set dataset.reference_column = "{column}" to encode them',
        )


def _kinds(clips: Sequence[Clip], columns: ColumnMap) -> Iterator[Problem]:
    images = [clip.name for clip in clips if is_image(clip.media)]
    if images and len(images) < len(clips):
        yield _note(
            None,
            columns.video,
            "mixed-media",
            f"{plural(len(images), 'image')} among {plural(len(clips) - len(images), 'video')}: "
            f"{listed(images)}",
            "trainers before March 2026 take all images or all videos; split the dataset for them",
        )


def _note(row: int | None, column: str, code: str, message: str, remedy: str) -> Problem:
    return Problem(
        row=row, column=column, severity="warning", message=message, remedy=remedy, code=code
    )
