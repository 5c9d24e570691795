"""Versions of captions: as a tool left them, as they were edited, restored, or set aside."""

from __future__ import annotations

import time
from enum import StrEnum

import msgspec

from engine.dataset.caption_db import CaptionDatabase, Key, pack, unpack

MAX_VERSIONS = 100


class Kind(StrEnum):
    """How a version came about."""

    AUTO = "auto"  # as it was found: written by a captioner or another tool
    EDITED = "edited"
    RESTORED = "restored"
    OUTSIDE = "outside"  # changed in the dataset file by another program
    SET_ASIDE = "set aside"  # ours, given up in a conflict
    REJECTED = "rejected"  # looked at, and not wanted


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version.

    Attributes:
        id: Grows with time.
        made: When it was noted, in seconds since 1970.
    """

    id: int
    kind: Kind
    text: str
    made: float


class Versions:
    """The versions of all captions."""

    def __init__(self, database: CaptionDatabase) -> None:
        self._db = database

    def note(self, key: Key, kind: Kind, text: str, *, visit: str = "") -> None:
        """Keep a version, unless it is the text of the last one.

        Args:
            key: The caption.
            kind: How it came about.
            text: The caption as it is now.
            visit: What belongs together: of one visit only the last edited text is kept.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        with self._db.transaction():
            rows = self._db.all(
                "SELECT id, kind, text, visit FROM versions WHERE name=? AND nth=? "
                "ORDER BY id DESC LIMIT 1",
                key,
            )
            if rows and unpack(rows[0][2]) == text:
                return
            if rows and visit and kind is Kind.EDITED and rows[0][1:4:2] == (kind, visit):
                self._db.run(
                    "UPDATE versions SET text=?, made=? WHERE id=?",
                    (pack(text), time.time(), rows[0][0]),
                )
                return
            self._db.run(
                "INSERT INTO versions (name, nth, kind, text, made, visit) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*key, kind, pack(text), time.time(), visit),
            )
            # The first, which a tool made, is kept for good.
            self._db.run(
                "DELETE FROM versions WHERE name=?1 AND nth=?2 AND id NOT IN "
                "(SELECT id FROM versions WHERE name=?1 AND nth=?2 ORDER BY id DESC LIMIT ?3) "
                "AND id <> (SELECT MIN(id) FROM versions WHERE name=?1 AND nth=?2)",
                (*key, MAX_VERSIONS),
            )

    def reject(self, key: Key, text: str) -> None:
        """Mark all versions that read like this as rejected; they stay.

        Raises:
            EnvironmentFaultError: The disk is full, or cannot be written.
        """
        self._db.run(
            "UPDATE versions SET kind=? WHERE name=? AND nth=? AND text=?",
            (Kind.REJECTED, *key, pack(text)),
        )

    def of(self, key: Key) -> list[Version]:
        """Return the versions of a caption, the newest first."""
        rows = self._db.all(
            "SELECT id, kind, text, made FROM versions WHERE name=? AND nth=? ORDER BY id DESC",
            key,
        )
        return [
            Version(id=number, kind=Kind(kind), text=unpack(text), made=made)
            for number, kind, text, made in rows
        ]
