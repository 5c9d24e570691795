"""The beginning of a project: what lies in a folder, and settings that suit it."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.buckets import Bucket
from engine.dataset.columns import find_column
from engine.dataset.manifest import cell_text, load_manifest
from engine.errors import DatasetError, LtxError, ProjectError, UsageError
from engine.files.safe import atomic_write
from engine.findings import PROXY
from engine.media.images import IMAGE_SUFFIXES
from engine.media.probe import Probe, probe
from engine.project import PROJECT_FILE, Project, write_project
from engine.text import is_utf8, listed, natural, plural

DATASET_FILE = "dataset.json"
DATASET_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg"})

# As many files as are looked at: enough to see what is common, in seconds.
_SAMPLE = 24
# The pixels of 960x544, which fits a 24 GB card in training; and the most frames we suggest.
_AREA, _FRAMES = 960 * 544, 121
# An aspect ratio gets a bucket of its own from this share of the files on, and how many do.
_SHARE, _SHAPES = 0.15, 3
# Aspect ratios within a fifth of one another share a bucket.
_NEAR = 0.2
# A tenth of the clips may be too short for the suggested length.
_TOO_SHORT = 0.1
_NO_ROWS = (
    "the dataset is empty: add rows to it, or cut clips from long videos "
    "(`ltx-tui split-scenes`, X in the workbench)"
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to begin with.

    Attributes:
        folder: Where project.toml will be.
        dataset: The dataset file, there already or to be written.
        media: The files that a new dataset will list; empty for a dataset that is there.
        clips: How many clips the dataset has.
        reference_column: The column that looks like references, or empty.
        buckets: Suggested for the media, or empty where none could be read.
        audio: Whether any of the media has sound.
        notes: What the user should know.
    """

    folder: Path
    dataset: Path
    media: tuple[Path, ...] = ()
    clips: int = 0
    reference_column: str = ""
    buckets: tuple[Bucket, ...] = ()
    audio: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the dataset file has to be written."""
        return bool(self.media)

    @property
    def values(self) -> dict[str, object]:
        """The keys of project.toml that follow from it."""
        values: dict[str, object] = {
            "dataset.path": os.path.relpath(self.dataset, self.folder),
            "audio.enabled": self.audio,
        }
        if self.buckets:
            values["video.buckets"] = ";".join(map(str, self.buckets))
        return values


def look(start: Path, *, video_column: str = "") -> Found:
    """Find a dataset, or the media for a new one, and look at a sample of the media.

    Args:
        start: A folder, or a dataset file.
        video_column: The column of media paths; empty: by its name.

    Raises:
        UsageError: Nothing usable is there, or several datasets are.
        ProjectError: There is a project.toml already.
        DatasetError: The dataset cannot be read, or has no column of media.
    """
    start = start.expanduser().absolute()
    if not start.exists():
        raise UsageError("no such file or folder", remedy="check the path", file=start)
    folder = start if start.is_dir() else start.parent
    refuse_existing(folder)
    dataset = start if start.is_file() else find_dataset(folder)
    if dataset is not None:
        return _look_at_dataset(folder, dataset, video_column)
    if (folder / DATASET_FILE).exists():
        raise UsageError(
            "the file is no dataset: it has no column of media",
            remedy="rename it, or name its column with --video-column",
            file=folder / DATASET_FILE,
        )
    media, notes = find_media(folder)
    if not media:
        raise UsageError(
            "the folder holds neither a dataset nor any video or image",
            remedy="name the folder of your clips, or the dataset file",
            file=folder,
        )
    return _with_sample(
        Found(
            folder=folder,
            dataset=folder / DATASET_FILE,
            media=tuple(media),
            clips=len(media),
            notes=tuple(notes),
        ),
        media,
    )


def write(found: Found, values: Mapping[str, object]) -> Project:
    """Write project.toml, and the dataset if it is a new one; nothing is overwritten.

    Args:
        found: What `look` found.
        values: Keys of project.toml that win over what follows from `found`.

    Raises:
        ProjectError: project.toml is there already, or a value is wrong.
    """
    refuse_existing(found.folder)
    if found.is_new:
        rows = [
            {"caption": "", "media_path": path.relative_to(found.folder).as_posix()}
            for path in found.media
        ]
        text = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
        atomic_write(found.dataset, text.encode())
    return write_project(found.folder / PROJECT_FILE, found.values | dict(values))


def refuse_existing(folder: Path) -> None:
    """Stop where a project is already.

    Raises:
        ProjectError: The folder has a project.toml.
    """
    file = folder / PROJECT_FILE
    if file.exists():
        raise ProjectError(
            "there is a project here already",
            remedy="change its keys in an editor; `ltx-tui plan` shows what it gives",
            file=file,
        )


def find_dataset(folder: Path) -> Path | None:
    """Return the one dataset file of a folder, or None.

    One that has no rows yet counts where there is no other, and by its usual name alone: any list
    that is empty looks like it.

    Raises:
        UsageError: There are several.
    """
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in DATASET_SUFFIXES and path.is_file() and path.name[0] != "."
    )
    datasets = [path for path in files if _is_dataset(path)]
    if len(datasets) > 1:
        raise UsageError(
            f"several datasets are here: {listed([path.name for path in datasets])}",
            remedy="name one of them instead of the folder",
            file=folder,
        )
    if datasets:
        return datasets[0]
    return next((path for path in files if path.name == DATASET_FILE and _is_empty(path)), None)


def _is_dataset(path: Path) -> bool:
    try:
        return bool(find_column(load_manifest(path).columns, "video"))
    except DatasetError:
        return False


def _is_empty(path: Path) -> bool:
    try:
        manifest = load_manifest(path)
    except DatasetError:
        return False
    return not (manifest.columns or manifest.rows)


def find_media(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the videos and images under a folder in natural order, and what was left out.

    Hidden folders, `.precomputed` among them, `*_reference.*`, and proxies that the doctor made of
    clips beside them are not looked at.
    """
    found, references, proxies, unnamable = [], 0, 0, 0
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        files = [Path(root, name) for name in names if _is_media(name)]
        known = {one for path in files for one in (path.name, path.stem)}
        for path in files:
            if path.stem.endswith("_reference"):
                references += 1
            elif _source_stem(path) in known:
                proxies += 1
            elif not is_utf8(str(path.relative_to(folder))):
                unnamable += 1
            else:
                found.append(path)
    notes = []
    if references:
        notes.append(
            f"{plural(references, 'file')} named *_reference left out: to train on references, "
            "add a column with their paths and set dataset.reference_column"
        )
    if proxies:
        notes.append(
            f"{plural(proxies, 'file')} named *{PROXY} left out: the doctor made them of clips "
            "beside them"
        )
    if unnamable:
        notes.append(f"{plural(unnamable, 'file')} left out: the name is not UTF-8")
    return sorted(found, key=lambda path: natural(str(path.relative_to(folder)))), notes


