"""The journal of jobs: migrations, histories, memory that is remembered, a disk that is full."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from engine.errors import EnvironmentFaultError
from engine.events import ClipFailed
from engine.memory.peaks import Peak
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.state import database
from engine.state.database import Database
from engine.worker.journal import Journal, SentStep, StepKey
from engine.worker.spec import Fault, JobSpec, JobState

KEY = StepKey(Stage.LATENTS, "a.pt")
OTHER = StepKey(Stage.LATENTS, "sub/b.pt")


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / ".ltx-tui")


@pytest.fixture
def journal(db: Database) -> Journal:
    return Journal(db)


def spec(root: Path = Path("/x")) -> JobSpec:
    return JobSpec(kind="encode", project=Project.defaults(root), stages=(Stage.LATENTS,))


def sent(key: StepKey = KEY) -> SentStep:
    return SentStep(
        key=key, clip=key.output, row=0, fingerprint=Fingerprint({"media": "1"}), sent=5.0
    )


def test_a_journal_of_the_first_version_keeps_its_outputs(tmp_path: Path) -> None:
    state = tmp_path / ".ltx-tui"
    state.mkdir()
    old = sqlite3.connect(state / "journal.db")
    for statement in database._MIGRATIONS[0].split(";"):
        old.execute(statement)
    old.execute("INSERT INTO outputs VALUES ('f', 'a.pt', '{}', 1, 2, '', 0, 0.5, 'one-shot')")
    old.execute("PRAGMA user_version=1")
    old.commit()
    old.close()
    with Ledger(state) as ledger:
        (count,) = ledger.database.one("SELECT count(*) FROM outputs") or (0,)
        assert count == 1
        job = Journal(ledger.database).add(spec())
        assert Journal(ledger.database).spec(job) == spec()
        assert ledger.database.one("PRAGMA user_version") == (len(database._MIGRATIONS),)


def test_two_processes_may_open_an_old_journal_at_once(tmp_path: Path) -> None:
    state = tmp_path / ".ltx-tui"
    state.mkdir()
    sqlite3.connect(state / "journal.db").execute("PRAGMA user_version=0")
    problems: list[Exception] = []

    def opening() -> None:
        try:
            Database(state).close()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=opening) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_newer_or_damaged_journal_is_refused_with_a_remedy(tmp_path: Path) -> None:
    Database(tmp_path).write("PRAGMA user_version=99")
    with pytest.raises(EnvironmentFaultError, match="made by a newer ltx-tui"):
        Database(tmp_path)
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    (tmp_path / "journal.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(EnvironmentFaultError, match="delete it: outputs are then adopted"):
        Database(tmp_path)


def test_a_jobs_life_is_kept(journal: Journal) -> None:
    job = journal.add(spec())
    assert [(one.id, one.state, one.kind) for one in journal.jobs()] == [(job, "queued", "encode")]
    journal.begin(job)
    began = journal.job(job)
    assert began is not None
    journal.pause(job, 2.5)
    journal.begin(job)
    journal.end(job, JobState.FAILED, busy=1.5, fault=Fault(kind="LtxError", message="no"))
    ended = journal.job(job)
    assert ended is not None
    assert (ended.state, ended.busy, ended.started) == (JobState.FAILED, 4.0, began.started)
    assert ended.fault == Fault(kind="LtxError", message="no")
    journal.begin(job)
    again = journal.job(job)
    assert again is not None
    assert (again.fault, again.ended) == (None, 0.0)
    assert journal.job(99) is None
    assert journal.spec(99) is None


def test_history_tells_what_was_done_given_up_and_in_hand(journal: Journal) -> None:
    job = journal.add(spec())
    third = StepKey(Stage.CONDITIONS, "c.pt")
    journal.send(job, [sent(), sent(OTHER), sent(third)])
    assert {step.key for step in journal.history(job).sent} == {KEY, OTHER, third}
    journal.finish(job, KEY)
    failure = ClipFailed(stage=Stage.LATENTS, clip="b", row=3, reason="r", remedy="m")
    journal.fail(job, OTHER, failure)
    history = journal.history(job)
    assert history.done == {KEY}
    assert history.failed == {OTHER: failure}
    assert history.sent == (sent(third),)
    assert journal.failed_clips(job) == ("b",)
    journal.drop(job, third)
    journal.drop(job, KEY)  # what is done stays so
    assert journal.history(job).sent == ()
    assert journal.history(job).done == {KEY}
    info = journal.job(job)
    assert info is not None
    assert (info.done, info.failed) == (1, 1)


def test_attempts_are_kept_with_their_ends(journal: Journal) -> None:
    job = journal.add(spec())
    first = journal.start(job, KEY, device="cuda:0", rung="one-shot")
    second = journal.start(job, KEY, device="cuda:0", rung="stream 16")
    journal.settle(first, "died", reason="SIGKILL")
    journal.settle(second, "done", seconds=1.5, peak=7, rung="stream 8")
    journal.start(job, OTHER, device="cpu", rung="")
    journal.bury_attempts(job)
    assert [(a.output, a.rung, a.outcome, a.reason, a.peak) for a in journal.attempts(job)] == [
        ("a.pt", "one-shot", "died", "SIGKILL", 0),
        ("a.pt", "stream 8", "done", "", 7),
        ("sub/b.pt", "", "died", "the worker ended", 0),
    ]


def test_old_jobs_are_forgotten_with_their_steps_but_open_ones_are_not(
    journal: Journal, db: Database
) -> None:
    waiting = journal.add(spec())
    for _ in range(70):
        job = journal.add(spec())
        journal.send(job, [sent()])
        journal.end(job, JobState.DONE)
    jobs = journal.jobs()
    assert jobs[0].id == waiting
    assert 50 <= len(jobs) <= 52
    assert db.one("SELECT count(*) FROM steps") == (len(jobs) - 1,)


def test_of_each_kind_the_largest_peak_is_remembered(journal: Journal) -> None:
    def peak(size: int, *, fits: bool = True, rung: str = "one-shot") -> Peak:
        return Peak(shape="s", rung=rung, bytes=size, fits=fits)

    journal.learn("gpu", "m", [peak(5), peak(9, rung="stream 16")])
    journal.learn("gpu", "m", [peak(7), peak(3), peak(100, fits=False, rung="batch 4")])
    journal.learn("gpu", "other", [peak(1)])
    assert set(journal.peaks("gpu", "m")) == {
        peak(7),
        peak(9, rung="stream 16"),
        peak(100, fits=False, rung="batch 4"),
    }
    # What once ran out of memory and then worked is known to work.
    journal.learn("gpu", "m", [peak(120, rung="batch 4")])
    assert peak(120, rung="batch 4") in journal.peaks("gpu", "m")
    assert all(one.fits for one in journal.peaks("gpu", "m"))
    assert journal.peaks("cpu", "m") == ()


def test_a_spec_of_another_version_is_none_and_its_job_is_still_listed(
    journal: Journal, db: Database
) -> None:
    job = journal.add(spec())
    db.write("UPDATE jobs SET spec=? WHERE id=?", (b'{"kind":"encode","project":7}', job))
    assert journal.spec(job) is None
    assert [one.id for one in journal.jobs()] == [job]


def test_a_full_disk_is_an_error_with_a_remedy_and_nothing_half_is_written(
    journal: Journal, db: Database
) -> None:
    job = journal.add(spec())
    pages = db.one("PRAGMA page_count")
    assert pages is not None
    db.one(f"PRAGMA max_page_count={pages[0]}")

    def fill() -> None:
        with db.transaction():
            for number in range(5000):
                journal.start(job, StepKey(Stage.LATENTS, f"{number}"), device="cpu", rung="x" * 50)

    with pytest.raises(EnvironmentFaultError, match="full — make space"):
        fill()
    assert journal.attempts(job) == []
    db.one("PRAGMA max_page_count=1000000")
    journal.start(job, KEY, device="cpu", rung="")
    assert len(journal.attempts(job)) == 1


def test_a_list_of_jobs_reads_no_step(tmp_path: Path) -> None:
    with Ledger(tmp_path / ".ltx-tui") as ledger:
        found = ledger.database.all(
            "EXPLAIN QUERY PLAN SELECT count(*) FROM steps WHERE job=1 AND state='done'"
        )
    assert "COVERING INDEX steps_by_state" in found[0][-1]
