"""SQLite files in a project's state folder: opening, migrations, safe access from threads.

Several processes may use one at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from engine.errors import EnvironmentFaultError

Row = tuple[Any, ...]

# Seconds to wait for another process.
_PATIENCE, _PAUSE = 30.0, 0.02


class About(NamedTuple):
    """What there is to say of such a file.

    Attributes:
        name: What it is called.
        migrations: One entry a version: the statements that lead to it from the one before.
        unopened: What is so where it cannot be opened, and what to do about it.
        unwritten: The same where it cannot be read or written.
        newer: What to do about a file that a newer ltx-tui made.
        faults: What counts as no fault of ltx-tui once it is open.
    """

    name: str
    migrations: Sequence[str]
    unopened: tuple[str, str]
    unwritten: tuple[str, str]
    newer: str = "upgrade ltx-tui"
    faults: tuple[type[Exception], ...] = (OSError, sqlite3.Error)


class StateFile:
    """The open file; usable from several threads of one process."""

    def __init__(self, path: Path, about: About) -> None:
        """Open or create it.

        Args:
            path: A file in the state folder.
            about: What there is to say of it.

        Raises:
            EnvironmentFaultError: The folder is not writable, the file is damaged, or a newer
                ltx-tui made it.
        """
        self.path = path
        self._about = about
        self._home = str(path.parent.parent.absolute())
        self._lock = threading.RLock()
        with self._explained(about.unopened, (OSError, sqlite3.Error)):
            path.parent.mkdir(parents=True, exist_ok=True)
            keep_out_of_git(path.parent)
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=_PATIENCE)
            _use_wal(self._db)
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _migrate(self) -> None:
        version, migrations = self._version(), self._about.migrations
        if version > len(migrations):
            raise EnvironmentFaultError(
                f"{self._about.name} has version {version}, made by a newer ltx-tui",
                file=self.path,
                remedy=self._about.newer,
            )
        if version == len(migrations):
            return
        # Two processes may open an old file at once: the second finds the work done.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for number in range(self._version(), len(migrations)):
                for statement in filter(str.strip, migrations[number].split(";")):
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
        with self._lock, self._explained(self._about.unwritten, self._about.faults):
            row: Row | None = self._db.execute(query, tuple(values)).fetchone()
            return row

    def all(self, query: str, values: Iterable[object] = ()) -> list[Row]:
        """Return all rows."""
        with self._lock, self._explained(self._about.unwritten, self._about.faults):
            return self._db.execute(query, tuple(values)).fetchall()

    def write(self, query: str, values: Iterable[object] = (), *, durable: bool = True) -> int:
        """Execute one statement, or a part of the transaction around; return an insert's row id.

        Args:
            query: The statement.
            values: Its values.
            durable: As in `transaction`; that of one around it decides.
        """
        with self.transaction(durable=durable):
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
        with self._lock, self._explained(self._about.unwritten, self._about.faults):
            if self._db.in_transaction:  # the outer one decides
                yield
                return
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield

    def key(self, path: Path) -> str:
        """Return what is kept of a path: relative inside the project, so that it can be moved."""
        # As text: a plan asks for every file, and paths are many times slower.
        text = str(path if path.is_absolute() else path.absolute())
        if text == self._home:
            return "."
        return stored(text.removeprefix(self._home + "/"))

    @contextlib.contextmanager
    def _explained(
        self, words: tuple[str, str], faults: tuple[type[Exception], ...]
    ) -> Iterator[None]:
        """Turn errors into ours: a full disk above all."""
        try:
            yield
        except faults as error:
            what, remedy = words
            raise EnvironmentFaultError(
                f"{what}: {error}", file=self.path, remedy=remedy
            ) from error


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log.

    Where shared memory does not work, as on some network folders, SQLite stays with its rollback
    journal: slower, as safe.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Of two that open a new file at once, SQLite turns one away without waiting.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_PAUSE)


def stored(path: str) -> str:
    """Return a path as SQLite can keep it: bytes that are no UTF-8 become escapes."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


def keep_out_of_git(state_dir: Path) -> None:
    """Let git leave out what is in the state folder."""
    marker = state_dir / ".gitignore"
    if not marker.exists():
        marker.write_text("*\n")
