"""The draft journal: what was typed and is not in the dataset file yet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from engine.dataset.caption_db import CaptionDatabase, Key, pack, unpack
from engine.dataset.versions import Kind, Versions

_FOLDER = "editing"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A caption as it was typed.

    Attributes:
        base: The caption in the dataset file when the typing began: what a merge starts from.
        text: As typed.
        typed: When, in seconds since 1970.
        history: The undo history, as bytes; empty to leave the one that is kept as it is.
    """

    key: Key
    base: str
    text: str
    typed: float
    history: bytes = b""


class Session:
    """One running workbench; whether it still runs is told by a lock that dies with it."""

    def __init__(self, state_dir: Path) -> None:
        """Begin a session.

        Raises:
            OSError: The folder cannot be written.
        """
        self.id = uuid.uuid4().hex
        self._folder = state_dir / _FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        # Others see it when it is locked already: one that is not is of a session that ended.
        unseen = self._folder / f".{self.id}"
        self._file: IO[bytes] = unseen.open("wb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(self._lock_file(self.id))

    @property
    def seen_file(self) -> Path:
        """Where the writer notes which captions this session has seen in the dataset."""
        return self._folder / f"{self.id}.seen"

    def has_ended(self, session: str) -> bool:
        """Whether another session ended, in whatever way."""
        if session == self.id:
            return False
        try:
            with self._lock_file(session).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def sweep(self) -> None:
        """Remove what sessions that ended have left."""
        for lock in self._folder.glob("*.lock"):
            if self.has_ended(lock.stem):
                lock.with_suffix(".seen").unlink(missing_ok=True)
                lock.unlink(missing_ok=True)

    def close(self) -> None:
        """End the session."""
        self.seen_file.unlink(missing_ok=True)
        self._lock_file(self.id).unlink(missing_ok=True)
        self._file.close()

    def _lock_file(self, session: str) -> Path:
        return self._folder / f"{os.path.basename(session)}.lock"  # noqa: PTH119 - no path, a name


class DraftJournal:
    """The drafts of one session, and those that others left behind."""

    def __init__(self, database: CaptionDatabase, session: Session) -> None:
        self._db = database
        self._session = session

    def put(self, drafts: Iterable[Draft]) -> None:
        """Write drafts with their undo histories, all or none; on the disk when it returns.

        A draft that is no other text than its base is settled.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        with self._db.transaction():
            for draft in drafts:
                if draft.text == draft.base:
                    self._remove(draft.key)
                else:
                    self._db.run(
                        "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            self._session.id,
                            *draft.key,
                            pack(draft.base),
                            pack(draft.text),
                            draft.typed,
                        ),
                    )
                if draft.history:
                    self._db.run(
                        "INSERT OR REPLACE INTO histories VALUES (?, ?, ?)",
                        (*draft.key, draft.history),
                    )

    def settle(self, key: Key, text: str) -> None:
        """Note that the dataset file has a text now; what was typed since stays a draft on it."""
        with self._db.transaction():
            own = (self._session.id, *key)
            self._db.run(
                "DELETE FROM drafts WHERE session=? AND name=? AND nth=? AND text=?",
                (*own, pack(text)),
            )
            self._db.run(
                "UPDATE drafts SET base=? WHERE session=? AND name=? AND nth=?",
                (pack(text), *own),
            )

    def drafts(self) -> list[Draft]:
        """Return the drafts of this session."""
        return self._drafts(self._session.id)

    def adopt(self) -> list[Draft]:
        """Take over the drafts of sessions that ended; return all of this session's.

        Of two that were left for one caption the later is taken; the other becomes a version.
        """
        with self._db.transaction():
            mine = {draft.key: draft for draft in self.drafts()}
            for (session,) in self._db.all("SELECT DISTINCT session FROM drafts"):
                if not self._session.has_ended(session):
                    continue
                for draft in self._drafts(session):
                    self._adopt(draft, mine)
                self._db.run("DELETE FROM drafts WHERE session=?", (session,))
            self.put(mine.values())
        self._session.sweep()
        return list(mine.values())

    def history(self, key: Key) -> bytes:
        """Return the undo history of a caption; empty for none."""
        rows = self._db.all("SELECT steps FROM histories WHERE name=? AND nth=?", key)
        return bytes(rows[0][0]) if rows else b""

    def _adopt(self, draft: Draft, mine: dict[Key, Draft]) -> None:
        other = mine.get(draft.key)
        later = draft if other is None or draft.typed > other.typed else other
        earlier = other if later is draft else draft
        if earlier is not None and earlier.text != later.text:
            Versions(self._db).note(draft.key, Kind.SET_ASIDE, earlier.text)
        mine[draft.key] = later

    def _drafts(self, session: str) -> list[Draft]:
        rows = self._db.all(
            "SELECT name, nth, base, text, typed FROM drafts WHERE session=? ORDER BY typed",
            (session,),
        )
        return [
            Draft(key=Key(name, nth), base=unpack(base), text=unpack(text), typed=typed)
            for name, nth, base, text, typed in rows
        ]

    def _remove(self, key: Key) -> None:
        self._db.run(
            "DELETE FROM drafts WHERE session=? AND name=? AND nth=?", (self._session.id, *key)
        )
