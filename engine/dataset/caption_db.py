"""What the workbench knows of captions beyond the dataset file: `.ltx-tui/captions.db`.

Drafts, undo, versions and marks; unlike `journal.db` it holds work of the user's own. Several
workbenches may use it at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import EnvironmentFaultError

FILE = "captions.db"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS drafts (
    session TEXT NOT NULL, name TEXT NOT NULL, nth INTEGER NOT NULL, base BLOB NOT NULL,
    text BLOB NOT NULL, typed REAL NOT NULL, PRIMARY KEY (session, name, nth)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS histories (
    name TEXT NOT NULL, nth INTEGER NOT NULL, steps BLOB NOT NULL, PRIMARY KEY (name, nth)
);
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, nth INTEGER NOT NULL,
    kind TEXT NOT NULL, text BLOB NOT NULL, made REAL NOT NULL, visit TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS versions_of_captions ON versions (name, nth, id);
CREATE TABLE IF NOT EXISTS marks (
    name TEXT NOT NULL, nth INTEGER NOT NULL, state TEXT NOT NULL, digest TEXT NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (name, nth)
) WITHOUT ROWID;
"""


class Key(NamedTuple):
    """Which caption: the media path, safe to show, and which of the rows that have it."""

    name: str
    nth: int = 0


def pack(text: str) -> bytes:
    """Return text for the database; half surrogates, as JSON can hold them, are kept."""
    return text.encode("utf-8", "surrogatepass")


def unpack(data: bytes) -> str:
    """Return the text of `pack`."""
    return data.decode("utf-8", "surrogatepass")


def digest(text: str) -> str:
    """Return what tells one text from another."""
    return hashlib.blake2b(pack(text), digest_size=16).hexdigest()


class CaptionDatabase:
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/captions.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, the file is damaged, or a newer
                ltx-tui made it.
        """
        self.path = state_dir / FILE
        self._lock = threading.RLock()
        with self._explained():
            state_dir.mkdir(parents=True, exist_ok=True)
            marker = state_dir / ".gitignore"
            if not marker.exists():
                marker.write_text("*\n")
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30)
            # Network folders without shared memory stay with the rollback journal.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > _VERSION:
                raise EnvironmentFaultError(
                    f"the captions' journal has version {version}, made by a newer ltx-tui",
                    file=self.path,
                    remedy="upgrade ltx-tui",
                )
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def all(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._lock, self._explained():
            return self._db.execute(query, tuple(values)).fetchall()

    def run(self, query: str, values: Iterable[object] = ()) -> None:
        """Execute one statement, durably, or as a part of the transaction around it."""
        with self.transaction():
            self._db.execute(query, tuple(values))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write several statements, or none; on the disk when it ends.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        with self._lock, self._explained():
            if self._db.in_transaction:  # the outer one decides
                yield
                return
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise EnvironmentFaultError(
                f"drafts of captions cannot be kept: {error}",
                file=self.path,
                remedy="make its folder writable, and space on its disk; move the file away if it "
                "is damaged",
            ) from error
