"""Run as `python -P -m engine.worker.score_captions`: finds the captions to look at first.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, nobody
waits any more. Prints events as JSON lines: `Scored` each time that the file of scores has been
written, how far the listening is (`engine.events`), and `JobDone` last; or `Stopped` where the
dataset cannot be read.

The texts alone are judged first; then clips are listened to that were not before, and the scores
written again now and then. All of it gives way to whatever else the machine does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from engine.dataset.windows import WHOLE
from engine.errors import EnvironmentFaultError, LtxError
from engine.events import ClipDone, ClipStarted, JobDone, JobStarted, StageCount
from engine.files.identity import stat_identity
from engine.media.loudness_types import LOUDNESS_VERSION, Loudness
from engine.state.kept import Kept
from engine.suspicion.file import FILE, Stored, read_stored, write_stored
from engine.suspicion.scoring import Entry, Scorer
from engine.worker.clip_work import ClipWork, work_off
from engine.worker.score_types import STAGE, Scored, Wanted

# The least urgent of all: an encode, and the user's own programs, come first.
_KINDNESS = 19
_MOST_WORKERS = 4
_WRITE_EVERY = 10.0  # seconds between two writes while clips are listened to
_LOUDNESS = msgspec.msgpack.Decoder(Loudness)
# Kept of a clip whose sound cannot be decoded, so that it is not tried again and again.
_UNHEARD = b""


class Work(ClipWork[Wanted]):
    """One request."""

    def __init__(
        self, wanted: Wanted, is_stopped: Callable[[], bool], tell: Callable[[object], None]
    ) -> None:
        super().__init__(wanted, is_stopped, tell)
        self._heard: dict[int, Loudness | None] = {}

    def run(self) -> None:
        """Do it.

        Raises:
            LtxError: The dataset cannot be read, or the scores not be written.
            StopAsked: Nobody waits any more; what was heard is kept.
        """
        project = self._wanted.project
        scorer = Scorer(project, read_stored(project))
        self._check()
        with Kept(project.state_dir) as kept:
            missing = self._recall(scorer, kept)
            self._write(scorer, is_whole=not missing)
            self._listen(scorer, missing, kept)
        if missing:
            self._write(scorer, is_whole=True)
        self._tell(self.end())

    def end(self, *, fresh: int = 0, cancelled: bool = False) -> JobDone:
        """Return the last event."""
        self._done = len(self._heard)
        return super().end(fresh=fresh, cancelled=cancelled)

    def _write(self, scorer: Scorer, *, is_whole: bool) -> None:
        stored: Stored = scorer.score(self._heard, is_whole=is_whole)
        self._check()
        try:
            write_stored(self._wanted.project, stored)
        except OSError as error:
            raise EnvironmentFaultError(
                f"the scores of captions cannot be kept: {error.strerror}",
                file=self._wanted.project.state_dir / FILE,
                remedy="make its folder writable, and space on its disk",
            ) from error
        self._tell(Scored(rows=len(scorer.entries), is_whole=is_whole))

    # Sound

    def _recall(self, scorer: Scorer, kept: Kept) -> list[int]:
        """Take what was heard before; return the rows that must be listened to, in their order."""
        missing = []
        for row, entry in enumerate(scorer.entries):
            if not scorer.needs_sound(row) or entry.sound is None:
                continue
            try:
                data = kept.fresh(_kind(entry), entry.sound)
            except OSError:  # gone meanwhile
                continue
            if data is not None:
                self._heard[row] = _LOUDNESS.decode(data) if data != _UNHEARD else None
            elif entry.sound.is_file():
                missing.append(row)
        urgent = {row: place for place, row in enumerate(self._wanted.first)}
        later = len(urgent)
        missing.sort(key=lambda row: (urgent.get(row, later), scorer.entries[row].is_reviewed))
        return missing

    def _listen(self, scorer: Scorer, rows: list[int], kept: Kept) -> None:
        """Listen to clips, several side by side, and write the scores now and then."""
        count = StageCount(
            stage=STAGE, to_do=len(rows), fresh=len(self._heard), blocked=0, skipped=0
        )
        self._tell(JobStarted(stages=(count,)))
        if not rows:
            return
        written = time.monotonic()
        with ThreadPoolExecutor(self._workers()) as pool:
            futures = {
                pool.submit(self._listen_to, row, scorer.entries[row], kept): row for row in rows
            }
            try:
                for future in as_completed(futures):
                    self._heard[futures[future]] = future.result()
                    if time.monotonic() - written >= _WRITE_EVERY:
                        self._write(scorer, is_whole=False)
                        written = time.monotonic()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _workers(self) -> int:
        # Half of the processors at most: what is decoded waits for the disk as well.
        return self._wanted.workers or max(1, min(_MOST_WORKERS, (os.cpu_count() or 1) // 2))

    def _listen_to(self, row: int, entry: Entry, kept: Kept) -> Loudness | None:
        self._check()
        assert entry.sound is not None  # noqa: S101 - it needs sound, for the type checker
        began = time.monotonic()
        if row in self._wanted.given_up:
            kept.keep(_kind(entry), entry.sound, stat_identity(entry.sound), _UNHEARD)
            return None
        self._tell(ClipStarted(stage=STAGE, clip=entry.name, row=row))
        heard = self._measure(entry, entry.sound, kept)
        seconds = time.monotonic() - began
        self._tell(ClipDone(stage=STAGE, clip=entry.name, row=row, output="", seconds=seconds))
        return heard

    def _measure(self, entry: Entry, path: Path, kept: Kept) -> Loudness | None:
        from engine.media.loudness import measure  # FFmpeg, which an unchanged set does not need

        span = entry.span
        length = {} if span.end is None else {"seconds": span.end - span.start}
        try:
            before = stat_identity(path)
            heard = measure(path, start=span.start, check=self._check, **length)
        except (LtxError, MemoryError):
            heard = None
        except OSError:  # gone meanwhile
            return None
        data = msgspec.msgpack.encode(heard) if heard is not None else _UNHEARD
        kept.keep(_kind(entry), path, before, data)
        return heard


def _kind(entry: Entry) -> str:
    part = "" if entry.span == WHOLE else f"@{entry.span.words}"
    return f"loudness-{LOUDNESS_VERSION}{part}"


if __name__ == "__main__":
    work_off(Wanted, Work, kindness=_KINDNESS)
