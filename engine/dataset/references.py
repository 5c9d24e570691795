"""The references of a dataset: which to make, which are there, what the dataset says of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from engine.dataset.columns import find_column, media_column
from engine.dataset.manifest import Manifest, cell_text, load_manifest
from engine.dataset.write_cells import Cell, row_keys, write_cells
from engine.errors import DatasetError, MediaError, UsageError
from engine.files.identity import FileIdentity, stat_identity
from engine.files.safe import atomic_write
from engine.media.probe import Probe, probe
from engine.media.reference import reference_names
from engine.project import Project
from engine.state.kept import Kept
from engine.text import plural, visible

COLUMN = "reference_path"
_KIND = "reference"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A clip of the dataset and the reference that is its own.

    Attributes:
        row: 0-based; the first of the rows that name the source.
        name: The media path, safe to show.
        keys: (media path, which of its rows) of all the rows that name the source.
        before: What the reference's cell holds in each of them.
        source: The media file.
        target: The reference.
        value: What the cell gets: the target, written like the media path.
    """

    row: int
    name: str
    keys: tuple[tuple[str, int], ...]
    before: tuple[object, ...]
    source: Path
    target: Path
    value: str

    @property
    def is_named(self) -> bool:
        """Whether the dataset names the reference already."""
        return all(cell_text(cell) == self.value for cell in self.before)

    def cells(self, column: str) -> list[Cell]:
        """Return what the dataset is to say."""
        return [
            Cell(media=media, nth=nth, column=column, before=before, value=self.value)
            for (media, nth), before in zip(self.keys, self.before, strict=True)
        ]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference of ours was made of."""

    source: str
    size: int
    mtime_ns: int
    condition: str


class References:
    """The references of a project's dataset."""

    def __init__(self, project: Project, folder: Path | None = None) -> None:
        """Read the dataset, or make one of the media of a folder where there is none.

        Args:
            project: Names the dataset and its columns.
            folder: Only clips in this folder; None for all.

        Raises:
            DatasetError: The dataset cannot be read, or has no column of media.
            UsageError: There is no dataset and no media to make one of.
        """
        self.project = project
        self.path = project.dataset_path
        self.is_new = not self.path.exists()
        if self.is_new:
            _make_dataset(self.path, folder or self.path.parent)
        manifest = load_manifest(self.path)
        names = project.dataset
        self.video = media_column(manifest, names.video_column)
        self.column = names.reference_column or find_column(manifest.columns, "reference")
        self.column = self.column or COLUMN
        self.items = self._items(manifest, folder)

    def _items(self, manifest: Manifest, folder: Path | None) -> list[Item]:
        root = self.path.parent.absolute()
        sources: dict[Path, list[int]] = {}
        for row, values in enumerate(manifest.rows):
            cell = values.get(self.video)
            if isinstance(cell, str) and cell.strip() and "\0" not in cell:
                sources.setdefault(root / cell, []).append(row)
        targets = reference_names(list(sources))
        keys = row_keys(manifest.rows, self.video)
        inside = folder.absolute() if folder is not None else None
        return [
            Item(
                row=rows[0],
                name=visible(keys[rows[0]][0]),
                keys=tuple(keys[row] for row in rows),
                before=tuple(manifest.rows[row].get(self.column) for row in rows),
                source=source,
                target=targets[source],
                value=_written(keys[rows[0]][0], targets[source]),
            )
            for source, rows in sources.items()
            if inside is None or _is_inside(source, inside)
        ]

    def is_there(
        self, item: Item, probe: Probe, condition: str, kept: Kept, *, override: bool
    ) -> bool:
        """Whether a reference need not be made.

        Args:
            item: The clip.
            probe: What it is.
            condition: Identity of the condition.
            kept: What is known of references that were made before.
            override: Make it again, whatever is there.

        Raises:
            MediaError: A file has the reference's name that is not ours, and no reference of this
                clip.
        """
        if override:
            return False
        if self.has_other(item, kept):
            return True
        if not item.target.exists():
            return False
        entry = kept.last(_KIND, item.target)
        if entry is None or not entry.identity.same_stat(stat_identity(item.target)):
            _check_found(item, probe)
            return True
        record = msgspec.msgpack.decode(entry.data, type=Record)
        return record == _record(item, condition)

    def has_other(self, item: Item, kept: Kept) -> bool:
        """Whether the rows name references that are there and come from elsewhere: they stay."""
        root = self.path.parent
        others = [cell_text(cell) for cell in item.before if cell_text(cell).strip()]
        others = [other for other in others if other != item.value]
        return bool(others) and all(
            (root / other).is_file() and kept.last(_KIND, root / other) is None for other in others
        )

    def keep(self, item: Item, condition: str, source: FileIdentity, kept: Kept) -> None:
        """Remember what a reference was made of, that is, what its source was before it."""
        record = msgspec.structs.replace(
            _record(item, condition), size=source.size, mtime_ns=source.mtime_ns
        )
        kept.keep(_KIND, item.target, stat_identity(item.target), msgspec.msgpack.encode(record))

    def save(self, items: Sequence[Item]) -> list[Item]:
        """Name references in the dataset; return the clips whose rows were changed meanwhile.

        Raises:
            DatasetError: The dataset cannot be written.
        """
        cells = [cell for item in items for cell in item.cells(self.column)]
        try:
            left = write_cells(self.path, cells, video_column=self.video)
        except OSError as error:
            raise DatasetError(
                f"cannot be written: {error.strerror or error}",
                remedy="make its folder writable, and space on its disk",
                file=self.path,
            ) from error
        lost = {(cell.media, cell.nth) for cell in left}
        return [item for item in items if lost.intersection(item.keys)]

    def unlisted(self, folder: Path) -> int:
        """Return how many media of a folder are in no row of the dataset."""
        from engine.init import find_media

        known = {item.source.resolve() for item in self.items}
        known |= {item.target.resolve() for item in self.items}
        return sum(path.resolve() not in known for path in find_media(folder)[0])


