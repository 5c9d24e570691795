"""`ltx-tui worker`: the project's background process itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import can_animate, make_console, text
from ltx_tui.cli.errors import SOME_FAILED
from ltx_tui.cli.status_view import worker_line

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.lock import WorkerInfo
    from engine.worker.spec import JobInfo


@click.group("worker")
def command() -> None:
    """Look after the project's background worker.

    It starts by itself with the first job, and ends a minute after the last one.
    """


@command.command("stop")
@opt.dataset_argument
@click.option("--now", is_flag=True, help="Without waiting for the clip in hand.")
def stop(dataset: Path | None, now: bool) -> int:
    """End the worker; a job that runs waits for the next one.

    `ltx-tui attach` starts another worker, which goes on where this one stopped.
    """
    engine = session.known_engine(dataset)

    async def end(engine: Engine) -> tuple[bool, JobInfo | None]:
        was_there = await engine.stop_worker(now=now)
        jobs = [job for job in await engine.jobs() if job.state.is_open]
        return was_there, jobs[0] if jobs else None

    console = make_console()
    if can_animate(console) and not now:
        waits = "waiting for the clip in hand; Ctrl-C leaves, and the worker still ends"
        with console.status(waits, spinner="line", spinner_style="accent"):
            was_there, job = session.ask(engine, end)
    else:
        was_there, job = session.ask(engine, end)
    console.print(text("the worker has ended" if was_there else "no worker runs"))
    if job is not None:
        goes_on = session.command_line("attach", engine.project)
        console.print(text(f"job {job.id} is not done: {goes_on} goes on with it"))
    return 0


@command.command("status")
@opt.dataset_argument
def status(dataset: Path | None) -> int:
    """Say whether a worker runs; exit code 1 if none does."""
    engine = session.known_engine(dataset)

    async def look(engine: Engine) -> WorkerInfo | None:
        return await engine.worker()

    worker = session.ask(engine, look)
    make_console().print(text(worker_line(worker)))
    return 0 if worker is not None else SOME_FAILED
