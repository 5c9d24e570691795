"""`ltx-tui pause`: hold a job, and free the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, print_json, text
from ltx_tui.cli.jobs import paused_words, pick

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo


@click.command("pause")
@opt.job_argument
@opt.project
@opt.as_json
def command(job: int | None, start: Path | None, as_json: bool) -> int:
    """Hold job JOB after the clip in hand, and free its memory; the one that runs if none is named.

    A paused job stays paused, over a reboot too, until `ltx-tui resume`.
    """
    engine = session.known_engine(start)

    async def hold(engine: Engine) -> JobInfo:
        return await engine.pause(await pick(engine, job, "running", "queued", "paused"))

    info = session.ask(engine, hold)
    if as_json:
        print_json(info)
        return 0
    resume = session.command_line("resume", engine.project)
    held = info.state == "paused"
    words = paused_words(info) if held else f"job {info.id} pauses after the clip in hand"
    make_console().print(text(f"{words}; {resume} goes on"))
    return 0