def _is_media(name: str) -> bool:
    return name[0] != "." and Path(name).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES


def _source_stem(path: Path) -> str | None:
    """Return the stem or the name of the clip that a proxy is of; None for another file."""
    if not path.stem.endswith(PROXY):
        return None
    return re.sub(r"~\d+$", "", path.stem.removesuffix(PROXY))


def _look_at_dataset(folder: Path, dataset: Path, video_column: str) -> Found:
    manifest = load_manifest(dataset)
    column = video_column or find_column(manifest.columns, "video")
    # A list without rows has no columns yet; the first row brings them.
    if column not in manifest.columns and (manifest.columns or manifest.rows):
        known = listed([str(name) for name in manifest.columns], 8)
        raise DatasetError(
            f"no column {column!r}" if column else "no column of media is known by its name",
            remedy=f"name one with --video-column; there are: {known or 'none'}",
            file=dataset,
        )
    cells = [cell_text(row.get(column)) for row in manifest.rows]
    notes = () if cells else (_NO_ROWS,)
    media = [dataset.parent / cell for cell in cells if cell]
    return _with_sample(
        Found(
            folder=folder,
            dataset=dataset,
            clips=len(cells),
            reference_column=find_column(manifest.columns, "reference"),
            notes=notes,
        ),
        media,
    )


def _with_sample(found: Found, media: Sequence[Path]) -> Found:
    """Add what a sample of the media, evenly spread, says about buckets and sound."""
    step = max(1, math.ceil(len(media) / _SAMPLE))
    probes, notes = [], list(found.notes)
    sample = media[::step]
    for path in sample:
        try:
            probes.append(probe(path))
        except (LtxError, OSError):
            continue
    unreadable = len(sample) - len(probes)
    if unreadable:
        notes.append(
            f"{unreadable} of {plural(len(sample), 'file')} looked at cannot be read: "
            "`ltx-tui doctor` says why"
        )
    return msgspec.structs.replace(
        found,
        buckets=suggest_buckets(probes),
        audio=any(one.audio for one in probes if one.kind == "video"),
        notes=tuple(notes),
    )


def suggest_buckets(probes: Sequence[Probe]) -> tuple[Bucket, ...]:
    """Return buckets for what is common among media: up to three shapes, one length.

    The length is the largest of 1, 9, 17 … 121 that nine clips in ten reach; still images get a
    bucket of one frame. A bucket has about the area of 960x544, or of the media if they are
    smaller, and the nearest aspect ratio in multiples of 32.
    """
    videos = [one for one in probes if one.kind == "video"]
    images = [one for one in probes if one.kind == "image"]
    buckets = []
    if videos:
        counts = sorted(one.frames for one in videos)
        most = min(_FRAMES, counts[int(_TOO_SHORT * len(counts))])
        frames = max(1, (most - 1) // 8 * 8 + 1)
        buckets += [Bucket(*shape, frames) for shape in _shapes(videos)]
    if images:
        buckets += [Bucket(*shape, 1) for shape in _shapes(images)]
    return tuple(dict.fromkeys(buckets))


def _shapes(probes: Iterable[Probe]) -> list[tuple[int, int]]:
    """Return the commonest bucket shapes, one for each aspect ratio with a fair share."""
    groups: dict[int, list[Probe]] = {}
    for one in probes:
        groups.setdefault(round(math.log(one.width / one.height) / _NEAR), []).append(one)
    ranked = sorted(groups.values(), key=len, reverse=True)
    total = sum(map(len, ranked))
    common = [group for group in ranked[:_SHAPES] if len(group) / total >= _SHARE]
    return [_shape(group) for group in common or ranked[:1]]


def _shape(group: Sequence[Probe]) -> tuple[int, int]:
    """Return (width, height) in multiples of 32: near in aspect, and as large as is sensible."""
    aspect = statistics.median(math.log(one.width / one.height) for one in group)
    pixels = statistics.median(one.width * one.height for one in group)
    area = max(32 * 32, min(_AREA, pixels))
    sides = [
        (32 * across, 32 * down)
        for across in range(1, 65)
        for down in range(1, 65)
        if 32 * 32 * across * down <= area
    ]
    # A tenth of an aspect's error for each halving of the area, near enough.
    return min(
        sides,
        key=lambda side: (
            abs(aspect - math.log(side[0] / side[1])) + 0.1 * math.log(area / (side[0] * side[1]))
        ),
    )
