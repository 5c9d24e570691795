"""What is known of media files and of files made from them: `.ltx-tui/media.db`.

All of it can be found out again: the file may be deleted. Several processes may use it at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.files.identity import FileIdentity, stat_identity
from engine.state.file import About, StateFile

FILE = "media.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    kind TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (kind, path)
) WITHOUT ROWID;
"""
_UNKEPT = (
    "what is known of media cannot be kept",
    "make its folder writable, and space on its disk; delete the file if it is damaged",
)
_ABOUT = About(
    name="what is known of media",
    migrations=(_SCHEMA,),
    unopened=_UNKEPT,
    unwritten=_UNKEPT,
    newer="upgrade ltx-tui, or delete the file",
)


class Entry(NamedTuple):
    """What was kept of a file, and what the file was then."""

    identity: FileIdentity
    data: bytes


class Kept(StateFile):
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/media.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, or the file damaged or newer.
        """
        super().__init__(state_dir / FILE, _ABOUT)

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
        row = self.one(
            "SELECT size, mtime_ns, data FROM kept WHERE kind=? AND path=?", (kind, self.key(path))
        )
        if row is None:
            return None
        return Entry(FileIdentity(size=row[0], mtime_ns=row[1]), bytes(row[2]))

    def keep(self, kind: str, path: Path, identity: FileIdentity, data: bytes) -> None:
        """Keep something of a file as it was at `identity`."""
        self.write(
            "INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?)",
            (kind, self.key(path), identity.size, identity.mtime_ns, data),
            durable=False,
        )

    def forget(self, kind: str, path: Path) -> None:
        """Drop what was kept of a file."""
        self.write(
            "DELETE FROM kept WHERE kind=? AND path=?", (kind, self.key(path)), durable=False
        )
