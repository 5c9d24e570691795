"""From the start of a worker to its first encoded clip, against the import of torch alone.

Each round has a project of its own: one small clip, small random models, nothing known of either.
The clock runs from the moment in which a client asks for the job, with no worker there, to the
event that tells of the first output; the client itself is there already, as the workbench is.

python -m tests.benchmarks.bench_start [--quick]
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from engine.client import Engine
from engine.events import ClipDone
from engine.models.toy import make_toy_models
from engine.precompute.layout import Stage
from engine.project import Project
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread, timed
from tests.jobs import project_of
from tests.small_set import write_clip, write_dataset
from tests.workers import end_worker

GOAL = 1.5


async def first_clip(project: Project) -> float:
    """Start a worker with a job; return the seconds until a clip is encoded."""
    began = time.perf_counter()
    async with Engine(project) as engine:
        job = await engine.start(engine.encoding([Stage.LATENTS]))
        async with aclosing(engine.follow(job.id)) as events:
            async for event in events:
                if isinstance(event, ClipDone):
                    return time.perf_counter() - began
    raise AssertionError("the job ended without an output")


def measure(quick: bool) -> Sequence[Row]:
    """Take both in turns."""
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy = make_toy_models(folder / "models")
        source = folder / "source"
        write_clip(source / "clip.mp4", size=(96, 96), count=10)
        write_dataset(source, [{"caption": "A grating", "media_path": "clip.mp4"}])
        number = 0

        def start() -> float:
            nonlocal number
            number += 1
            root = Path(shutil.copytree(source, folder / f"set{number}"))
            project = project_of(root, (toy.checkpoint, toy.text_encoder), video__buckets="64x64x9")
            try:
                return asyncio.run(first_clip(project))
            finally:
                end_worker(project)

        def torch_alone() -> float:
            return timed([sys.executable, "-c", "import torch"]).wall

        start(), torch_alone()  # what the disk has not in memory yet
        seconds = in_turns({"start": start, "torch": torch_alone}, rounds)
    return [
        Row(
            what="start of a worker to the first clip encoded",
            against="import of torch alone",
            goal=GOAL,
            ratio=ratio_of(seconds["start"], seconds["torch"]),
            most=True,
            detail=f"{spread(seconds['start'])} against {spread(seconds['torch'])}, "
            f"{rounds} rounds in turns",
        )
    ]


if __name__ == "__main__":
    main("start", __doc__, measure)
