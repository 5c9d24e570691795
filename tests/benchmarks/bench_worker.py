"""What the worker costs: a job of many tiny clips through it and in the foreground, side by side.

Both ways do the same job on a fresh copy of the same clips with small random models, in turns.
Then a job without models tells how many events a second three watching clients are told.

python -m tests.benchmarks.bench_worker --clips 500 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from engine.client import Engine
from engine.events import ClipDone, JobDone
from engine.models.toy import make_toy_models
from engine.precompute.layout import Stage
from engine.project import Project
from engine.worker.protocol import Changed, Told
from engine.worker.spec import JobState
from tests.jobs import project_of
from tests.small_set import write_clip, write_dataset
from tests.workers import ENCODER, end_worker, text_project

WATCHERS = 3


def make_clips(root: Path, count: int) -> None:
    """Write tiny clips; all are copies of four."""
    rows = []
    for number in range(count):
        name = f"{number:04}.mp4"
        if number < 4:
            write_clip(root / name, size=(64, 64), count=10, sound=False, seed=number)
        else:
            shutil.copy(root / f"{number % 4:04}.mp4", root / name)
        rows.append({"caption": f"clip {number}", "media_path": name})
    write_dataset(root, rows)


async def foreground(project: Project) -> JobDone:
    """Do the job in this process."""
    engine = Engine(project)
    job = engine.foreground(engine.encoding([Stage.LATENTS]))
    return [event async for event in job.events()][-1]


async def through_worker(project: Project) -> JobDone:
    """Have it done by a worker that is started for it."""
    async with Engine(project) as engine:
        job = await engine.start(engine.encoding([Stage.LATENTS]))
        return [event async for event in engine.follow(job.id)][-1]


def compare(source: Path, models: tuple[Path, Path], rounds: int, clips: int) -> None:
    """Time both ways in turns, and print the ratio."""
    seconds: dict[str, list[float]] = {"foreground": [], "worker": []}
    for number in range(rounds):
        ways = [("foreground", foreground), ("worker", through_worker)]
        for name, way in ways if number % 2 == 0 else ways[::-1]:
            root = source.parent / f"{name}{number}"
            shutil.copytree(source, root)
            project = project_of(root, models, video__buckets="64x64x9")
            began = time.perf_counter()
            end = asyncio.run(way(project))
            seconds[name].append(time.perf_counter() - began)
            assert (end.done, end.failures) == (clips, ()), end
            end_worker(project)
            shutil.rmtree(root)
    base = statistics.median(seconds["foreground"])
    print(f"{clips} clips of 64x64x9, {rounds} rounds in turns; start and loading included")
    print(f"{'':12}{'median s':>10}{'min':>8}{'max':>8}{'ratio':>8}")
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(f"{name:12}{middle:10.1f}{min(found):8.1f}{max(found):8.1f}{middle / base:8.3f}")


async def watch(project: Project, job: int) -> int:
    """Count the events that one client is told, to the end of the job."""
    told = 0
    async with Engine(project) as engine, aclosing(engine.events()) as news:
        async for one in news:
            told += isinstance(one, Told)
            if isinstance(one, Changed) and one.job.id == job and one.job.state is JobState.DONE:
                return told
    return told


async def events(project: Project, steps: int) -> None:
    """Have a job without models done while clients watch."""
    async with Engine(project) as engine:
        await engine.start(engine.encoding([Stage.CONDITIONS], only=["000.mp4"]))
        began = time.perf_counter()
        job = await engine.start(engine.encoding([Stage.CONDITIONS]))
        counts = await asyncio.gather(*(watch(project, job.id) for _ in range(WATCHERS)))
        seconds = time.perf_counter() - began
        done = [e async for e in engine.follow(job.id) if isinstance(e, JobDone | ClipDone)]
    total = sum(counts)
    print(
        f"{steps} steps without models, {WATCHERS} clients: {seconds:.1f} s, {total} events told,"
    )
    print(f"{total / seconds:,.0f} events/s, {steps / seconds:,.0f} steps/s; each client {counts}")
    assert done


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy = make_toy_models(folder / "models")
        models = (toy.checkpoint, toy.text_encoder)
        make_clips(folder / "source", options.clips)
        compare(folder / "source", models, options.rounds, options.clips)
        os.environ |= ENCODER
        project = text_project(folder / "text", models, ["ok"] * options.steps)
        try:
            asyncio.run(events(project, options.steps))
        finally:
            end_worker(project)


if __name__ == "__main__":
    main()
