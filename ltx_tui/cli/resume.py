"""`ltx-tui resume`: go on with a job that was paused, failed or stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.attach import attach
from ltx_tui.cli.jobs import pick, say_begun
from ltx_tui.cli.main import EXIT_CODES

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo


@click.command("resume", epilog=EXIT_CODES)
@opt.job_argument
@opt.project
@click.option("--attach", "attached", is_flag=True, help="Show it, as `ltx-tui attach` does.")
@opt.as_json
def command(job: int | None, start: Path | None, attached: bool, as_json: bool) -> int:
    """Go on with job JOB; without it, with the latest that is paused, failed or stopped.

    What it has done is not done again, and clips that failed in it are not tried again:
    `ltx-tui retry` does that.
    """
    engine = session.known_engine(start)

    async def go_on(engine: Engine) -> JobInfo:
        number = await pick(engine, job, "paused", "running", "queued", "failed", "cancelled")
        return await engine.resume(number)

    info = session.ask(engine, go_on)
    if attached:
        return attach(engine, info.id, as_json=as_json)
    say_begun(engine, info, f"job {info.id} goes on", as_json=as_json)
    return 0
