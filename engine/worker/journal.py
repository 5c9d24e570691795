"""The truth about jobs: what was asked, what was tried, how it ended, what memory it took.

Lies beside the ledger in `.ltx-tui/journal.db`. One worker or one foreground run writes to a job;
anybody may read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.events import ClipFailed, JobDone
from engine.memory.peaks import Peak
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage
from engine.state.database import Database
from engine.worker.spec import Fault, JobInfo, JobSpec, JobState, decoder, encode

WORKER = "worker"
# Steps and attempts of so many ended jobs are kept; older ones are forgotten.
_KEPT = 50
_SPECS = decoder(JobSpec)


class StepKey(msgspec.Struct, frozen=True):
    """What a job makes: an output of a stage."""

    stage: Stage
    output: str


class SentStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was given to an encoder, and whose end nobody saw.

    Attributes:
        fingerprint: What its output depends on, as it was when the step was sent.
        sent: When, in seconds since the epoch.
    """

    key: StepKey
    clip: str
    row: int
    fingerprint: Fingerprint
    sent: float


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has done in earlier lives of its worker.

    Attributes:
        done: Outputs that it made.
        failed: Outputs that it gave up, with the reason.
        sent: What was in hand when the worker ended.
    """

    done: frozenset[StepKey] = frozenset()
    failed: dict[StepKey, ClipFailed] = {}
    sent: tuple[SentStep, ...] = ()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at an output; times in seconds, the peak in bytes."""

    stage: Stage
    output: str
    device: str
    rung: str
    began: float
    seconds: float
    peak: int
    outcome: str
    reason: str


