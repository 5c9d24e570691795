"""The project's SQLite file `.ltx-tui/journal.db`: opening, migrations, safe access from threads.

It can be deleted: media are probed again, and outputs are adopted after verification or made
again. Several processes may use it at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import EnvironmentFaultError

Row = tuple[Any, ...]

# One entry a version: the statements that lead to it from the one before.
_MIGRATIONS = (
    """
    CREATE TABLE media (
        path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        reader INTEGER NOT NULL, probe BLOB NOT NULL
    );
    CREATE TABLE digests (
        path TEXT NOT NULL, part TEXT NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (path, part)
    );
    CREATE TABLE outputs (
        folder TEXT NOT NULL, path TEXT NOT NULL, facts BLOB NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, aside TEXT NOT NULL DEFAULT '', adopted INTEGER NOT NULL,
        seconds REAL NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (folder, path)
    );
    """,
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, spec BLOB NOT NULL, state TEXT NOT NULL,
        owner TEXT NOT NULL, created REAL NOT NULL, started REAL NOT NULL DEFAULT 0,
        ended REAL NOT NULL DEFAULT 0, busy REAL NOT NULL DEFAULT 0, fault BLOB, result BLOB
    );
    CREATE TABLE steps (
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, stage TEXT NOT NULL,
        output TEXT NOT NULL, clip TEXT NOT NULL, row INTEGER NOT NULL, state TEXT NOT NULL,
        facts BLOB NOT NULL, sent REAL NOT NULL, reason TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '', PRIMARY KEY (job, stage, output)
    ) WITHOUT ROWID;
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        stage TEXT NOT NULL, output TEXT NOT NULL, device TEXT NOT NULL, rung TEXT NOT NULL,
        began REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0, peak INTEGER NOT NULL DEFAULT 0,
        outcome TEXT NOT NULL, reason TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX attempts_of_steps ON attempts (job, stage, output);
    CREATE TABLE peaks (
        device TEXT NOT NULL, model TEXT NOT NULL, shape TEXT NOT NULL, rung TEXT NOT NULL,
        bytes INTEGER NOT NULL, fits INTEGER NOT NULL, seen REAL NOT NULL,
        PRIMARY KEY (device, model, shape, rung, fits)
    );
    """,
)


class Database:
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/journal.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, the file is damaged, or a newer
                ltx-tui made it.
        """
        self.path = state_dir / "journal.db"
        self._lock = threading.RLock()
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            _keep_out_of_git(state_dir)
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30)
            # Where shared memory does not work, as on some network folders, SQLite stays with
            # its rollback journal: slower, as safe.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise EnvironmentFaultError(
                f"the project's journal cannot be used: {error}",
                file=self.path,
                remedy="make its folder writable; if the file is damaged, delete it: outputs are "
                "then adopted (ltx-tui adopt) or made again",
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _migrate(self) -> None:
        version = self._version()
        if version > len(_MIGRATIONS):
            raise EnvironmentFaultError(
                f"the project's journal has version {version}, made by a newer ltx-tui",
                file=self.path,
                remedy="upgrade ltx-tui",
            )
        if version == len(_MIGRATIONS):
            return
        # Two processes may open an old journal at once: the second finds the work done.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for number in range(self._version(), len(_MIGRATIONS)):
                for statement in filter(str.strip, _MIGRATIONS[number].split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={number + 1}")
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def one(self, query: str, values: Iterable[object] = ()) -> Row | None:
        """Return the first row, or None."""
        with self._lock, self._explained():
            row: Row | None = self._db.execute(query, tuple(values)).fetchone()
            return row

    def all(self, query: str, values: Iterable[object] = ()) -> list[Row]:
        """Return all rows."""
        with self._lock, self._explained():
            return self._db.execute(query, tuple(values)).fetchall()

    def write(self, query: str, values: Iterable[object] = ()) -> int:
        """Execute one statement, durably; return the row id of an insert."""
        with self.transaction():
            return self._db.execute(query, tuple(values)).lastrowid or 0

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Write several statements or none.

        Args:
            durable: Wait for the disk. Otherwise what is written survives a killed process at
                once, and a power cut as soon as anything durable was written after it.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        with self._lock, self._explained():
            if self._db.in_transaction:  # the outer one decides
                yield
                return
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ours: a full disk above all."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise EnvironmentFaultError(
                f"the project's journal cannot be written: {error}",
                file=self.path,
                remedy="make space on its disk, then go on: nothing is lost",
            ) from error


def _keep_out_of_git(state_dir: Path) -> None:
    marker = state_dir / ".gitignore"
    if not marker.exists():
        marker.write_text("*\n")
