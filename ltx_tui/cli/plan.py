"""`ltx-tui plan`: what a run would do, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan
from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import can_animate, make_console, print_json
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.plan_view import print_plan

if TYPE_CHECKING:
    from engine.client import Engine


@click.command("plan", epilog=EXIT_CODES)
@opt.dataset_argument
@opt.stages
@opt.job_options
@opt.setting("video.reshape", "--reshape-mode")
@opt.setting("run.decode", "--decode/--no-decode")
@opt.overwrite
@opt.as_json
def command(
    dataset: Path | None, stages: str | None, overwrite: bool, as_json: bool, **values: Any
) -> int:
    """Show per stage what is fresh, missing, stale and why, or blocked and why.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    Nothing is encoded, moved or loaded. Takes the options of process-dataset.
    """
    project = session.read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    chosen = session.chosen_stages(stages, project) if stages else None
    plan = _plan(session.open_engine(project), chosen, overwrite=overwrite)
    if as_json:
        print_json(plan)
    else:
        print_plan(make_console(), plan, project)
    return 0


def _plan(engine: Engine, stages: Sequence[Stage] | None, *, overwrite: bool) -> Plan:
    """Make the plan, counting the media on stderr while they are probed."""
    err = make_console(stderr=True)
    if not can_animate(err):
        return engine.plan(stages, overwrite=overwrite)
    with err.status("reading the dataset", spinner="line", spinner_style="accent") as status:

        def count(done: int, total: int) -> None:
            status.update(f"looking at the media {done:,}/{total:,}")

        return engine.plan(stages, overwrite=overwrite, progress=count)
