"""`ltx-tui adopt`: outputs of other tools, verified and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.work import do


@click.command("adopt", epilog=EXIT_CODES)
@opt.dataset_argument
@opt.stages
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Clips of each stage that are encoded again and compared; 0: only look at the files.",
)
@opt.job_options
@opt.setting("video.reshape", "--reshape-mode")
@opt.following
@opt.as_json
def command(dataset: Path | None, stages: str | None, sample: int, **values: Any) -> int:
    """Verify the outputs that the original scripts made for DATASET, and keep them.

    Every file is checked against what its clip should give: keys, shapes, dtypes, finite values.
    Some are encoded again and compared. What passes counts as fresh from then on. Give the
    options that the outputs were made with, or set them in project.toml.
    """
    project = session.read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    engine = session.open_engine(project)
    chosen = session.chosen_stages(stages, project) if stages else engine.default_stages
    session.require(project, chosen, buckets_given=values.get("video__buckets") is not None)
    return do(engine, engine.adopting(chosen, sample=sample), values)
