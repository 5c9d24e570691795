"""Who listens to the worker: with a worker that is made up, and with a real one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine import events as ev
from engine.client import Engine
from engine.errors import EnvironmentFaultError
from engine.precompute.layout import Stage
from engine.project import Project
from engine.worker.lock import WorkerInfo
from engine.worker.protocol import Goodbye, News, Snapshot, Told
from ltx_tui import actions
from ltx_tui.worker.bell import Bell
from ltx_tui.worker.watch import Changes, Watcher
from tests import workers
from tests.tui import fake_worker as fake
from tests.tui.fake_worker import Stand


def with_stand(project: Project, do: Callable[[Stand], Awaitable[None]], **more: bool) -> None:
    async def inside() -> None:
        stand = Stand(project, **more)
        try:
            await asyncio.wait_for(do(stand), 20)
        finally:
            await stand.watcher.stop()

    asyncio.run(inside())


async def until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    for _ in range(round(seconds / 0.01)):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_takes_a_snapshot_and_what_follows(project: Project) -> None:
    async def do(stand: Stand) -> None:
        watcher = stand.watcher
        assert watcher.worker.state == "unknown"
        watcher.start()
        stand.tell(fake.snapshot(fake.ended(6)), fake.telemetry(fake.memory(1.0)))
        await until(lambda: bool(watcher.jobs))
        assert (watcher.worker.state, watcher.worker.pid) == ("here", 4711)
        assert (watcher.active, watcher.running) == (0, None)
        stand.tell(fake.changed(fake.job(7)), Told(job=7, event=fake.started()))
        stand.tell(Told(job=7, event=fake.opened()), Told(job=7, event=fake.failed(3)))
        await until(lambda: bool(watcher.progress.failures))
        assert watcher.active == 7
        assert watcher.job is not None
        assert watcher.job.id == 7
        assert watcher.running is not None
        assert watcher.running.stage == "latents"
        assert [one.clip for one in watcher.failures] == ["clips/scene-0003.mp4"]
        assert watcher.memory == fake.memory(1.0)
        stand.tell(fake.changed(fake.ended(7, failures=(fake.failed(4),))))
        await until(lambda: not watcher.active)
        assert watcher.last is not None
        assert watcher.last.id == 7
        assert [one.row for one in watcher.failures] == [4]
        assert [one.id for one in watcher.jobs] == [6, 7]

    with_stand(project, do)


def test_a_snapshot_in_the_middle_restores_the_job(project: Project) -> None:
    standing = ev.Standing(
        planned=True,
        stages=(ev.StageStanding(stage="latents", state="running", total=10, done=4, seconds=2.0),),
        failures=(fake.failed(1),),
    )

    async def do(stand: Stand) -> None:
        stand.watcher.start()
        stand.tell(fake.snapshot(fake.job(7), active=7, standing=standing))
        await until(lambda: stand.watcher.active == 7)
        running = stand.watcher.running
        assert running is not None
        assert (running.done, running.total) == (4, 10)
        assert stand.watcher.progress.rate(running) == 2.0
        assert len(stand.watcher.failures) == 1

    with_stand(project, do)


def test_starts_no_worker_and_finds_one_that_comes_up(project: Project) -> None:
    async def do(stand: Stand) -> None:
        watcher = stand.watcher
        watcher.start()
        await until(lambda: watcher.worker.state == "none")
        await asyncio.sleep(0.1)
        assert stand.engine.starts == []
        stand.is_there = True
        stand.tell(fake.snapshot())
        await until(lambda: watcher.worker.state == "here")
        assert stand.engine.starts == [False]

    with_stand(project, do, is_there=False)


def test_an_empty_lock_file_is_not_asked_further(project: Project) -> None:
    async def do(stand: Stand) -> None:
        (project.state_dir / "worker.lock").write_text("")
        stand.watcher.start()
        await until(lambda: stand.watcher.worker.state == "none")
        await asyncio.sleep(0.1)
        assert stand.engine.starts == []

    with_stand(project, do)


def test_a_worker_that_says_goodbye_and_one_that_dies(project: Project) -> None:
    async def do(stand: Stand) -> None:
        watcher = stand.watcher
        watcher.start()
        stand.tell(fake.snapshot(fake.job(7), active=7), Goodbye(reason="it was told to"))
        await until(lambda: watcher.worker.text != "")
        stand.is_there = False
        assert watcher.worker.text == "the worker ended: it was told to"
        assert watcher.active == 0
        stand.is_there = True
        stand.tell(fake.snapshot(fake.job(7), active=7))
        await until(lambda: watcher.active == 7)
        stand.is_there = False
        (project.state_dir / "journal.db").touch()
        stand.engine.known = (fake.job(7),)
        stand.engine.news.put_nowait(None)
        await until(lambda: watcher.interrupted)
        assert watcher.worker.state == "none"
        assert watcher.worker.text == "the worker ended unexpectedly"
        assert watcher.job is not None
        assert watcher.job.id == 7

    with_stand(project, do)


def test_a_job_that_another_process_runs_is_not_called_interrupted(project: Project) -> None:
    from engine.precompute.ledger import run_lock

    async def do(stand: Stand) -> None:
        (project.state_dir / "journal.db").touch()
        stand.engine.known = (fake.job(7),)
        with run_lock(project.state_dir):
            stand.watcher.start()
            await until(lambda: bool(stand.watcher.jobs))
            assert not stand.watcher.interrupted
        # Its end changes no file that is looked at.
        await until(lambda: stand.watcher.interrupted)

    with_stand(project, do, is_there=False)


def test_a_worker_that_cannot_be_talked_to_is_told_and_tried_again(project: Project) -> None:
    async def do(stand: Stand) -> None:
        watcher = stand.watcher
        stand.engine.fault = EnvironmentFaultError("of another version", remedy="stop it")
        watcher.start()
        await until(lambda: watcher.worker.state == "fault")
        assert (watcher.worker.text, watcher.worker.remedy) == ("of another version", "stop it")
        stand.engine.fault = None
        stand.tell(fake.snapshot())
        await until(lambda: watcher.worker.state == "here")
        assert watcher.worker.text == ""

    with_stand(project, do)


def test_whatever_goes_wrong_the_watcher_goes_on(project: Project) -> None:
    async def do(stand: Stand) -> None:
        find = stand.watcher._finder

        def broken(_folder: Path) -> WorkerInfo | None:
            raise ZeroDivisionError("of all things")

        stand.watcher._finder = broken
        stand.watcher.start()
        await until(lambda: stand.watcher.worker.state == "fault")
        assert "unexpected ZeroDivisionError: of all things" in stand.watcher.worker.text
        stand.watcher._finder = find
        stand.tell(fake.snapshot())
        await until(lambda: stand.watcher.worker.state == "here")

    with_stand(project, do)


def test_memory_is_kept_about_once_a_second_for_ten_minutes(project: Project) -> None:
    async def do(stand: Stand) -> None:
        for tick in range(2_000):
            stand.take(fake.telemetry(fake.memory(tick / 2)))
        history = stand.watcher.history
        assert len(history) == 600
        assert history[-1].time - history[0].time == 599
        assert stand.watcher.memory == fake.memory(999.5)

    with_stand(project, do)


def test_changes_are_told_together_and_nothing_where_nothing_changed(project: Project) -> None:
    async def do(stand: Stand) -> None:
        told: list[Changes] = []
        heard: list[tuple[News, ...]] = []
        end = stand.watcher.subscribe(told.append)
        stand.watcher.hear(heard.append)
        stand.take(fake.snapshot(fake.job(7), active=7))
        stand.happen(fake.started(), fake.opened(), *(fake.done(n) for n in range(50)))
        assert told == []
        await asyncio.sleep(0.05)
        assert told == [frozenset({"jobs", "progress"})]
        assert len(heard) == 1
        assert isinstance(heard[0][0], Snapshot)
        assert len(heard[0]) == 53
        told.clear()
        stand.clock.now += 10
        stand.take(fake.telemetry(fake.memory(1.0)))
        await asyncio.sleep(0.05)
        assert told == [frozenset({"memory"})]
        told.clear()
        stand.clock.now += 10
        stand.take(fake.telemetry(fake.memory(2.0)), fake.telemetry(fake.memory(3.0)))
        await asyncio.sleep(0.05)
        assert told == []
        assert len(heard) == 1
        end()
        stand.happen(fake.done(60))
        await asyncio.sleep(0.3)
        assert told == []

    with_stand(project, do)


def test_a_bell_rings_once_for_what_comes_close_together() -> None:
    async def inside() -> None:
        rang: list[frozenset[str]] = []
        now = [0.0]
        bell = Bell[str](0.05, rang.append, lambda: now[0])
        bell.mark("a")
        bell.mark("b", "a")
        await asyncio.sleep(0.01)
        assert rang == [frozenset("ab")]
        bell.mark("c")
        bell.mark("d")
        await asyncio.sleep(0.01)
        assert len(rang) == 1
        await asyncio.sleep(0.06)
        assert rang[1:] == [frozenset("cd")]
        bell.mark("e")
        bell.stop()
        await asyncio.sleep(0.08)
        assert len(rang) == 2

    asyncio.run(inside())


def test_leaving_says_whether_anything_goes_on(project: Project) -> None:
    async def do(stand: Stand) -> None:
        assert actions.leaving(stand.watcher) == ""
        stand.take(fake.snapshot(fake.job(7), active=7))
        assert actions.leaving(stand.watcher).startswith("the work goes on")

    with_stand(project, do)


# A real worker, with an encoder that needs no models


@pytest.fixture
def captions(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str]], Project]:
    for name, value in workers.ENCODER.items():
        monkeypatch.setenv(name, value)

    def make(texts: list[str]) -> Project:
        return workers.text_project(tmp_path / "set", models, texts)

    return make


def watch_real(project: Project, do: Callable[[Watcher, Engine], Awaitable[None]]) -> None:
    async def inside() -> None:
        watcher = Watcher(project, look=0.1)
        try:
            engine = await watcher.engine()
            engine._link._idle = 30  # type: ignore[attr-defined]
            await asyncio.wait_for(do(watcher, engine), 60)
        finally:
            await watcher.stop()
            await asyncio.to_thread(workers.end_worker, project)

    asyncio.run(inside())


def test_follows_a_real_job_to_its_end(captions: Callable[[list[str]], Project]) -> None:
    project = captions(["ok", "guard", "bad", "slow 0.2"])

    async def do(watcher: Watcher, engine: Engine) -> None:
        watcher.start()
        await until(lambda: watcher.worker.state == "none")
        job = await engine.start(engine.encoding([Stage.CONDITIONS]))
        watcher.wake()
        await until(lambda: watcher.last is not None and watcher.last.id == job.id, 30)
        assert watcher.worker.state == "here"
        stage = watcher.progress.stages["conditions"]
        assert (stage.done, stage.failed) == (3, 1)
        assert [(one.clip, one.remedy) for one in watcher.failures] == [("002.mp4", "take it out")]
        assert [one.text for one in watcher.progress.guards] == ["stepped down to stream 8"]
        await until(lambda: watcher.memory is not None)
        assert "tries" in await actions.retry(watcher)
        await until(lambda: len(watcher.jobs) == 2, 30)

    watch_real(project, do)


def test_attaches_pauses_goes_on_and_cancels(captions: Callable[[list[str]], Project]) -> None:
    project = captions(["slow 0.5"] * 40)

    async def do(watcher: Watcher, engine: Engine) -> None:
        job = await engine.start(engine.encoding([Stage.CONDITIONS]))
        watcher.start()
        await until(lambda: watcher.running is not None and watcher.running.done > 0, 30)
        assert "pauses" in await actions.pause(watcher)
        await until(lambda: watcher.job is not None and watcher.job.state == "paused", 30)
        assert watcher.active == 0
        assert f"job {job.id} goes on" in await actions.pause(watcher)
        await until(lambda: watcher.active == job.id, 30)
        assert "after the clips in hand" in await actions.cancel(watcher)
        await until(lambda: watcher.last is not None and watcher.last.state == "cancelled", 30)
        assert watcher.stopping == set()

    watch_real(project, do)


def test_a_killed_worker_is_told_and_its_job_gone_on_with(
    captions: Callable[[list[str]], Project],
) -> None:
    project = captions(["slow 0.5"] * 8)

    async def do(watcher: Watcher, engine: Engine) -> None:
        await engine.start(engine.encoding([Stage.CONDITIONS]))
        watcher.start()
        await until(lambda: watcher.running is not None, 30)
        os.kill(workers.worker_pid(project), signal.SIGKILL)
        await until(lambda: watcher.interrupted, 30)
        assert watcher.worker.text == "the worker ended unexpectedly"
        assert "goes on where it was interrupted" in await actions.pause(watcher)
        await until(lambda: watcher.active != 0, 30)
        assert not watcher.interrupted
        assert watcher.worker.state == "here"

    watch_real(project, do)
