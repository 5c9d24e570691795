"""`ltx-tui retry`: try clips again that a job gave up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.attach import attach
from ltx_tui.cli.jobs import say_begun
from ltx_tui.cli.main import EXIT_CODES

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo


@click.command("retry", epilog=EXIT_CODES)
@opt.job_argument
@click.option(
    "--clip", "clips", metavar="NAME", multiple=True, help="Only this clip. May be repeated."
)
@opt.project
@click.option("--attach", "attached", is_flag=True, help="Show it, as `ltx-tui attach` does.")
@opt.as_json
def command(
    job: int | None, clips: tuple[str, ...], start: Path | None, attached: bool, as_json: bool
) -> int:
    """Try the clips that failed in job JOB again, in a new job; of the latest if none is named.

    Clips that its plan blocked are no matter for this: mend them, then `ltx-tui run`.
    """
    engine = session.known_engine(start)

    async def again(engine: Engine) -> JobInfo:
        return await engine.retry(job or 0, clips)

    info = session.ask(engine, again)
    if attached:
        return attach(engine, info.id, as_json=as_json)
    say_begun(engine, info, f"job {info.id} tries again", as_json=as_json)
    return 0
