"""`ltx-tui cancel`: stop a job."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import UsageError
from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, print_json, text
from ltx_tui.cli.jobs import pick

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo


@click.command("cancel")
@opt.job_argument
@click.option("--now", is_flag=True, help="At once, without waiting for the clip in hand.")
@opt.project
@opt.as_json
def command(job: int | None, now: bool, start: Path | None, as_json: bool) -> int:
    """Stop job JOB after the clip in hand; the one that runs if none is named.

    All that is made stays. `ltx-tui resume` goes on with it, and so does the same run again.
    """
    engine = session.known_engine(start)

    async def stop(engine: Engine) -> JobInfo:
        number = await pick(engine, job, "running", "queued", "paused")
        info = await engine.cancel(number)
        if now and not info.state.has_ended:
            with contextlib.suppress(UsageError):  # it has ended meanwhile
                info = await engine.cancel(number)
        return info

    info = session.ask(engine, stop)
    if as_json:
        print_json(info)
        return 0
    when = "now" if now else "after the clip in hand"
    ended = info.state.has_ended
    words = f"job {info.id} is {info.state}" if ended else f"job {info.id} stops {when}"
    make_console().print(text(words))
    return 0
