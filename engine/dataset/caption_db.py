"""What the workbench knows of captions beyond the dataset file: `.ltx-tui/captions.db`.

Drafts, undo, versions and marks; unlike `journal.db` it holds work of the user's own. Several
workbenches may use it at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from engine.state.file import About, StateFile

FILE = "captions.db"
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
_UNKEPT = (
    "drafts of captions cannot be kept",
    "make its folder writable, and space on its disk; move the file away if it is damaged",
)
_ABOUT = About(
    name="the captions' journal", migrations=(_SCHEMA,), unopened=_UNKEPT, unwritten=_UNKEPT
)


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


class CaptionDatabase(StateFile):
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/captions.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, the file is damaged, or a newer
                ltx-tui made it.
        """
        super().__init__(state_dir / FILE, _ABOUT)

    def run(self, query: str, values: Iterable[object] = ()) -> None:
        """Execute one statement, durably, or as a part of the transaction around it."""
        self.write(query, values)
