"""Run as `python -P -m engine.dataset.write_captions`: writes captions into the dataset file.

A request comes as one JSON object on stdin, the answer goes as one to stdout. What was changed in
the file meanwhile stays; one caption that was changed on both sides is left and reported.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import xxhash

from engine.dataset.caption_db import Key, pack
from engine.dataset.columns import NEW_CAPTION, find_column, media_column
from engine.dataset.manifest import ConflictError, cell_text, load_manifest
from engine.dataset.name_keys import name_keys
from engine.dataset.write_cells import refuse_read_only
from engine.errors import LtxError
from engine.files.safe import atomic_write

MOST_TOLD = 10_000


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A caption to write.

    Attributes:
        name: The media path, safe to show.
        nth: Which of the rows that have it, from 0.
        base: The caption that the edit started from.
        add: Whether to add a row where it is gone.
    """

    name: str
    nth: int
    base: str
    text: str
    add: bool = False


class Known(msgspec.Struct, frozen=True):
    """A caption in hand, as the asking session believes it to be in the file.

    Attributes:
        digest: `digest_of` its text.
    """

    name: str
    nth: int
    digest: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        video_column: Empty: found by its name; so is the next.
        seen: File of what the asking session has seen of the captions; made when it is not there.
        edits: May be empty: only to learn what was changed outside.
        known: Captions that are told wherever they are another in the file, even if they were
            changed before the session began.
    """

    dataset: str
    video_column: str
    caption_column: str
    seen: str
    edits: tuple[Edit, ...] = ()
    known: tuple[Known, ...] = ()


class Clash(msgspec.Struct, frozen=True, kw_only=True):
    """An edit that was not written, for the caption is another than its base by now.

    Attributes:
        theirs: The caption in the file; empty when the row is gone.
    """

    name: str
    nth: int
    theirs: str
    is_gone: bool = False


class Outside(msgspec.Struct, frozen=True):
    """A caption that another program changed."""

    name: str
    nth: int
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        saved: The (name, nth) whose text is in the file now.
        clashes: What was not written, and why.
        outside: Captions changed since this session last looked, at most `MOST_TOLD` of them, and
            those of `known`.
        changed: How many were changed since.
        rows: Rows of the file.
        stamp: (mtime in ns, size, inode) of the file as it is now.
        problem: Why nothing was written; empty when all went well.
        remedy: What to do about it.
    """

    saved: tuple[tuple[str, int], ...] = ()
    clashes: tuple[Clash, ...] = ()
    outside: tuple[Outside, ...] = ()
    changed: int = 0
    rows: int = 0
    stamp: tuple[int, int, int] = (0, 0, 0)
    problem: str = ""
    remedy: str = ""


def write(request: Request) -> Answer:
    """Write captions and tell what else was changed; nothing is raised for what a user can mend."""
    try:
        with alone(Path(request.seen).parent / "write.lock"):
            return _Writer(request).answer()
    except LtxError as error:
        return Answer(problem=error.headline, remedy=error.remedy)
    except OSError as error:
        return Answer(
            problem=f"{request.dataset}: cannot be written: {error.strerror or error}",
            remedy="make the file and its folder writable, and space on the disk",
        )


def stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written: (mtime in ns, size, inode)."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def digest_of(text: str) -> int:
    """Return what tells one caption from another in `Known`."""
    return xxhash.xxh3_64_intdigest(pack(text))


