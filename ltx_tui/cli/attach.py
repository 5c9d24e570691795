"""`ltx-tui attach`: a job that is going on somewhere, shown here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, text
from ltx_tui.cli.errors import DONE, STOPPED
from ltx_tui.cli.follow import exit_code, follow
from ltx_tui.cli.jobs import find_job, is_elsewhere, paused_words, refuse_elsewhere
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.output import make_view
from ltx_tui.cli.summary import print_summary
from ltx_tui.cli.work import HINT_ATTACHED

if TYPE_CHECKING:
    from rich.console import Console

    from engine.client import Engine
    from engine.worker.spec import JobInfo


@click.command("attach", epilog=EXIT_CODES)
@opt.job_argument
@opt.project
@opt.as_json
def command(job: int | None, start: Path | None, as_json: bool) -> int:
    """Show job JOB from where it stands to its end; the current one if none is named.

    Goes on with a job that a reboot or a crash interrupted. Ctrl-C leaves, and the work goes on.
    The exit code is the job's.
    """
    return attach(session.known_engine(start), job, as_json=as_json)


def attach(engine: Engine, number: int | None, *, as_json: bool = False) -> int:
    """Follow a job, or say how it ended; return the exit code.

    Raises:
        LtxError: The job stopped as a whole, there is no such job, or it cannot be followed.
    """

    async def find(engine: Engine) -> tuple[JobInfo | None, bool]:
        job = find_job(await engine.jobs(), number)
        return job, job is not None and await is_elsewhere(engine, job)

    job, elsewhere = session.ask(engine, find)
    if job is None:
        make_console(stderr=as_json).print(text("no job yet: `ltx-tui run` starts one"))
        return DONE
    if elsewhere:
        raise refuse_elsewhere(job)
    if not job.state.is_open:
        return _ending(engine, job, make_console(stderr=as_json))
    found = job

    async def begin() -> JobInfo:
        return found

    view = make_view(as_json=as_json, hint=HINT_ATTACHED)
    return follow(engine, begin, view, owns=False)


def _ending(engine: Engine, job: JobInfo, console: Console) -> int:
    """Say how a job ended that nothing more comes of by itself.

    Raises:
        LtxError: What stopped the job as a whole.
    """
    if job.state == "paused":
        resume = session.command_line("resume", engine.project)
        console.print(text(f"{paused_words(job)}; {resume} goes on"))
        return DONE
    console.print(text(f"nothing to follow: job {job.id} is {job.state}"))
    if job.result is not None:
        print_summary(console, job.result)
        return exit_code(job.result)
    if job.fault is not None and job.state == "failed":
        raise job.fault.to_error()
    if job.fault is not None:
        console.print(text(job.fault.message))
    return STOPPED
