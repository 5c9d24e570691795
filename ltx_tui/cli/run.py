"""`ltx-tui run`: what the project asks for, or a part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import chosen_stages, read_project
from ltx_tui.cli.work import run_stages


@click.command("run", epilog=EXIT_CODES)
@opt.dataset_argument
@opt.stages
@click.option(
    "--clip",
    "clips",
    metavar="NAME",
    multiple=True,
    help="Only this clip, as the plan names it. May be repeated.",
)
@opt.job_options
@opt.setting("video.reshape", "--reshape-mode")
@opt.setting("run.decode", "--decode/--no-decode")
@opt.overwrite
@opt.following
@opt.as_json
def command(dataset: Path | None, stages: str | None, clips: tuple[str, ...], **values: Any) -> int:
    """Do what `ltx-tui plan` shows, in the project's background worker.

    Ctrl-C stops the work. Closing the terminal does not: `ltx-tui attach` shows it again.
    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    """
    project = read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    chosen = chosen_stages(stages, project) if stages else None
    return run_stages(project, chosen, values, only=clips)
