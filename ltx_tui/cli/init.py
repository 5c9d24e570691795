"""`ltx-tui init`: a project.toml for a folder of clips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from engine.buckets import parse_buckets
from engine.errors import LtxError
from engine.text import plural
from ltx_tui.cli import options as opt
from ltx_tui.cli.console import glyph, make_console, text
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.config.user import CHECKPOINT, TEXT_ENCODER

FLAGS = opt.group(
    opt.setting(
        "models.checkpoint",
        "--model-path",
        type=opt.PATH,
        envvar=CHECKPOINT,
        help=f"The LTX-2 checkpoint (.safetensors); or {CHECKPOINT} in the environment.",
    ),
    opt.setting(
        "models.text_encoder",
        "--text-encoder-path",
        type=opt.PATH,
        envvar=TEXT_ENCODER,
        help=f"The Gemma folder; or {TEXT_ENCODER} in the environment.",
    ),
    opt.setting(
        "video.buckets",
        "--resolution-buckets",
        metavar="WxHxF;WxHxF",
        default_words="suggested from the media",
        help="Sizes (pixels) and lengths (frames).",
    ),
    opt.setting("text.trigger", "--lora-trigger"),
    opt.video_column,
    opt.caption_column,
    opt.setting("dataset.reference_column", "--reference-column"),
    opt.audio,
    opt.any_key,
)


@click.command("init", epilog=EXIT_CODES)
@click.argument("start", metavar="[DIR]", default=".", type=opt.PATH)
@FLAGS
@click.option("-y", "--yes", is_flag=True, help="Ask nothing; take what is suggested.")
def command(start: Path, yes: bool, **values: Any) -> int:
    """Write a commented project.toml for the clips in DIR.

    DIR is a folder, or a dataset file (.json, .jsonl, .csv). A folder without a dataset gets a
    dataset.json that lists its videos and images with empty captions. No file is overwritten.
    Questions are asked on a terminal only.
    """
    from engine import init  # loads FFmpeg

    console = make_console()
    given = opt.overrides(values) | opt.audio_override(values)
    found = init.look(start, video_column=str(given.get("dataset.video_column", "")))
    what = "a new dataset" if found.is_new else found.dataset.name
    console.print(text(f"{what}: {plural(found.clips, 'clip')} in {found.folder}"))
    for note in found.notes:
        console.print(text(f"{glyph(console, 'warn')} {note}", "warn"))
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        given = _ask(found.values | given, found.reference_column)
    elif found.reference_column and "dataset.reference_column" not in given:
        sign = glyph(console, "warn")
        hint = f"set dataset.reference_column to use the column {found.reference_column!r}"
        console.print(text(f"{sign} {hint}", "warn"))
    project = init.write(found, given)
    sign = glyph(console, "ok")
    if found.is_new:
        console.print(text(f"{sign} wrote {found.dataset}", "ok"))
    console.print(text(f"{sign} wrote {project.file}", "ok"))
    console.print(text(f"  buckets {project.video.buckets}"))
    console.print(text(f"  sound {'on' if project.audio.enabled else 'off'}"))
    _next_steps(console, has_models=bool(project.models.checkpoint and project.models.text_encoder))
    return 0


def _ask(values: dict[str, object], reference_column: str) -> dict[str, object]:
    """Ask for what nobody can know but the user; Enter takes what is suggested."""
    answers = dict(values)
    for key, question in (
        ("models.checkpoint", "LTX-2 checkpoint (.safetensors; empty: later)"),
        ("models.text_encoder", "Gemma folder (empty: later)"),
    ):
        if key not in answers:
            answer = click.prompt(question, default="", show_default=False)
            answers[key] = Path(answer) if answer else None
    answers["video.buckets"] = click.prompt(
        "Buckets, WxHxF;WxHxF", default=values.get("video.buckets", "960x544x49"), value_proc=_valid
    )
    if "text.trigger" not in answers:
        answers["text.trigger"] = click.prompt(
            "Trigger word (empty: none)", default="", show_default=False
        )
    answers["audio.enabled"] = click.confirm(
        "Encode the sound too?", default=bool(values["audio.enabled"])
    )
    if reference_column and "dataset.reference_column" not in answers:
        question = f"Use the column {reference_column!r} as reference videos?"
        if click.confirm(question, default=False):
            answers["dataset.reference_column"] = reference_column
    return answers


def _valid(answer: str) -> str:
    try:
        parse_buckets(answer)
    except LtxError as error:
        raise click.BadParameter(str(error)) from error
    return answer


def _next_steps(console: Any, *, has_models: bool) -> None:
    console.print()
    if not has_models:
        console.print(
            text("Then name the models in project.toml: [models] checkpoint, text_encoder")
        )
    console.print(text("Next:  ltx-tui doctor   then   ltx-tui plan"))
