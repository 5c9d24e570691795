"""What clients ask of a worker: pause, resume, cancel, retry, another job, more space."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from engine.client import Engine
from engine.errors import LtxError, UsageError
from engine.events import ClipDone, ClipFailed, ClipStarted, JobDone
from engine.precompute.ledger import run_lock
from engine.project import apply_overrides
from engine.worker.protocol import Snapshot
from engine.worker.spec import JobState
from tests.workers import (
    FIRST,
    Make,
    captions_of,
    count,
    kill_worker,
    outcomes,
    run_job,
    until,
    with_engine,
    worker_pid,
    written,
)


def test_pause_frees_the_encoder_and_resume_goes_on(make: Make, tmp_path: Path) -> None:
    project = make(*["slow 0.05"] * 16)

    async def both(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 3)
            await engine.pause()
            rest = [event async for event in events]
        assert not any(isinstance(event, JobDone) for event in rest)
        paused = await until(engine, job.id, lambda info: info.state is JobState.PAUSED)
        assert 3 <= paused.done < 16
        assert not psutil.Process(worker_pid(project)).children()
        await asyncio.sleep(0.3)
        assert (await engine.jobs())[0].done == paused.done
        assert (await engine.resume()).state in (JobState.QUEUED, JobState.RUNNING)
        end = [event async for event in engine.follow(job.id)][-1]
        assert isinstance(end, JobDone)
        assert end.done == 16

    with_engine(project, both)
    assert set(written(tmp_path).values()) == {1}


def test_a_paused_job_stays_paused_when_the_worker_is_killed(make: Make) -> None:
    project = make(*["slow 0.05"] * 10)

    async def pause(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        await until(engine, job.id, lambda info: info.done >= 2)
        await engine.pause(job.id)
        await until(engine, job.id, lambda info: info.state is JobState.PAUSED)

    with_engine(project, pause)
    kill_worker(project)

    async def look(engine: Engine) -> None:
        async with aclosing(engine.events()) as news:
            first = await anext(news)
        assert isinstance(first, Snapshot)
        assert [job.state for job in first.jobs] == [JobState.PAUSED]
        # The same job asked for again is that job.
        assert (await engine.start(captions_of(project))).id == 1
        end = [event async for event in engine.follow(1)][-1]
        assert isinstance(end, JobDone)

    with_engine(project, look)


def test_cancel_ends_a_job_and_a_rerun_does_the_rest(make: Make, tmp_path: Path) -> None:
    project = make(*["slow 0.05"] * 12)

    async def stop(engine: Engine) -> JobDone:
        job = await engine.start(captions_of(project))
        await until(engine, job.id, lambda info: info.done >= 3)
        await engine.cancel()
        end = [event async for event in engine.follow(job.id)][-1]
        assert isinstance(end, JobDone)
        assert end.cancelled
        with pytest.raises(UsageError, match="ended already"):
            await engine.cancel(job.id)
        return end

    end = with_engine(project, stop)
    assert isinstance(end, JobDone)
    rest = run_job(project)[-1]
    assert isinstance(rest, JobDone)
    assert rest.done + end.done == 12
    assert set(written(tmp_path).values()) == {1}


def test_retry_does_what_failed_and_nothing_else(make: Make, tmp_path: Path) -> None:
    project = make("ok", "bad", "bad")
    run_job(project)
    rows = json.loads(project.dataset_path.read_text())
    rows[1]["caption"] = "ok now"
    project.dataset_path.write_text(json.dumps(rows))

    async def again(engine: Engine) -> None:
        with pytest.raises(UsageError, match=r"'000\.mp4' has not failed"):
            await engine.retry(clips=["000.mp4"])
        job = await engine.retry(clips=["001.mp4"])
        events = [event async for event in engine.follow(job.id)]
        assert [e.clip for e in events if isinstance(e, ClipStarted)] == ["001.mp4"]
        job = await engine.retry(1)
        events = [event async for event in engine.follow(job.id)]
        assert [e.clip for e in events if isinstance(e, ClipFailed)] == ["002.mp4"]

    with_engine(project, again)
    assert written(tmp_path) == {"000.pt": 1, "001.pt": 1}


def test_a_clip_that_kills_its_encoder_is_given_up_and_not_tried_again_by_itself(
    make: Make, tmp_path: Path
) -> None:
    project = make(FIRST, "die and take the encoder along", *["slow 0.1"] * 6)

    async def begin(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        await until(engine, job.id, lambda info: info.failed == 1 and info.done >= 2)

    with_engine(project, begin)
    kill_worker(project)
    end = run_job(project)[-1]
    assert isinstance(end, JobDone)
    (failure,) = end.failures
    assert "killed by SIGABRT (a last word)" in failure.reason
    assert outcomes(project, 1)["died"] >= 2
    assert (end.done, set(written(tmp_path).values())) == (7, {1})


def test_another_job_waits_its_turn(make: Make) -> None:
    project = make(*["slow 0.05"] * 10)
    other = apply_overrides(project, {"text.trigger": "ok"})

    async def two(engine: Engine) -> None:
        first = await engine.start(captions_of(project))
        assert (await engine.start(captions_of(project))).id == first.id
        second = await engine.start(captions_of(other))
        assert second.waiting == f"waits for job {first.id}"
        end = [event async for event in engine.follow(second.id)][-1]
        assert isinstance(end, JobDone)
        assert end.done == 10

    with_engine(project, two)
    assert (project.output_dir / "conditions/000.pt").read_text() == "ok slow 0.05"


def test_an_interrupted_job_gives_way_to_what_is_asked_now(make: Make) -> None:
    project = make(FIRST, "slow 60")

    async def begin(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        await until(engine, job.id, lambda info: info.done == 1)

    with_engine(project, begin)
    kill_worker(project)
    other = apply_overrides(project, {"text.trigger": "ok"})
    assert isinstance(run_job(other, captions_of(other))[-1], JobDone)

    async def look(engine: Engine) -> None:
        first, second = await engine.jobs()
        assert (first.state, second.state) == (JobState.CANCELLED, JobState.DONE)
        assert first.fault is not None
        assert "gave way to job 2" in first.fault.message

    with_engine(project, look)


def test_a_full_disk_stops_the_job_and_it_goes_on_when_there_is_space(
    make: Make, tmp_path: Path
) -> None:
    space = tmp_path / "space"
    project = make("ok", f"full {space}", "ok")

    async def both(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        with pytest.raises(LtxError, match="no space — make space"):
            [event async for event in engine.follow(job.id)]
        (info,) = await engine.jobs()
        assert (info.state, info.failed) == (JobState.FAILED, 0)
        space.touch()
        await engine.resume()
        end = [event async for event in engine.follow(job.id)][-1]
        assert isinstance(end, JobDone)
        assert (end.done, end.failures) == (3, ())

    with_engine(project, both)
    assert set(written(tmp_path).values()) == {1}


def test_a_run_elsewhere_is_waited_for(make: Make) -> None:
    project = make("ok")

    async def wait(engine: Engine) -> None:
        with run_lock(project.state_dir):
            job = await engine.start(captions_of(project))
            info = await until(engine, job.id, lambda info: bool(info.waiting))
            assert info.waiting.startswith("another run is going on in this project")
            assert info.state is JobState.QUEUED
        assert isinstance([e async for e in engine.follow(job.id)][-1], JobDone)

    with_engine(project, wait)


def test_the_foreground_has_the_same_journal(make: Make) -> None:
    project = make("ok", "bad")

    async def run() -> list[object]:
        return [e async for e in Engine(project).foreground(captions_of(project)).events()]

    assert isinstance(asyncio.run(run())[-1], JobDone)

    async def look(engine: Engine) -> None:
        (job,) = await engine.jobs()
        assert (job.state, job.done, job.failed) == (JobState.DONE, 1, 1)
        retried = await engine.retry()
        assert [
            e.clip
            for e in [e async for e in engine.follow(retried.id)]
            if isinstance(e, ClipFailed)
        ] == ["001.mp4"]

    with_engine(project, look)
