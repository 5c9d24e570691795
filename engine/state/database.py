"""The project's SQLite file `.ltx-tui/journal.db`, and its migrations.

It can be deleted: media are probed again, and outputs are adopted after verification or made
again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from engine.state.file import About, StateFile

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
    # A list of jobs counts the steps of each: without this it reads all of them, facts and all.
    "CREATE INDEX steps_by_state ON steps (job, state)",
)


_ABOUT = About(
    name="the project's journal",
    migrations=_MIGRATIONS,
    unopened=(
        "the project's journal cannot be used",
        "make its folder writable; if the file is damaged, delete it: outputs are then adopted "
        "(ltx-tui adopt) or made again",
    ),
    unwritten=(
        "the project's journal cannot be written",
        "make space on its disk, then go on: nothing is lost",
    ),
    faults=(sqlite3.OperationalError,),
)


class Database(StateFile):
    """The open file; usable from several threads of one process."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create `state_dir/journal.db`.

        Raises:
            EnvironmentFaultError: The folder is not writable, the file is damaged, or a newer
                ltx-tui made it.
        """
        super().__init__(state_dir / "journal.db", _ABOUT)
