"""Workers in tests: real processes, with an encoder that needs no models."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import psutil

from engine.client import Engine
from engine.events import AnyEvent
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.journal import Journal
from engine.worker.lock import read_lock
from engine.worker.spec import JobInfo, JobSpec
from tests.jobs import project_of
from tests.small_set import write_dataset

Make = Callable[..., Project]

# Long prompts come first, so this is done before any that is slow.
FIRST = "ok and done before the others"

ROOT = Path(__file__).parents[1]
ENCODER = {"LTX_TUI_ENCODER": "tests.fake_encoder", "PYTHONPATH": str(ROOT)}


def text_project(
    root: Path, models: tuple[Path, Path], captions: list[str], **more: object
) -> Project:
    """Return a project of captions alone; the encoder of `tests.fake_encoder` obeys them."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [{"caption": c, "media_path": f"{n:03}.mp4"} for n, c in enumerate(captions)]
    write_dataset(root, rows)
    # One step at a time on the device, so that a test can tell where a job is.
    return project_of(root, models, text__batch_size=1, **more)


def captions_of(project: Project) -> JobSpec:
    """Return the job that encodes the captions."""
    return Engine(project).encoding([Stage.CONDITIONS])


def with_engine(project: Project, do: Callable[[Engine], Awaitable[object]]) -> object:
    """Do something with an engine, and hang up."""

    async def inside() -> object:
        async with Engine(project, idle=30) as engine:
            return await asyncio.wait_for(do(engine), timeout=90)

    return asyncio.run(inside())


def run_job(project: Project, spec: JobSpec | None = None) -> list[AnyEvent]:
    """Have the worker do a job, and return its events."""

    async def do(engine: Engine) -> list[AnyEvent]:
        job = await engine.start(spec or captions_of(project))
        return [event async for event in engine.follow(job.id)]

    result = with_engine(project, do)
    assert isinstance(result, list)
    return result


async def until(engine: Engine, job: int, check: Callable[[JobInfo], bool]) -> JobInfo:
    """Wait until a job is as wanted."""
    while True:
        info = next(info for info in await engine.jobs() if info.id == job)
        if check(info):
            return info
        await asyncio.sleep(0.05)


async def count(events: AsyncIterator[AnyEvent], kind: type, number: int) -> list[AnyEvent]:
    """Read events until so many of a kind have come."""
    seen: list[AnyEvent] = []
    async for event in events:
        seen.append(event)
        number -= isinstance(event, kind)
        if number <= 0:
            break
    return seen


def worker_pid(project: Project) -> int:
    """Return the process number of the project's worker; 0 where there is none."""
    info = read_lock(project.state_dir)
    return info.pid if info is not None else 0


def still_alive(processes: Iterable[psutil.Process], patience: float) -> list[psutil.Process]:
    """Wait for processes to end; return those that have not after so many seconds.

    Not by `psutil.wait_procs`, to which one that ends in this very moment can be an error.
    """
    end, left = time.monotonic() + patience, list(processes)
    while (left := [one for one in left if _lives(one)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def kill_worker(project: Project) -> list[int]:
    """End a worker with SIGKILL; return its encoders, which are to end by themselves."""
    pid = worker_pid(project)
    children = [child.pid for child in psutil.Process(pid).children()]
    os.kill(pid, signal.SIGKILL)
    still_alive([p for p in psutil.process_iter() if p.pid == pid], 10)
    return children


def end_worker(project: Project) -> None:
    """End the worker and all its encoders, if there are any."""
    pid = worker_pid(project)
    if not pid:
        return
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        one.kill()
    still_alive(family, 10)


def written(folder: Path) -> Counter[str]:
    """Return how often each output was written, by the log that `make` asks for."""
    log = folder / "written"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split()[1] for line in lines)


def outcomes(project: Project, job: int) -> Counter[str]:
    """Return how the attempts of a job ended."""
    with Ledger(project.state_dir) as ledger:
        return Counter(attempt.outcome for attempt in Journal(ledger.database).attempts(job))
