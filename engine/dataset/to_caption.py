"""Which clips a captioner is to see: never those that have a caption, nor files that we made."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from engine.dataset.caption_db import Key
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.caption_store import CaptionStore, StoredRow
from engine.dataset.columns import CONVENTIONS
from engine.dataset.name_keys import numbered_name
from engine.dataset.windows import WHOLE, WINDOW_REMEDY, Span
from engine.errors import UsageError
from engine.init import VIDEO_SUFFIXES
from engine.media.images import IMAGE_SUFFIXES
from engine.text import is_utf8, listed, natural, plural, visible

# Columns by convention whose files belong to a clip and are none themselves.
_COMPANIONS = ("reference", "audio", "reference_audio", "video_mask", "audio_mask")
_REFERENCE = "_reference"
# What a clip that was mended has behind its name; its row names it instead of the clip.
_PROXY = "_proxy"
# Of decoded latents, and of the previews of scenes.
_MADE_FOLDERS = {
    "decoded_videos",
    "decoded_reference_videos",
    "decoded_audio",
    "scene_images",
}
_IMAGES = {".jpg", ".jpeg", ".png"}


def clip_name(key: Key) -> str:
    """Return what tells the rows of one file apart."""
    return numbered_name(key) if key.nth else key.name


class ToCaption(msgspec.Struct, frozen=True, kw_only=True):
    """A clip to caption.

    Attributes:
        row: 0-based, of the dataset; -1 for a new one.
        base: The caption that it has now.
        span: Which part of the file it is.
    """

    key: Key
    media: Path
    row: int
    base: str
    span: Span = WHOLE

    @property
    def name(self) -> str:
        """For display, and for the journal."""
        return clip_name(self.key)


class Blocked(msgspec.Struct, frozen=True):
    """A row that cannot be captioned."""

    name: str
    row: int
    reason: str
    remedy: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do.

    Attributes:
        clips: In the order in which they are done.
        captioned: Those that are left alone, for they have a caption.
        ours: How many files are left out, for we made them.
        blocked: Rows that cannot be captioned.
        notes: What the user should know.
    """

    clips: tuple[ToCaption, ...]
    captioned: frozenset[str] = frozenset()
    ours: int = 0
    blocked: tuple[Blocked, ...] = ()
    notes: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        source: A folder, a file, or None for the rows of the dataset.
        override: Take clips that have a caption, too.
        kept: With `override`: who knows which captions a person wrote, that are left alone; None
            to leave none.
        only: Names; all if empty. "a.mp4 #2" is the second row that is called "a.mp4".
        reference_column: Of the project, beside those that are known by their names.
        left_out: Folders whose files are not looked at.
    """

    source: Path | None = None
    extensions: tuple[str, ...] = ()
    recursive: bool = False
    override: bool = False
    kept: KnownCaptions | None = None
    only: frozenset[str] = frozenset()
    reference_column: str = ""
    left_out: tuple[Path, ...] = ()


def choose(store: CaptionStore, wanted: Wanted) -> Choice:
    """Return what there is to do.

    Raises:
        UsageError: The folder or file is not there, or holds no media.
        DatasetError: The dataset cannot be read.
    """
    rows = store.rows()
    if wanted.source is None:
        return _of_rows(rows, wanted)
    by_path: dict[str, list[StoredRow]] = {}
    for row in rows:
        if row.cell.strip():
            by_path.setdefault(_real(store.folder / row.cell), []).append(row)
    made = _companions(rows, wanted.reference_column, store.folder)
    found, ours = _find(wanted, made, by_path)
    clips: list[ToCaption] = []
    blocked: list[Blocked] = []
    captioned: set[str] = set()
    unnamable = 0
    for path in found:
        known = by_path.get(_real(path))
        if known is None:
            new = _new_clip(path, store.folder, wanted.only)
            unnamable += new is None
            clips += new or []
            continue
        asked = [row for row in known if _is_asked(row.key, wanted.only)]
        todo = [row for row in asked if not _is_left(row, wanted)]
        captioned |= {clip_name(row.key) for row in asked if row not in todo}
        blocked += [_bad_window(row) for row in todo if row.fault]
        clips += [_to_clip(row, path) for row in todo if not row.fault]
    return Choice(
        clips=tuple(clips),
        captioned=frozenset(captioned),
        ours=ours + unnamable,
        blocked=tuple(blocked),
        notes=tuple(_notes(ours, unnamable)),
    )


def _is_asked(key: Key, only: frozenset[str]) -> bool:
    return not only or key.name in only or numbered_name(key) in only


def _is_left(row: StoredRow, wanted: Wanted) -> bool:
    """Whether a row keeps the caption that it has."""
    if not wanted.override or wanted.kept is None:
        return bool(row.caption.strip()) and not wanted.override
    return wanted.kept.look_up(row.key, row.caption)[1] not in ("none", "auto")


def _new_clip(path: Path, folder: Path, only: frozenset[str]) -> list[ToCaption] | None:
    """Return the clip of a file that is no row yet, if it is asked for.

    None where a dataset could not name it.
    """
    name = Path(os.path.relpath(path, folder)).as_posix()
    if visible(name) != name or not is_utf8(name):
        return None
    is_asked = _is_asked(Key(name), only)
    return [ToCaption(key=Key(name), media=path, row=-1, base="")] if is_asked else []


def _notes(ours: int, unnamable: int) -> Iterator[str]:
    if unnamable:
        yield f"{plural(unnamable, 'file')} left out: rename them without control characters"
    if ours:
        yield f"{plural(ours, 'file')} left out: made from other clips"


def _of_rows(rows: Sequence[StoredRow], wanted: Wanted) -> Choice:
    clips, blocked, captioned = [], [], set()
    for row in rows:
        if not _is_asked(row.key, wanted.only):
            continue
        if _is_left(row, wanted):
            captioned.add(clip_name(row.key))
        elif row.media is None or not row.media.is_file():
            reason = "no media path" if row.media is None else f"there is no {visible(row.cell)}"
            remedy = "mend the path, or take the row out"
            blocked.append(Blocked(row.key.name, row.row, reason, remedy))
        elif row.fault:
            blocked.append(_bad_window(row))
        else:
            clips.append(_to_clip(row, row.media))
    return Choice(clips=tuple(clips), captioned=frozenset(captioned), blocked=tuple(blocked))


def _bad_window(row: StoredRow) -> Blocked:
    return Blocked(row.key.name, row.row, row.fault, WINDOW_REMEDY)


def _to_clip(row: StoredRow, path: Path) -> ToCaption:
    return ToCaption(key=row.key, media=path, row=row.row, base=row.caption, span=row.span)


def _companions(rows: Sequence[StoredRow], column: str, folder: Path) -> frozenset[str]:
    """Return the files that rows name as references, sounds or masks."""
    names = {name for role in _COMPANIONS for name in CONVENTIONS[role]} | {column} - {""}
    cells = (row.others.get(name, "") for row in rows for name in names)
    return frozenset(_real(folder / cell) for cell in cells if cell.strip())


def _find(
    wanted: Wanted, companions: frozenset[str], rows: Collection[str]
) -> tuple[list[Path], int]:
    """Return the media to caption in natural order, and how many files are our own.

    Args:
        wanted: What is asked for.
        companions: Files that belong to clips.
        rows: Files that the dataset has as clips: they are, whatever they are called.
    """
    source = wanted.source
    assert source is not None  # noqa: S101 - see `choose`
    suffixes = {f".{one}" for one in wanted.extensions}
    if source.is_file():
        if source.suffix.lower() not in VIDEO_SUFFIXES | IMAGE_SUFFIXES | suffixes:
            raise UsageError(
                "this is no video, image or dataset",
                remedy="name a clip, or the folder of your clips",
                file=source,
            )
        return [source], 0
    if not source.is_dir():
        raise UsageError("no such file or folder", remedy="check the path", file=source)
    # A row that names a proxy stands for its clip.
    mended = {_mended(row) for row in rows}
    found: list[Path] = []
    ours = 0
    for folder, names in _folders(wanted, source):
        paths = [folder / name for name in names if Path(name).suffix.lower() in suffixes]
        stems = {path.stem for path in paths}
        for path in paths:
            real = _real(path)
            is_made = real in companions or _is_made(path, stems) or _stem(real) in mended
            if is_made and real not in rows:
                ours += 1
            else:
                found.append(path)
    if not found:
        raise UsageError(
            f"holds no media ({listed(list(wanted.extensions), 8)})",
            remedy="name the folder of your clips; -r looks into its folders, -e takes other "
            "extensions",
            file=source,
        )
    return sorted(found, key=lambda path: natural(str(path.relative_to(source)))), ours


def _folders(wanted: Wanted, source: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders to look at with the names of their files; none that is hidden or made."""
    left_out = {_real(folder) for folder in wanted.left_out}
    for root, folders, names in os.walk(source):
        folders[:] = [
            name
            for name in folders
            if wanted.recursive
            and name[0] != "."
            and name not in _MADE_FOLDERS
            and _real(Path(root, name)) not in left_out
        ]
        yield Path(root), [name for name in names if name[0] != "."]


def _is_made(path: Path, beside: Collection[str]) -> bool:
    """Whether a file is a reference or a proxy of another one, or a preview of a scene.

    Args:
        path: The file.
        beside: The stems of the media in its folder.
    """
    stem = path.stem
    for suffix in (_REFERENCE, _PROXY):
        if stem.endswith(suffix) and stem.removesuffix(suffix) in beside:
            return True
    scene, _, number = stem.rpartition("-")
    is_preview = path.suffix.lower() in _IMAGES and number.isdigit() and "-Scene-" in scene
    return is_preview and scene in beside


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 - a path as text, as it is compared


def _mended(path: str) -> str:
    """Return the clip without suffix that a proxy stands for; empty where it is none."""
    stem = _stem(path)
    return stem.removesuffix(_PROXY) if stem.endswith(_PROXY) else ""


def _real(path: Path) -> str:
    return os.path.realpath(path)
