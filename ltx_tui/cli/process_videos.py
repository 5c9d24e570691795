"""`ltx-tui process-videos`: the video latents, and the audio latents on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.errors import UsageError
from engine.precompute.layout import Stage
from ltx_tui.cli import options as opt
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import read_project
from ltx_tui.cli.work import run_stages

FLAGS = opt.group(
    opt.buckets,
    opt.checkpoint,
    opt.video_vae,
    opt.audio_vae,
    click.option(
        "--output-dir",
        type=opt.PATH,
        help="The folder of the latents itself.  [default: .precomputed/latents]",
    ),
    click.option(
        "--audio-output-dir",
        type=opt.PATH,
        help="The folder of the audio latents itself.  [default: .precomputed/audio_latents]",
    ),
    opt.video_column,
    opt.setting("video.reshape", "--reshape-mode"),
    opt.video_options,
    opt.audio,
    opt.setting("run.batch_size", "--batch-size", help="Clips of one bucket encoded at a time."),
    opt.device,
    opt.hardware_decoding,
    opt.memory,
    opt.scale,
    opt.overwrite,
    opt.following,
    opt.any_key,
    opt.as_json,
)


@click.command("process-videos", epilog=EXIT_CODES)
@opt.dataset_argument
@FLAGS
def command(
    dataset: Path | None, output_dir: Path | None, audio_output_dir: Path | None, **values: Any
) -> int:
    """Encode the videos of DATASET, and their sound with --with-audio.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it.
    """
    project = read_project(dataset, opt.overrides(values) | opt.audio_override(values))
    stages = [Stage.LATENTS]
    folders = {Stage.LATENTS: output_dir.absolute()} if output_dir else {}
    if project.audio.enabled:
        stages.append(Stage.AUDIO_LATENTS)
        if output_dir and not audio_output_dir:
            raise UsageError(
                "--output-dir moves the video latents, but nothing says where the sound goes",
                remedy="add --audio-output-dir, or leave the sound out with --skip-audio",
            )
    if audio_output_dir:
        folders[Stage.AUDIO_LATENTS] = audio_output_dir.absolute()
    return run_stages(project, stages, values, folders=folders)
