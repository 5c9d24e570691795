"""`ltx-tui process-dataset`: captions, videos, sound and references in one job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import read_project
from ltx_tui.cli.work import run_stages


@click.command("process-dataset", epilog=EXIT_CODES)
@opt.dataset_argument
@opt.job_options
@opt.setting("run.decode", "--decode/--no-decode")
@opt.overwrite
@opt.following
@opt.as_json
def command(dataset: Path | None, **values: Any) -> int:
    """Encode captions, videos and sound of DATASET into .precomputed/.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    An option wins over project.toml. Only what `ltx-tui plan` calls missing or stale is encoded.
    """
    project = read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    return run_stages(project, None, values)
