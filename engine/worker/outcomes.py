"""How each output was last tried, whichever job did it: what a list of clips shows of the past."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec

from engine.state.database import Database


class Failure(msgspec.Struct, frozen=True):
    """Why the latest job that tried an output gave it up."""

    reason: str
    remedy: str


class Try(msgspec.Struct, frozen=True):
    """The latest try at an output that went well.

    Attributes:
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
    """

    device: str
    rung: str
    seconds: float
    peak: int


Key = tuple[str, str]
"""A stage's name, and the path of the output inside its folder."""


def failures(database: Database) -> dict[Key, Failure]:
    """Return the outputs on which the latest job that tried them failed."""
    rows = database.all(
        # Beside max() SQLite takes the other columns from the row that has it.
        "SELECT stage, output, state, reason, remedy, max(job) FROM steps GROUP BY stage, output"
    )
    return {
        (stage, output): Failure(reason, remedy)
        for stage, output, state, reason, remedy, _ in rows
        if state == "failed"
    }


def tries(database: Database) -> dict[Key, Try]:
    """Return how each output was made, as far as its job is still kept."""
    rows = database.all(
        "SELECT stage, output, device, rung, seconds, peak, max(id) FROM attempts "
        "WHERE outcome='done' GROUP BY stage, output"
    )
    return {(row[0], row[1]): Try(*row[2:6]) for row in rows}


def latest(state_dir: Path) -> tuple[int, float, int]:
    """Return what changes whenever outputs do: the latest job, its end, the latest try.

    The journal is read only, and neither made nor brought up to date; zeros where it cannot be.
    """
    path = state_dir / "journal.db"
    with contextlib.suppress(sqlite3.Error):
        database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)
        with contextlib.closing(database):
            jobs = database.execute("SELECT max(id), max(ended) FROM jobs").fetchone()
            attempts = database.execute("SELECT max(id) FROM attempts").fetchone()
            return jobs[0] or 0, jobs[1] or 0.0, attempts[0] or 0
    return 0, 0.0, 0
