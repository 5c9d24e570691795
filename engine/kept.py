"""What is known of media files and of files made from them: `.ltx-tui/media.db`.

All of it can be found out again: the file may be deleted. Several processes may use it at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import EnvironmentFaultError
from engine.identity import FileIdentity, stat_identity

FILE = "media.db"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    kind TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (kind, path)
) WITHOUT ROWID;
"""


class Entry(NamedTuple):
    """What was kept of a file, and what the file was then."""

    identity: FileIdentity
    data: bytes


class Kept:
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/media.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, or the file damaged or newer.
        """
        self.path = state_dir / FILE
        self._root = state_dir.parent.absolute()
        self._lock = threading.RLock()
        with self._explained():
            state_dir.mkdir(parents=True, exist_ok=True)
            marker = state_dir / ".gitignore"
            if not marker.exists():
                marker.write_text("*\n")
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > _VERSION:
                raise EnvironmentFaultError(
                    f"what is known of media has version {version}, made by a newer ltx-tui",
                    file=self.path,
                    remedy="upgrade ltx-tui, or delete the file",
                )
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_VERSION}")

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def fresh(self, kind: str, path: Path) -> bytes | None:
        """Return what was kept of a file that has not changed since; None otherwise.

        Raises:
            OSError: There is no such file.
        """
        entry = self.last(kind, path)
        if entry is None or not entry.identity.same_stat(stat_identity(path)):
            return None
        return entry.data

    def last(self, kind: str, path: Path) -> Entry | None:
        """Return what was last kept of a file, whether or not it has changed."""
        with self._lock, self._explained():
            row: tuple[Any, ...] | None = self._db.execute(
                "SELECT size, mtime_ns, data FROM kept WHERE kind=? AND path=?",
                (kind, self._key(path)),
            ).fetchone()
        if row is None:
            return None
        return Entry(FileIdentity(size=row[0], mtime_ns=row[1]), bytes(row[2]))

    def keep(self, kind: str, path: Path, identity: FileIdentity, data: bytes) -> None:
        """Keep something of a file as it was at `identity`."""
        with self._lock, self._explained(), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?)",
                (kind, self._key(path), identity.size, identity.mtime_ns, data),
            )

    def forget(self, kind: str, path: Path) -> None:
        """Drop what was kept of a file."""
        with self._lock, self._explained(), self._db:
            self._db.execute("DELETE FROM kept WHERE kind=? AND path=?", (kind, self._key(path)))

    def _key(self, path: Path) -> str:
        # Relative inside the project, so that a project folder can be moved as a whole.
        path = path.absolute()
        with contextlib.suppress(ValueError):
            path = path.relative_to(self._root)
        return path.as_posix().encode("utf-8", "backslashreplace").decode()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise EnvironmentFaultError(
                f"what is known of media cannot be kept: {error}",
                file=self.path,
                remedy="make its folder writable, and space on its disk; delete the file if it is "
                "damaged",
            ) from error
