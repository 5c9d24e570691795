"""`ltx-tui process-dataset`: captions, videos, sound and references in one job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltx_tui.cli import options as opt
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.run import run_stages
from ltx_tui.cli.session import read_project

FLAGS = opt.group(
    opt.buckets,
    opt.checkpoint,
    opt.text_encoder,
    opt.video_vae,
    opt.audio_vae,
    opt.setting(
        "dataset.output_dir",
        "--output-dir",
        type=opt.PATH,
        default_words=".precomputed beside the dataset",
        help="Folder that gets one folder for each kind of output.",
    ),
    opt.video_column,
    opt.caption_column,
    opt.setting("dataset.reference_column", "--reference-column"),
    opt.setting("reference.downscale", "--reference-downscale-factor"),
    opt.setting("reference.temporal_scale", "--reference-temporal-scale-factor"),
    opt.text_options,
    opt.video_options,
    opt.audio,
    click.option(
        "--audio-durations",
        metavar="SECONDS;SECONDS",
        help="Buckets for sound without picture: not supported yet.",
    ),
    opt.setting("run.batch_size", "--batch-size", help="Clips of one bucket encoded at a time."),
    opt.device,
    opt.setting("run.decode", "--decode/--no-decode"),
    opt.overwrite,
    opt.any_key,
    opt.as_json,
)


@click.command("process-dataset", epilog=EXIT_CODES)
@opt.dataset_argument
@FLAGS
def command(dataset: Path | None, audio_durations: str | None, **values: Any) -> int:
    """Encode captions, videos and sound of DATASET into .precomputed/.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    An option wins over project.toml. Only what `ltx-tui plan` calls missing or stale is encoded.
    """
    if audio_durations is not None:
        raise click.UsageError(
            "--audio-durations (training on sound without picture) is not supported yet; "
            "leave it out to encode the sound of the videos with --with-audio"
        )
    project = read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    return run_stages(project, None, values)
