"""The steps of a caption job in the journal: which clip was asked about, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from engine.dataset.to_caption import ToCaption
from engine.events import ClipFailed
from engine.precompute.layout import CAPTIONS
from engine.state.database import Database


class CaptionSteps:
    """The steps of one job, in the journal's own table: so they are counted with all others."""

    def __init__(self, database: Database, job: int) -> None:
        """Use an open database; its owner closes it."""
        self._db = database
        self._job = job

    def done(self) -> frozenset[str]:
        """Return the clips that this job captioned in earlier lives."""
        return self._names("done")

    def sent(self) -> frozenset[str]:
        """Return the clips that were asked about, and of which nobody saw the end."""
        return self._names("sent")

    def failures(self) -> dict[str, ClipFailed]:
        """Return the clips that this job gave up in earlier lives."""
        rows = self._db.all(
            "SELECT output, clip, row, reason, remedy FROM steps "
            "WHERE job=? AND stage=? AND state='failed'",
            (self._job, CAPTIONS),
        )
        return {
            output: ClipFailed(stage=CAPTIONS, clip=clip, row=row, reason=reason, remedy=remedy)
            for output, clip, row, reason, remedy in rows
        }

    def _names(self, state: str) -> frozenset[str]:
        rows = self._db.all(
            "SELECT output FROM steps WHERE job=? AND stage=? AND state=?",
            (self._job, CAPTIONS, state),
        )
        return frozenset(row[0] for row in rows)

    def send(self, clip: ToCaption) -> None:
        """A clip is about to be asked about."""
        self._write(clip, "sent", durable=False)

    def finish(self, clips: Iterable[ToCaption]) -> None:
        """The captions of clips are in the dataset."""
        with self._db.transaction():
            for clip in clips:
                self._write(clip, "done")

    def settle(self, names: Iterable[str]) -> None:
        """Clips that were asked about have a caption by now, whoever wrote it."""
        with self._db.transaction():
            for name in names:
                self._db.write(
                    "UPDATE steps SET state='done' WHERE job=? AND stage=? AND output=?",
                    (self._job, CAPTIONS, name),
                )

    def fail(self, clip: ToCaption, failure: ClipFailed) -> None:
        """A clip is given up for this job."""
        self._write(clip, "failed", failure.reason, failure.remedy)

    def drop(self, clip: ToCaption) -> None:
        """A clip was not asked about after all."""
        with self._db.transaction(durable=False):
            self._db.write(
                "DELETE FROM steps WHERE job=? AND stage=? AND output=? AND state='sent'",
                (self._job, CAPTIONS, clip.name),
            )

    def _write(
        self,
        clip: ToCaption,
        state: str,
        reason: str = "",
        remedy: str = "",
        *,
        durable: bool = True,
    ) -> None:
        with self._db.transaction(durable=durable):
            self._db.write(
                "INSERT OR REPLACE INTO steps (job, stage, output, clip, row, state, facts, sent, "
                "reason, remedy) VALUES (?,?,?,?,?,?,'{}',?,?,?)",
                (
                    self._job,
                    CAPTIONS,
                    clip.name,
                    clip.key.name,
                    clip.row,
                    state,
                    time.time(),
                    reason,
                    remedy,
                ),
            )
