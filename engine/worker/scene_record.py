"""What was cut into a folder before: one small file for each video, beside the pieces.

It tells which files are ours, of which frames they are, and which scenes a video has, so that a
rerun does only what is missing. Each line is written before the file that it is about gets its
name: a process that is killed leaves no file that nobody knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from engine.files.identity import FileIdentity, hash_text, stat_identity
from engine.files.safe import atomic_write
from engine.media.scene_options import Cutting, Finding
from engine.media.scene_types import Found, Piece, Range
from engine.worker.spec import decoder, encode

# Hidden, so that nothing takes it for media.
RECORDS = ".ltx-tui-scenes"
# The folder of the preview images, among the pieces.
IMAGES = "scene_images"
# Raise it when the same settings begin to give other pieces.
_VERSION = 1
# File names have at most 255 bytes; what is added to NAME is shorter than this.
_MOST_NAME = 200
# Control characters, and what stands for bytes that are no text.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]")


class Source(msgspec.Struct, frozen=True, kw_only=True, tag="video", tag_field="line"):
    """The video that the pieces are of."""

    path: Path
    identity: FileIdentity


class Search(msgspec.Struct, frozen=True, kw_only=True, tag="search", tag_field="line"):
    """The scenes that were found."""

    finding: Finding
    found: Found


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made", tag_field="line"):
    """A file that was made.

    Attributes:
        file: Its name, relative to the folder.
        identity: As it was made.
        key: What it was made of, see `piece_key` and `image_key`.
        piece: Of a piece: its place in the video.
        kept: The frames that it really has.
        images: Of a piece: names of its preview images.
    """

    file: Path
    identity: FileIdentity
    key: str
    piece: Piece | None = None
    kept: Range | None = None
    images: tuple[Path, ...] = ()


_Line = Source | Search | Made
_DECODER: msgspec.json.Decoder[_Line] = decoder(_Line)


class Record:
    """The record of one video in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Read what is there; a line that cannot be read is left out."""
        self._folder = folder
        self.file = folder / RECORDS / f"{name}.jsonl"
        self.source: Source | None = None
        self._search: Search | None = None
        self._is_other = False
        self._latest: dict[Path, Made] = {}
        self._ours: dict[Path, set[tuple[int, int]]] = {}
        for line in _lines(self.file):
            self._take(line)

    def _take(self, line: _Line) -> None:
        match line:
            case Source():
                self.source = line
            case Search():
                self._search = line
            case Made():
                self._latest[line.file] = line
                stamp = (line.identity.size, line.identity.mtime_ns)
                self._ours.setdefault(line.file, set()).add(stamp)

    def begin(self, path: Path) -> None:
        """Begin a run on a video: what was found in another one, or before it changed, is void."""
        source = Source(path=path.resolve(), identity=stat_identity(path))
        if self.source is None or not self.source.identity.same_stat(source.identity):
            self._search, self._is_other = None, True
        self.source = source
        there = [made for made in self._latest.values() if self.is_ours(made.file)]
        search = [] if self._search is None else [self._search]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.file, b"".join(encode(one) + b"\n" for one in (source, *search, *there)))

    def found(self, finding: Finding) -> Found | None:
        """Return the scenes that were found in this way before."""
        known = self._search
        return known.found if known is not None and known.finding == finding else None

    def add(self, line: Search | Made) -> None:
        """Write a line down, durably."""
        self._take(line)
        with self.file.open("ab") as file:
            file.write(encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self, file: Path) -> None:
        """Drop a file that is gone."""
        self._latest.pop(file, None)

    def is_ours(self, file: Path) -> bool:
        """Whether a file of the folder is one that was made here, and has not changed since."""
        path = self._folder / file
        if path.is_symlink() or not path.is_file():
            return False
        identity = stat_identity(path)
        return (identity.size, identity.mtime_ns) in self._ours.get(file, ())

    def fresh(self, file: Path, key: str) -> Made | None:
        """Return what is known of a file that is there, unchanged, and was made of the same."""
        made = self._latest.get(file)
        if made is None or made.key != key or not self.is_ours(file):
            return None
        identity = stat_identity(self._folder / file)
        return made if made.identity.same_stat(identity) else None

    def has_other_frames(self, file: Path, kept: Range) -> bool:
        """Whether a piece is there, made here, and not of these frames."""
        made = self._latest.get(file)
        return made is not None and self.is_ours(file) and (self._is_other or made.kept != kept)

    def pieces(self) -> list[Made]:
        """Return the pieces that are there, in the order of the video."""
        there = [made for made in self._latest.values() if made.piece and self.is_ours(made.file)]
        return sorted(there, key=lambda made: (made.kept or Range(0, 0)).first)

    def files(self) -> list[Made]:
        """Return all that is there and was made here."""
        return [made for made in self._latest.values() if self.is_ours(made.file)]


def _lines(file: Path) -> Iterable[_Line]:
    try:
        data = file.read_bytes()
    except OSError:
        return
    for line in data.splitlines():
        try:
            yield _DECODER.decode(line)
        except (msgspec.MsgspecError, ValueError):
            continue  # the last line of a process that was killed, or another version's


def records(folder: Path) -> list[Record]:
    """Return the records of all videos that were cut into a folder, by name."""
    files = sorted((folder / RECORDS).glob("*.jsonl"))
    return [Record(folder, file.name.removesuffix(".jsonl")) for file in files]


def piece_key(source: FileIdentity, piece: Piece, cutting: Cutting) -> str:
    """Return what tells whether a piece would be made the same again."""
    settings = msgspec.structs.replace(cutting, crf=0, preset="") if cutting.copy else cutting
    return _key("piece", source, (piece.kept, piece.scene if cutting.copy else None), settings)


def image_key(source: FileIdentity, frame: int) -> str:
    """Return what tells whether a preview image would be made the same again."""
    return _key("image", source, frame)


def _key(*parts: object) -> str:
    return hash_text(encode([_VERSION, *parts]).decode())


def name_videos(paths: Sequence[Path], folder: Path | None) -> list[str]:
    """Return for each video what its pieces are called: its name without the suffix.

    Where two videos would share that, or a folder has pieces of another video by that name, the
    suffix goes in as well, or else a number.

    Args:
        paths: The videos.
        folder: Where pieces go; None for nowhere.
    """
    known = {} if folder is None else {one.file.stem.casefold(): one for one in records(folder)}
    stems = [_short(path.stem) for path in paths]
    taken: set[str] = set()
    names: list[str] = []
    for path, stem in zip(paths, stems, strict=True):
        alone = sum(one.casefold() == stem.casefold() for one in stems) == 1
        with_suffix = f"{stem}-{path.suffix.removeprefix('.') or 'video'}"
        choices = [stem] if alone else []
        choices += [with_suffix, *(f"{with_suffix}-{number}" for number in range(2, 10_000))]
        name = next(
            one
            for one in choices
            if one.casefold() not in taken and _is_free(known.get(one.casefold()), path)
        )
        taken.add(name.casefold())
        names.append(name)
    return names


def _is_free(record: Record | None, path: Path) -> bool:
    """Whether a name is nobody's, or this video's own."""
    if record is None or record.source is None:
        return True
    if record.source.path == path.resolve():
        return True
    # The same bytes under another path: the folder was moved or renamed.
    return record.source.identity.same_stat(stat_identity(path))


def _short(stem: str) -> str:
    """Return a name that any file system and terminal takes."""
    stem = _ODD.sub("_", os.fsencode(stem).decode("utf-8", "replace"))
    data = stem.encode()
    if len(data) <= _MOST_NAME:
        return stem
    cut = data[: _MOST_NAME - 9].decode("utf-8", "ignore")
    return f"{cut}-{hash_text(stem)[:8]}"