def _record(item: Item, condition: str) -> Record:
    now = stat_identity(item.source)
    return Record(
        source=item.source.name, size=now.size, mtime_ns=now.mtime_ns, condition=condition
    )


def _check_found(item: Item, source: Probe) -> None:
    """Take a reference that another tool made, if it can be one.

    Raises:
        MediaError: It is none of this clip.
    """
    remedy = "move it away, or give --override to write over it"
    try:
        found = probe(item.target)
    except MediaError as error:
        raise MediaError(
            f"is no reference: {error.message}", remedy=remedy, file=item.target
        ) from error
    if (found.width, found.height, found.frames) != (source.width, source.height, source.frames):
        raise MediaError(
            f"is there already, is not ours, and is no reference of this clip: it is "
            f"{found.width}x{found.height} with {plural(found.frames, 'frame')}, and the clip "
            f"{source.width}x{source.height} with {source.frames:,}",
            remedy=remedy,
            file=item.target,
        )


def _written(media: str, target: Path) -> str:
    """Return a reference's path, written like the media path beside it."""
    path = PurePosixPath(media)
    head = media[: len(media) - len(path.name)] if media.endswith(path.name) else ""
    return f"{head}{target.name}" if head or "/" not in media else str(path.with_name(target.name))


def _is_inside(path: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.resolve().is_relative_to(folder.resolve())
    return False


def _make_dataset(path: Path, folder: Path) -> None:
    """Write a dataset of the media of a folder, without captions.

    Raises:
        UsageError: There are none, or the suffix is not .json.
    """
    from engine.init import find_media

    if path.suffix.lower() != ".json":
        raise UsageError(
            "there is no such dataset", remedy="name one, or a new one ending in .json", file=path
        )
    media = find_media(folder)[0] if folder.is_dir() else []
    if not media:
        raise UsageError(
            "holds neither a dataset nor any video or image",
            remedy="name the folder of your clips, or the dataset file",
            file=folder,
        )
    rows: list[Mapping[str, str]] = [
        {"caption": "", "media_path": _relative(one, path.parent)} for one in media
    ]
    atomic_write(path, (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode())


def _relative(path: Path, folder: Path) -> str:
    with contextlib.suppress(ValueError):
        return path.absolute().relative_to(folder.absolute()).as_posix()
    return str(path.absolute())
