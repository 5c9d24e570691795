"""A job whose worker and encoder are killed a hundred times ends like one that nobody disturbed."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from engine.client import Engine
from engine.errors import LtxError
from engine.events import ClipStarted
from engine.files.identity import file_identity
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.journal import Attempt, Journal
from engine.worker.protocol import Told
from engine.worker.spec import JobInfo, JobState
from tests.jobs import ending, failed, outputs, project_of, run
from tests.small_set import write_clip, write_dataset
from tests.workers import end_worker, kill_worker, still_alive, worker_pid

KILLS = int(os.environ.get("LTX_TUI_KILLS", "100"))
SEED = int(os.environ.get("LTX_TUI_SEED", "20261125"))
# So many, and so long, that the job takes longer than all lives together.
CLIPS = 260
# Two stages are enough: what a kill does is the same in each.
STAGES = (Stage.LATENTS, Stage.AUDIO_LATENTS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make clips of two shapes, with sound and captions."""
    root = tmp_path_factory.mktemp("source")
    rows = []
    for number in range(CLIPS):
        name = f"{number % 4}/{number:02}.mp4"
        size = (128, 128) if number % 2 else (176, 128)
        write_clip(root / name, size=size, count=34, seed=number)
        rows.append({"caption": f"Grating number {number} " * (number % 5 + 1), "media_path": name})
    write_dataset(root, rows)
    return root


def copy_of(source: Path, root: Path, models: tuple[Path, Path]) -> Project:
    shutil.copytree(source, root, copy_function=shutil.copy2)
    return project_of(
        root, models, video__buckets="96x96x33;128x96x33", audio__enabled=True, text__batch_size=2
    )


@pytest.fixture
def project(source: Path, tmp_path: Path, models: tuple[Path, Path]) -> Iterator[Project]:
    made = copy_of(source, tmp_path / "killed", models)
    yield made
    end_worker(made)


def digests(project: Project) -> dict[str, str]:
    root = project.output_dir
    return {name: file_identity(root / name).digest for name in outputs(root)}


class Killer:
    """Kills, starts again, and counts."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.engine = Engine(project, idle=60)
        self.random = random.Random(SEED)
        self.counts: Counter[str] = Counter()
        self.encoders: list[psutil.Process] = []
        self.job = 0

    async def go_on(self) -> JobInfo:
        """Have the job done by whichever worker there is, as a user would who finds it stopped."""
        with suppress(LtxError):
            if not self.job:
                self.job = (await self.engine.start(self.engine.encoding(STAGES))).id
            info = await self.info()
            if info.state in (JobState.FAILED, JobState.CANCELLED):
                self.counts["resumed by hand"] += 1
                return await self.engine.resume(self.job)
            # Whoever looks starts the worker.
            async with aclosing(self.engine.events()) as news:
                await anext(news)
        return await self.info()

    async def info(self) -> JobInfo:
        return next(job for job in await self.engine.jobs() if job.id == self.job)

    async def wait(self) -> None:
        """Wait for a random moment: at once, some time later, or while a clip is in hand."""
        kind = self.random.choice(("soon", "soon", "later", "at work"))
        if kind == "at work":
            with suppress(LtxError, TimeoutError):
                await asyncio.wait_for(self.clip_started(), timeout=15)
        longest = {"soon": 0.7, "later": 2.0, "at work": 0.6}[kind]
        await asyncio.sleep(longest * self.random.random())

    async def clip_started(self) -> None:
        async with aclosing(self.engine.events()) as news:
            async for one in news:
                if isinstance(one, Told) and isinstance(one.event, ClipStarted):
                    return

    async def kill(self) -> None:
        await self.wait()
        pid = worker_pid(self.project)
        encoders = []
        with suppress(psutil.NoSuchProcess):
            encoders = psutil.Process(pid).children() if pid else []
        self.encoders.extend(encoders)
        if encoders and self.random.random() < 0.6:
            encoders[0].kill()
            self.counts["encoder"] += 1
        elif pid:
            with suppress(psutil.NoSuchProcess):
                kill_worker(self.project)
                self.counts["worker"] += 1


async def disturb(killer: Killer) -> None:
    """Kill until it is enough, then let the job end."""
    while killer.counts["encoder"] + killer.counts["worker"] < KILLS:
        info = await killer.go_on()
        assert info.state is not JobState.DONE, f"done after {killer.counts}: give it more clips"
        await killer.kill()
    while not (await killer.go_on()).state.has_ended:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    # Clips that two encoders happened to be killed on are given up; one key tries them again.
    while (await killer.info()).failed and killer.job < 9:
        killer.counts["retried by hand"] += (await killer.info()).failed
        killer.job = (await killer.engine.retry(killer.job)).id
        while not (await killer.info()).state.has_ended:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert (await killer.info()).state is JobState.DONE
    await killer.engine.stop_worker()
    await killer.engine.close()
    assert not still_alive(killer.encoders, 30), "an encoder outlived its worker"


def attempts(project: Project) -> list[Attempt]:
    with Ledger(project.state_dir) as ledger:
        journal = Journal(ledger.database)
        return [one for job in journal.jobs() for one in journal.attempts(job.id)]


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.timeout(1200)
def test_a_hundred_kills_change_nothing(
    project: Project, source: Path, tmp_path: Path, models: tuple[Path, Path]
) -> None:
    calm = copy_of(source, tmp_path / "calm", models)
    events = run(calm, STAGES)
    assert failed(events) == []
    assert ending(events).done == len(STAGES) * CLIPS

    killer = Killer(project)
    began = time.monotonic()
    asyncio.run(disturb(killer))
    tried: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in attempts(project):
        tried[one.stage, one.output][one.outcome] += 1
    print(
        f"\nseed {SEED}, {KILLS} kills ({dict(killer.counts)}) in "
        f"{time.monotonic() - began:.0f} s: {len(tried)} outputs, outcomes of all attempts: "
        f"{dict(sum(tried.values(), Counter()))}"
    )

    assert digests(project) == digests(calm)
    assert len(tried) == len(STAGES) * CLIPS
    for key, ends in tried.items():
        # Made once; found finished where its worker did not live to see it; never made again.
        assert ends["done"] <= 1, (key, ends)
        assert set(ends) <= {"done", "died", "dropped", "failed"}, (key, ends)
    assert not list(project.output_dir.rglob("*.part"))
    assert not Engine(project).plan(STAGES).has_work
