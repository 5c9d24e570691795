"""`ltx-tui decode-latents`: a folder of latents back into videos and sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.errors import UsageError
from engine.precompute.layout import Stage
from engine.project import Project, apply_overrides, find_project, load_project
from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.work import do

FLAGS = opt.group(
    opt.checkpoint,
    opt.video_vae,
    opt.audio_vae,
    opt.setting(
        "video.vae_tiling",
        "--vae-tiling/--no-vae-tiling",
        help="Feathered tiles: less memory, but approximate.",
    ),
    opt.setting(
        "video.seed",
        "--seed",
        help="Accepted for old command lines; LTX-2's decoder draws no random numbers.",
    ),
    click.option("--with-audio", is_flag=True, help="Decode the sound too."),
    click.option(
        "--audio-latents-dir",
        type=opt.PATH,
        help="Folder of the audio latents.  [default: audio_latents beside LATENTS_DIR]",
    ),
    opt.device,
    opt.memory,
    opt.scale,
    opt.following,
    opt.any_key,
    opt.as_json,
)


@click.command("decode-latents", epilog=EXIT_CODES)
@click.argument("latents_dir", type=opt.PATH)
@click.argument("out_dir", type=opt.PATH)
@FLAGS
def command(
    latents_dir: Path,
    out_dir: Path,
    with_audio: bool,
    audio_latents_dir: Path | None,
    **values: Any,
) -> int:
    """Decode the .pt files of LATENTS_DIR into videos (PNG for one frame) in OUT_DIR."""
    if not latents_dir.is_dir():
        raise UsageError("no such folder", remedy="check the path", file=latents_dir)
    sound = _sound_folder(latents_dir, audio_latents_dir) if with_audio else None
    project = apply_overrides(_project(latents_dir), opt.overrides(values))
    stages = [Stage.DECODED_VIDEOS, *([Stage.DECODED_AUDIO] if sound else [])]
    session.require(project, stages)
    engine = session.open_engine(project)
    return do(engine, engine.decoding(latents_dir, out_dir, audio_latents=sound), values)


def _sound_folder(latents: Path, given: Path | None) -> Path:
    folder = (given or latents.absolute().parent / Stage.AUDIO_LATENTS.value).absolute()
    if not folder.is_dir():
        raise UsageError(
            "no such folder of audio latents",
            remedy="name it with --audio-latents-dir, or leave --with-audio out",
            file=folder,
        )
    return folder


def _project(latents: Path) -> Project:
    """Return the project around the latents, or around the current folder, or defaults."""
    file = find_project(latents.absolute()) or find_project(Path.cwd())
    return load_project(file) if file else Project.defaults(Path.cwd())