class Journal:
    """The jobs of a project."""

    def __init__(self, database: Database) -> None:
        """Use an open database; its owner closes it."""
        self._db = database

    # Jobs

    def add(self, spec: JobSpec, *, owner: str = WORKER) -> int:
        """Keep a new job, queued; return its number."""
        with self._db.transaction():
            number = self._db.write(
                "INSERT INTO jobs (spec, state, owner, created) VALUES (?,?,?,?)",
                (encode(spec), JobState.QUEUED, owner, time.time()),
            )
            self._forget_old()
        return number

    def _forget_old(self) -> None:
        self._db.write(
            "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND id NOT IN "
            "(SELECT id FROM jobs ORDER BY id DESC LIMIT ?)",
            (_KEPT,),
        )

    def spec(self, job: int) -> JobSpec | None:
        """Return what a job was asked to do; None if there is no such job."""
        row = self._db.one("SELECT spec FROM jobs WHERE id=?", (job,))
        if row is None:
            return None
        try:
            return _SPECS.decode(row[0])  # type: ignore[no-any-return]
        except msgspec.DecodeError:
            return None  # of a version with other settings: it cannot be gone on with

    def jobs(self, *states: JobState) -> list[JobInfo]:
        """Return all jobs, or those in some states, in the order in which they were asked for."""
        marks = ",".join("?" * len(states))
        where = f"WHERE state IN ({marks})" if states else ""
        rows = self._db.all(f"SELECT {_JOB} FROM jobs {where} ORDER BY id", states)  # noqa: S608
        return [_to_info(row) for row in rows]

    def job(self, job: int) -> JobInfo | None:
        """Return one job, or None."""
        row = self._db.one(f"SELECT {_JOB} FROM jobs WHERE id=?", (job,))  # noqa: S608
        return _to_info(row) if row is not None else None

    def owner(self, job: int) -> str:
        """Return "worker", or which foreground run a job belongs to."""
        row = self._db.one("SELECT owner FROM jobs WHERE id=?", (job,))
        return str(row[0]) if row is not None else ""

    def begin(self, job: int) -> None:
        """A job runs now, for the first time or again."""
        self._db.write(
            "UPDATE jobs SET state=?, started=CASE started WHEN 0 THEN ? ELSE started END, "
            "ended=0, fault=NULL, result=NULL WHERE id=?",
            (JobState.RUNNING, time.time(), job),
        )

    def set_state(self, job: int, state: JobState) -> None:
        """Change where a job stands, without an end."""
        self._db.write("UPDATE jobs SET state=?, ended=0 WHERE id=?", (state, job))

    def pause(self, job: int, busy: float) -> None:
        """A job holds after having run for some seconds."""
        self._db.write(
            "UPDATE jobs SET state=?, busy=busy+? WHERE id=?", (JobState.PAUSED, busy, job)
        )

    def end(
        self,
        job: int,
        state: JobState,
        *,
        busy: float = 0.0,
        fault: Fault | None = None,
        result: JobDone | None = None,
    ) -> None:
        """A job has ended.

        Args:
            job: Its number.
            state: How.
            busy: Seconds that it ran this time.
            fault: Why it stopped as a whole.
            result: Its figures.
        """
        self._db.write(
            "UPDATE jobs SET state=?, ended=?, busy=busy+?, fault=?, result=? WHERE id=?",
            (
                state,
                time.time(),
                busy,
                encode(fault) if fault else None,
                encode(result) if result else None,
                job,
            ),
        )

    # Steps

    def send(self, job: int, steps: Iterable[SentStep]) -> None:
        """Steps are about to be given to an encoder."""
        rows = [
            (
                job,
                one.key.stage,
                one.key.output,
                one.clip,
                one.row,
                msgspec.json.encode(one.fingerprint.facts),
                one.sent,
            )
            for one in steps
        ]
        with self._db.transaction(durable=False):
            for row in rows:
                self._db.write(
                    "INSERT OR REPLACE INTO steps (job, stage, output, clip, row, state, facts, "
                    "sent) VALUES (?,?,?,?,?,'sent',?,?)",
                    row,
                )

    def start(self, job: int, key: StepKey, *, device: str, rung: str) -> int:
        """An encoder begins with a step; return the number of the attempt."""
        with self._db.transaction(durable=False):
            return self._db.write(
                "INSERT INTO attempts (job, stage, output, device, rung, began, outcome) "
                "VALUES (?,?,?,?,?,?,'running')",
                (job, key.stage, key.output, device, rung, time.time()),
            )

    def settle(self, attempt: int, outcome: str, **known: object) -> None:
        """An attempt has ended.

        Args:
            attempt: Its number.
            outcome: "done", "failed", "died", "dropped" or "recovered".
            known: `rung`, `seconds`, `peak`, `reason`, as far as they are known.
        """
        names = ", ".join(f"{name}=?" for name in known)
        with self._db.transaction(durable=False):
            self._db.write(
                f"UPDATE attempts SET outcome=?{', ' + names if names else ''} WHERE id=?",  # noqa: S608
                (outcome, *known.values(), attempt),
            )

    def finish(self, job: int, key: StepKey) -> None:
        """The output of a step is made and recorded."""
        self._db.write(
            "UPDATE steps SET state='done', reason='', remedy='' "
            "WHERE job=? AND stage=? AND output=?",
            (job, key.stage, key.output),
        )

    def fail(self, job: int, key: StepKey, failure: ClipFailed) -> None:
        """A step is given up for this job."""
        self._db.write(
            "INSERT OR REPLACE INTO steps (job, stage, output, clip, row, state, facts, sent, "
            "reason, remedy) VALUES (?,?,?,?,?,'failed','{}',0,?,?)",
            (
                job,
                key.stage,
                key.output,
                failure.clip,
                failure.row,
                failure.reason,
                failure.remedy,
            ),
        )

    def drop(self, job: int, key: StepKey) -> None:
        """A step was not done: it is as if it had never been sent."""
        with self._db.transaction(durable=False):
            self._db.write(
                "DELETE FROM steps WHERE job=? AND stage=? AND output=? AND state='sent'",
                (job, key.stage, key.output),
            )

    def history(self, job: int) -> History:
        """Return what a job has done so far."""
        rows = self._db.all(
            "SELECT stage, output, clip, row, state, facts, sent, reason, remedy FROM steps "
            "WHERE job=? ORDER BY sent",
            (job,),
        )
        done, failed, sent = set(), {}, []
        for stage, output, clip, row, state, facts, when, reason, remedy in rows:
            key = StepKey(Stage(stage), output)
            if state == "done":
                done.add(key)
            elif state == "failed":
                failed[key] = ClipFailed(
                    stage=stage, clip=clip, row=row, reason=reason, remedy=remedy
                )
            else:
                print_ = Fingerprint(msgspec.json.decode(facts, type=dict[str, str]))
                sent.append(SentStep(key=key, clip=clip, row=row, fingerprint=print_, sent=when))
        return History(done=frozenset(done), failed=failed, sent=tuple(sent))

    def attempts(self, job: int) -> list[Attempt]:
        """Return every try of a job, in order."""
        rows = self._db.all(
            "SELECT stage, output, device, rung, began, seconds, peak, outcome, reason "
            "FROM attempts WHERE job=? ORDER BY id",
            (job,),
        )
        names = Attempt.__struct_fields__
        return [Attempt(**dict(zip(names, (Stage(r[0]), *r[1:]), strict=True))) for r in rows]

    def failed_clips(self, job: int) -> tuple[str, ...]:
        """Return the names of the clips that a job gave up."""
        rows = self._db.all(
            "SELECT DISTINCT clip FROM steps WHERE job=? AND state='failed' ORDER BY clip", (job,)
        )
        return tuple(row[0] for row in rows)

    def bury_attempts(self, job: int) -> None:
        """Attempts that nobody saw the end of have died with their worker."""
        self._db.write(
            "UPDATE attempts SET outcome='died', reason='the worker ended' "
            "WHERE job=? AND outcome='running'",
            (job,),
        )

    # Memory

    def learn(self, device: str, model: str, peaks: Sequence[Peak]) -> None:
        """Remember what encodes took on a device, the largest of each kind."""
        with self._db.transaction(durable=False):
            for peak in peaks:
                if peak.fits:
                    # What it takes is known now: where it once failed says nothing more.
                    self._db.write(
                        "DELETE FROM peaks WHERE device=? AND model=? AND shape=? AND rung=? "
                        "AND NOT fits",
                        (device, model, peak.shape, peak.rung),
                    )
                self._db.write(
                    "INSERT INTO peaks VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
                    "bytes=max(bytes, excluded.bytes), seen=excluded.seen",
                    (
                        device,
                        model,
                        peak.shape,
                        peak.rung,
                        peak.bytes,
                        int(peak.fits),
                        time.time(),
                    ),
                )

    def peaks(self, device: str, model: str) -> tuple[Peak, ...]:
        """Return what is known of a model on a device."""
        rows = self._db.all(
            "SELECT shape, rung, bytes, fits FROM peaks WHERE device=? AND model=?",
            (device, model),
        )
        return tuple(Peak(shape=s, rung=r, bytes=b, fits=bool(f)) for s, r, b, f in rows)


_JOB = (
    "id, spec, state, created, started, ended, busy, fault, result, "
    "(SELECT count(*) FROM steps WHERE job=jobs.id AND steps.state='done'), "
    "(SELECT count(DISTINCT clip) FROM steps WHERE job=jobs.id AND steps.state='failed')"
)


class _Head(msgspec.Struct, frozen=True):
    """What a list of jobs shows of a spec."""

    kind: str
    stages: tuple[Stage, ...] = ()


def _to_info(row: tuple[Any, ...]) -> JobInfo:
    number, spec, state, created, started, ended, busy, fault, result, done, failed = row
    head = msgspec.json.decode(spec, type=_Head)
    return msgspec.convert(
        {
            "id": number,
            "kind": head.kind,
            "state": state,
            "stages": [stage.value for stage in head.stages],
            "created": created,
            "started": started,
            "ended": ended,
            "busy": busy,
            "done": done,
            "failed": failed,
            "fault": msgspec.json.decode(fault) if fault else None,
            "result": msgspec.json.decode(result) if result else None,
        },
        type=JobInfo,
    )
