"""Which captioner wrote a caption, and whether its answer was malformed; holds for one text only.

A table of its own in `captions.db`, beside the marks of what a person did.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.dataset.caption_db import FILE, CaptionDatabase, Key, digest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS origins (
    name TEXT NOT NULL, nth INTEGER NOT NULL, digest TEXT NOT NULL, captioner TEXT NOT NULL,
    malformed INTEGER NOT NULL, problems TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (name, nth, digest)
) WITHOUT ROWID
"""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a caption came from.

    Attributes:
        captioner: Such as "qwen_omni (Qwen/Qwen2.5-Omni-7B)".
        is_malformed: Whether sections are missing, or it is no caption, although asked twice.
        problems: What was wrong with the answer.
    """

    captioner: str
    is_malformed: bool = False
    problems: tuple[str, ...] = ()


class Origins:
    """The origins of captions: of each text that a captioner wrote, so those of versions too."""

    def __init__(self, database: CaptionDatabase) -> None:
        """Use an open database; its owner closes it."""
        self._db = database
        self._db.run(_SCHEMA)

    def note(self, key: Key, text: str, origin: Origin) -> None:
        """Keep who wrote a text.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        self._db.run(
            "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                digest(text),
                origin.captioner,
                int(origin.is_malformed),
                msgspec.json.encode(origin.problems).decode(),
                time.time(),
            ),
        )

    def of(self, key: Key, text: str) -> Origin | None:
        """Return who wrote a text; None where a person did, or another tool."""
        rows = self._db.all(
            "SELECT captioner, malformed, problems FROM origins "
            "WHERE name=? AND nth=? AND digest=?",
            (*key, digest(text)),
        )
        return _origin(*rows[0]) if rows else None

    def all(self) -> Iterator[tuple[Key, str, Origin]]:
        """Yield (caption, digest of its text, origin) of all that are known."""
        rows = self._db.all("SELECT name, nth, digest, captioner, malformed, problems FROM origins")
        for name, nth, of, *rest in rows:
            yield Key(name, nth), of, _origin(*rest)


def known_origins(state_dir: Path) -> dict[tuple[Key, str], Origin]:
    """Return all origins by (caption, digest of its text), for whoever lists all captions.

    Raises:
        EnvironmentFaultError: The file is damaged, or a newer ltx-tui made it.
    """
    if not (state_dir / FILE).exists():
        return {}
    database = CaptionDatabase(state_dir)
    try:
        return {(key, of): origin for key, of, origin in Origins(database).all()}
    finally:
        database.close()


def _origin(captioner: str, malformed: int, problems: str) -> Origin:
    return Origin(
        captioner=captioner,
        is_malformed=bool(malformed),
        problems=msgspec.json.decode(problems, type=tuple[str, ...]),
    )