class _Writer:
    """One request on a file that was just read."""

    def __init__(self, request: Request) -> None:
        path = Path(request.dataset)
        before = stamp(path)
        self._request = request
        self._manifest = load_manifest(path, key_column=request.video_column)
        self._stamp = before
        columns = self._manifest.columns
        self._video = media_column(self._manifest, request.video_column)
        self._caption = request.caption_column or find_column(columns, "caption") or NEW_CAPTION
        self._clashes: list[Clash] = []

    def answer(self) -> Answer:
        """Do it."""
        places = self._places()
        edits = {}
        for edit in self._request.edits:
            row = places.get(Key(edit.name, edit.nth))
            if self._may_write(edit, row):
                edits[edit] = row
        self._save(edits)
        captions = self._captions()
        clashed = {(clash.name, clash.nth) for clash in self._clashes}
        saved = [one for edit in edits if (one := (edit.name, edit.nth)) not in clashed]
        outside, changed = self._outside(captions, {Key(*one) for one in [*saved, *clashed]})
        return Answer(
            saved=tuple(saved),
            clashes=tuple(self._clashes),
            outside=tuple(outside),
            changed=changed,
            rows=len(self._manifest.rows),
            stamp=self._stamp,
        )

    def _may_write(self, edit: Edit, row: int | None) -> bool:
        if row is None:
            if not edit.add:
                self._clash(edit, "", is_gone=True)
            return edit.add
        now = self._text(self._manifest.rows[row])
        if now not in (edit.base, edit.text):
            self._clash(edit, now)
            return False
        return True

    def _save(self, edits: Mapping[Edit, int | None]) -> None:
        """Write the edits; those that clash in the last moment are left out."""
        owners = {}
        for edit, row in edits.items():
            if row is None:
                self._manifest.append({self._video: edit.name, self._caption: edit.text})
            elif self._text(self._manifest.rows[row]) != edit.text:
                self._manifest.set(row, self._caption, edit.text)
                owners[row] = edit
        if not self._manifest.is_changed:
            return
        refuse_read_only(self._manifest.path, then="; the edits are kept as drafts")
        while True:
            try:
                self._manifest.save()
                break
            except ConflictError as error:
                for conflict in error.conflicts:
                    self._manifest.resolve(conflict, keep_ours=False)
                    self._clash(
                        owners[conflict.row],
                        cell_text(conflict.theirs),
                        is_gone=conflict.row_is_gone,
                    )
        path = self._manifest.path
        self._stamp = stamp(path)
        if path.read_bytes() != self._manifest.to_bytes():  # somebody wrote after our rename
            self._stamp = (0, 0, 0)

    def _clash(self, edit: Edit, theirs: str, *, is_gone: bool = False) -> None:
        self._clashes.append(Clash(name=edit.name, nth=edit.nth, theirs=theirs, is_gone=is_gone))

    def _places(self) -> dict[Key, int]:
        keys = name_keys(self._manifest.rows, self._video)
        return {key: row for row, key in enumerate(keys)}

    def _captions(self) -> dict[Key, str]:
        rows = self._manifest.rows
        return {key: self._text(rows[row]) for key, row in self._places().items()}

    def _text(self, row: Mapping[str, object]) -> str:
        return cell_text(row.get(self._caption))

    def _outside(self, captions: Mapping[Key, str], ours: set[Key]) -> tuple[list[Outside], int]:
        """Return what changed since this session last looked, and note what it sees now."""
        file = Path(self._request.seen)
        now: dict[str, list[int]] = {}
        for key, text in captions.items():
            now.setdefault(key.name, []).append(digest_of(text))
        before = _seen(file)
        if before != now:
            atomic_write(file, msgspec.msgpack.encode(now))
        is_now, was = _by_key(now), _by_key(before or {})
        changed = {
            key: text
            for key, text in captions.items()
            if key not in ours and was.get(key, is_now[key]) != is_now[key]
        }
        outside = [Outside(*key, text) for key, text in changed.items()][:MOST_TOLD]
        for name, nth, believed in map(msgspec.structs.astuple, self._request.known):
            key = Key(name, nth)
            if key not in ours and key not in changed and is_now.get(key, believed) != believed:
                outside.append(Outside(*key, captions[key]))
        return outside, len(changed)


def _seen(file: Path) -> dict[str, list[int]] | None:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=dict[str, list[int]])
    except (OSError, msgspec.DecodeError):
        return None


def _by_key(digests: Mapping[str, Sequence[int]]) -> dict[Key, int]:
    return {Key(name, nth): one for name, some in digests.items() for nth, one in enumerate(some)}


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one writer of a project work at a time; without a lock the merge has to do."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def to_json(value: object) -> bytes:
    """Return JSON in which half surrogates are escapes, as no UTF-8 can hold them."""
    return json.dumps(msgspec.to_builtins(value)).encode()


def main(arguments: Sequence[str] = ()) -> None:
    """Read the request, write the captions, print the answer."""
    if "--nice" in arguments:  # only looking; whoever types goes first
        os.nice(5)
    request = msgspec.convert(json.loads(sys.stdin.buffer.read()), Request)
    sys.stdout.buffer.write(to_json(write(request)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
