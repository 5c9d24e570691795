"""The worker as a real process: jobs survive clients, workers and encoders; nothing is redone."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import aclosing
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.client import Engine
from engine.errors import EnvironmentFaultError
from engine.events import ClipDone, JobDone, JobStarted, Standing
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.journal import Journal
from engine.worker.lock import read_lock
from engine.worker.protocol import Changed, Snapshot, Telemetry, Told
from engine.worker.spec import JobState
from tests.workers import (
    FIRST,
    Make,
    captions_of,
    count,
    kill_worker,
    outcomes,
    run_job,
    still_alive,
    until,
    with_engine,
    worker_pid,
    written,
)


def test_a_job_is_done_and_kept_in_the_journal(make: Make) -> None:
    project = make("ok", "ok 2", "bad", "guard")
    events = run_job(project)
    assert isinstance(events[0], Standing)
    end = events[-1]
    assert isinstance(end, JobDone)
    assert (end.done, [failure.reason for failure in end.failures]) == (3, ["it is bad"])
    assert {e.clip for e in events if isinstance(e, ClipDone)} == {"000.mp4", "001.mp4", "003.mp4"}

    async def look(engine: Engine) -> None:
        (job,) = await engine.jobs()
        assert (job.state, job.done, job.failed) == (JobState.DONE, 3, 1)
        assert job.result == end
        assert job.started <= job.ended
        sample = await engine.memory()
        assert 0 < sample.host.ours < sample.host.total

    with_engine(project, look)
    assert outcomes(project, 1) == {"done": 3, "failed": 1}
    with Ledger(project.state_dir) as ledger:
        (attempt,) = [a for a in Journal(ledger.database).attempts(1) if a.output == "003.pt"]
        assert (attempt.device, attempt.rung) == ("cpu", "rung 0")
        assert attempt.peak > 1000


def test_its_socket_and_folder_are_the_users_alone(make: Make) -> None:
    project = make("ok")
    run_job(project)
    info = read_lock(project.state_dir)
    assert info is not None
    assert Path(info.socket).stat().st_mode & 0o777 == 0o600
    assert project.state_dir.stat().st_mode & 0o777 == 0o700
    process = psutil.Process(info.pid)
    # In a session of its own, on no terminal, in nobody's folder.
    assert process.terminal() is None
    assert process.cwd() == "/"
    assert Path(f"/proc/{info.pid}/stat").read_text().split(")")[1].split()[3] == str(info.pid)
    loaded = Path(f"/proc/{info.pid}/maps").read_text()
    assert "libtorch" not in loaded
    assert "libcuda" not in loaded


def test_two_clients_see_the_same_and_a_late_one_catches_up(make: Make) -> None:
    project = make(*["slow 0.05"] * 20)

    async def both(engine: Engine) -> None:
        there = asyncio.Barrier(3)

        async def watch() -> list[object]:
            seen: list[object] = []
            async with aclosing(engine.events()) as news:
                async for one in news:
                    seen.append(one)
                    if len(seen) == 1:
                        await there.wait()
                    if isinstance(one, Changed) and one.job.state is JobState.DONE:
                        return seen
            raise AssertionError("the end was not told")

        first, second = asyncio.create_task(watch()), asyncio.create_task(watch())
        await there.wait()
        job = await engine.start(captions_of(project))
        await until(engine, job.id, lambda info: info.done >= 8)
        late = [event async for event in Engine(project).follow(job.id)]
        told = [[o.event for o in await task if isinstance(o, Told)] for task in (first, second)]
        assert told[0] == told[1]
        assert len([e for e in told[0] if isinstance(e, ClipDone)]) == 20
        assert isinstance((await first)[0], Snapshot)
        assert any(isinstance(one, Telemetry) for one in await first)
        standing = late[0]
        assert isinstance(standing, Standing)
        (stage,) = standing.stages
        assert stage.done + len([e for e in late if isinstance(e, ClipDone)]) == 20

    with_engine(project, both)


def test_a_client_that_does_not_read_holds_nobody_up_and_gets_a_snapshot(make: Make) -> None:
    project = make(*["ok"] * 1500)

    async def ignore(engine: Engine) -> None:
        assert await engine.worker() is None
        await engine.jobs()
        job = await engine.start(captions_of(project))
        info = await engine.worker()
        assert info is not None
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(info.socket)
        deaf.sendall(b'{"ask":"hello","protocol":1,"version":"0"}\n{"ask":"watch","id":1}\n')
        end = [event async for event in engine.follow(job.id)][-1]
        assert isinstance(end, JobDone)
        assert end.done == 1500
        assert psutil.Process(info.pid).memory_info().rss < 400 << 20
        # It is told how things stand in the end, without all that it missed.
        deaf.settimeout(5)
        data = b""
        while b'"state":"done"' not in data:
            data += deaf.recv(1 << 16)
        assert data.count(b'"clip-done"') < 3000
        deaf.close()

    with_engine(project, ignore)


def test_after_kill_9_of_the_worker_the_next_one_goes_on_and_redoes_nothing(
    make: Make, tmp_path: Path
) -> None:
    project = make(*["slow 0.03"] * 30)

    async def begin(engine: Engine) -> int:
        job = await engine.start(captions_of(project))
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 7)
        return job.id

    job = with_engine(project, begin)
    children = kill_worker(project)
    found = [p for p in psutil.process_iter() if p.pid in children]
    assert not still_alive(found, 10), "an encoder outlived its worker"

    async def go_on(engine: Engine) -> list[object]:
        assert [info.state for info in await engine.jobs()] == [JobState.RUNNING]
        return [event async for event in engine.follow(1)]

    events = with_engine(project, go_on)
    assert isinstance(events, list)
    end = events[-1]
    assert isinstance(end, JobDone)
    assert (end.done, end.fresh) == (30, 0)
    (started,) = [e for e in events if isinstance(e, JobStarted)]
    assert started.stages[0].done >= 7
    assert started.stages[0].to_do + started.stages[0].done == 30
    assert set(written(tmp_path).values()) == {1}
    assert outcomes(project, 1)["done"] + outcomes(project, 1)["died"] >= 30
    assert not captions_left(project)
    assert job == 1


def captions_left(project: Project) -> list[str]:
    plan = Engine(project).plan([Stage.CONDITIONS])
    return [item.clip for item in plan.items if item.status.is_work]


def test_an_output_that_was_finished_unseen_is_recovered(make: Make, tmp_path: Path) -> None:
    project = make(FIRST, FIRST, "slow 60")

    async def begin(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 2)

    with_engine(project, begin)
    kill_worker(project)
    # As if the worker had died between the encoder's rename and its own record.
    with Ledger(project.state_dir) as ledger:
        ledger.database.write("DELETE FROM outputs WHERE path='001.pt'")
        ledger.database.write("UPDATE steps SET state='sent' WHERE output='001.pt'")
    rows = json.loads(project.dataset_path.read_text())
    rows[2]["caption"] = "ok"
    project.dataset_path.write_text(json.dumps(rows))
    end = run_job(project)[-1]
    assert isinstance(end, JobDone)
    assert end.done == 3
    assert written(tmp_path) == {"000.pt": 1, "001.pt": 1, "002.pt": 1}
    assert not captions_left(project)


def test_a_caption_edited_while_the_worker_was_dead_is_encoded_as_it_is_now(
    make: Make, tmp_path: Path
) -> None:
    project = make(FIRST, "slow 60")

    async def begin(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 1)

    with_engine(project, begin)
    kill_worker(project)
    with Ledger(project.state_dir) as ledger:
        ledger.database.write("DELETE FROM outputs")
        ledger.database.write("UPDATE steps SET state='sent'")
    rows = json.loads(project.dataset_path.read_text())
    rows[0]["caption"], rows[1]["caption"] = "ok then", "ok"
    project.dataset_path.write_text(json.dumps(rows))
    run_job(project)
    assert (project.output_dir / "conditions/000.pt").read_text() == "ok then"
    assert written(tmp_path) == {"000.pt": 2, "001.pt": 1}


def test_overwriting_goes_on_after_an_interruption_without_beginning_again(
    make: Make, tmp_path: Path
) -> None:
    project = make(*["slow 0.03"] * 16)
    run_job(project)
    spec = Engine(project).encoding([Stage.CONDITIONS], overwrite=True)

    async def begin(engine: Engine) -> None:
        job = await engine.start(spec)
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 5)

    with_engine(project, begin)
    kill_worker(project)
    end = run_job(project, spec)[-1]
    assert isinstance(end, JobDone)
    assert end.done == 16
    assert set(written(tmp_path).values()) == {2}


def test_a_worker_that_is_stopped_leaves_its_job_to_the_next(make: Make, tmp_path: Path) -> None:
    project = make(*["slow 0.05"] * 20)

    async def begin(engine: Engine) -> None:
        job = await engine.start(captions_of(project))
        async with aclosing(engine.follow(job.id)) as events:
            await count(events, ClipDone, 3)
            assert await engine.stop_worker()
            with pytest.raises(EnvironmentFaultError, match="a client asked it to end"):
                [event async for event in events]
        assert not await engine.stop_worker()
        assert await engine.worker() is None

    with_engine(project, begin)
    assert not list(project.state_dir.glob("*.sock"))
    end = run_job(project)[-1]
    assert isinstance(end, JobDone)
    assert end.done == 20
    assert set(written(tmp_path).values()) == {1}


def test_a_client_of_another_protocol_is_told_so_and_can_still_stop_the_worker(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("ok")
    run_job(project)

    async def strange(engine: Engine) -> None:
        monkeypatch.setattr("engine.worker.connection.VERSION", 99)
        with pytest.raises(EnvironmentFaultError, match=r"protocol 1\).*protocol 99"):
            await engine.start(captions_of(project))
        info = await engine.worker()
        assert info is not None
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(info.socket)
            raw.sendall(b'{"ask":"hello","protocol":99,"version":"9"}\n{"ask":"jobs","id":1}\n')
            raw.settimeout(5)
            told = raw.makefile().readlines()
        # It says who it is, and hangs up on a question that it may not understand.
        assert [msgspec.json.decode(line)["tell"] for line in told] == ["welcome"]
        assert await engine.stop_worker()

    with_engine(project, strange)


def test_nonsense_on_the_socket_harms_nobody(make: Make) -> None:
    project = make("ok")
    run_job(project)

    async def shout(engine: Engine) -> None:
        info = await engine.worker()
        assert info is not None
        hello = b'{"ask":"hello","protocol":1,"version":"0"}\n'
        for noise in (
            b"\xff\x00\n",
            b"{}\n",
            hello + b'{"ask":"dance","id":7}\n',
            hello + b"x" * 10,
        ):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(info.socket)
                raw.sendall(noise)
                raw.shutdown(socket.SHUT_WR)
                raw.settimeout(5)
                answer = raw.makefile().read()
            if b"dance" in noise:
                assert '"id":7' in answer.replace(" ", "")
                assert "does not understand" in answer
        assert len(await engine.jobs()) == 1

    with_engine(project, shout)


def test_a_worker_without_work_and_clients_ends(make: Make) -> None:
    project = make("ok")

    async def brief() -> None:
        async with Engine(project, idle=0.5) as engine:
            job = await engine.start(captions_of(project))
            [event async for event in engine.follow(job.id)]
        pid = worker_pid(project)
        async with Engine(project) as engine:
            for _ in range(100):
                if await engine.worker() is None:
                    break
                await asyncio.sleep(0.1)
            assert await engine.worker() is None
        gone, _ = psutil.wait_procs([p for p in psutil.process_iter() if p.pid == pid], 10)
        assert [p.pid for p in gone] in ([], [pid])

    asyncio.run(brief())
    assert "nothing to do" in (project.state_dir / "logs/worker.log").read_text()
