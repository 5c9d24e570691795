"""`ltx-tui process-captions`: the text embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.precompute.layout import Stage
from ltx_tui.cli import options as opt
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import read_project
from ltx_tui.cli.work import run_stages

FLAGS = opt.group(
    opt.checkpoint,
    opt.text_encoder,
    click.option(
        "--output-dir",
        type=opt.PATH,
        help="The folder of the conditions itself.  [default: .precomputed/conditions]",
    ),
    opt.caption_column,
    opt.setting(
        "dataset.video_column",
        "--media-column",
        "--video-column",
        default_words="media_path or video",
        help="Column of the media paths, after which the outputs are named.",
    ),
    opt.text_options,
    opt.setting("text.batch_size", "--batch-size"),
    opt.device,
    opt.memory,
    opt.scale,
    opt.overwrite,
    opt.following,
    opt.any_key,
    opt.as_json,
)


@click.command("process-captions", epilog=EXIT_CODES)
@opt.dataset_argument
@FLAGS
def command(dataset: Path | None, output_dir: Path | None, **values: Any) -> int:
    """Encode the captions of DATASET; the media need not be there.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    """
    project = read_project(dataset, opt.overrides(values))
    folders = {Stage.CONDITIONS: output_dir.absolute()} if output_dir else {}
    return run_stages(project, [Stage.CONDITIONS], values, folders=folders)
