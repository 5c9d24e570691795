"""`ltx-tui caption-videos`: captions of clips, by a model here or a service elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.errors import UsageError
from engine.project import PROJECT_FILE, Project, apply_overrides, find_project, load_project
from engine.text import listed, visible
from engine.worker.spec import EXTENSIONS
from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.work import do

if TYPE_CHECKING:
    from engine.worker.spec import JobSpec

_OUTPUTS = {".json", ".jsonl", ".csv", ".txt"}


def _extensions(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = [one.strip().lower().lstrip(".") for one in (value or "").split(",")]
    return tuple(dict.fromkeys(name for name in names if name)) or EXTENSIONS


FLAGS = opt.group(
    click.option(
        "-o",
        "--output",
        type=opt.PATH,
        help="Where the captions go: .json, .jsonl, .csv, or .txt (two files).  "
        "[default: INPUT/dataset.json, or X.dataset.json for one file]",
    ),
    opt.setting("captions.captioner", "-c", "--captioner-type", help="Who captions."),
    opt.setting(
        "captions.model",
        "--model",
        default_words="Qwen/Qwen2.5-Omni-7B, or the service's own",
        help="Folder of the model, its name on the hub, or on the server.",
    ),
    opt.setting("captions.base_url", "--base-url", metavar="URL"),
    click.option(
        "--api-key",
        help="Key of the service; better: GOOGLE_API_KEY, GEMINI_API_KEY or OPENAI_API_KEY in "
        "the environment. It is written down nowhere.",
    ),
    opt.setting("captions.num_workers", "--num-workers", type=click.IntRange(min=0, max=64)),
    opt.setting("captions.use_8bit", "--use-8bit", is_flag=True, help="Load qwen_omni in 8 bits."),
    opt.setting("captions.instruction", "-i", "--instruction", default_words="the four sections"),
    click.option(
        "-e",
        "--extensions",
        metavar="A,B",
        callback=_extensions,
        help=f"Which files of a folder.  [default: {','.join(EXTENSIONS)}]",
    ),
    click.option("-r", "--recursive", is_flag=True, help="Look into folders inside the folder."),
    opt.setting("captions.fps", "-f", "--fps", help="Frames a second that are looked at."),
    opt.setting("captions.audio", "--audio/--no-audio", help="Listen to the sound too (default)."),
    opt.setting(
        "captions.clean",
        "--clean-caption/--raw-caption",
        help='Drop openings such as "The video shows" (default), or keep all as it is.',
    ),
    click.option(
        "--override",
        is_flag=True,
        help="Caption clips that have a caption, too; the old one stays among its versions.",
    ),
    click.option(
        "--clip",
        "clips",
        metavar="NAME",
        multiple=True,
        help="Only this clip, as the dataset names it. May be repeated.",
    ),
    click.option(
        "--keep-edited",
        is_flag=True,
        help="With --override: leave captions alone that a person typed, edited or reviewed.",
    ),
    opt.device,
    opt.memory,
    opt.following,
    opt.any_key,
    opt.as_json,
)


@click.command("caption-videos", epilog=EXIT_CODES)
@click.argument("source", metavar="INPUT", type=opt.PATH)
@FLAGS
def command(
    source: Path,
    output: Path | None,
    api_key: str | None,
    extensions: tuple[str, ...],
    recursive: bool,
    override: bool,
    clips: tuple[str, ...],
    keep_edited: bool,
    **values: Any,
) -> int:
    """Caption the videos and images of INPUT: a folder, one file, or a dataset.

    Captions go into the dataset as they come. What is captioned already is left alone, and so is
    all else that the dataset has: a rerun goes on where the last one stopped.
    """
    from engine.captioners.keys import use_key

    if keep_edited and not override:
        raise UsageError(
            "--keep-edited only goes with --override",
            remedy="without it every caption that is there is left alone",
        )
    if not source.exists():
        raise UsageError("no such file or folder", remedy="check the path", file=source)
    project = _project(source, output, values)
    if api_key:
        use_key(project.captions.captioner, api_key)
    engine = session.open_engine(project)
    spec = engine.captioning(
        None if _is_dataset(source) else source,
        extensions=extensions,
        recursive=recursive,
        override=override,
        keep_edited=keep_edited,
        only=clips,
    )
    _check(spec)
    return do(engine, spec, values)


def _is_dataset(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() in opt.DATASETS


def _project(source: Path, output: Path | None, values: Mapping[str, object]) -> Project:
    """Return the project of the output file, with the options on top."""
    target = _output(source, output).expanduser().absolute()
    if target.suffix.lower() not in _OUTPUTS | (set(opt.DATASETS) if target.exists() else set()):
        raise UsageError(
            f"captions cannot be written as {target.suffix or 'a file without suffix'!r}",
            remedy=f"use {', '.join(sorted(_OUTPUTS))}",
            file=target,
        )
    if not target.parent.is_dir():
        raise UsageError("no such folder", remedy="make it first", file=target.parent)
    file = find_project(target.parent)
    project = load_project(file) if file is not None else Project.defaults(target.parent)
    changed = opt.overrides(values)
    model = changed.get("captions.model")
    if isinstance(model, str) and Path(model).expanduser().is_dir():
        changed["captions.model"] = Path(model)  # from the current folder, as on any command line
    return apply_overrides(project, {**changed, "dataset.path": target})


def _output(source: Path, output: Path | None) -> Path:
    if _is_dataset(source):
        if output is not None and output.absolute() != source.absolute():
            raise UsageError(
                "the captions of a dataset go into the dataset itself",
                remedy="leave --output out, or name the folder of the clips instead",
            )
        return source
    if output is not None:
        return output
    if source.is_file():
        return source.with_suffix(".dataset.json")
    file = source / PROJECT_FILE
    return load_project(file).dataset_path if file.is_file() else source / "dataset.json"


def _check(spec: JobSpec) -> None:
    """Find out now what would stop the job later, and say what the user should know."""
    from engine.captioners.check import check_captioner
    from engine.worker.caption_job import choose_clips

    project = spec.project
    for note in check_captioner(project.captions, project.root):
        say_warning(note)
    choice = choose_clips(spec)
    if spec.only and not (choice.clips or choice.captioned or choice.blocked):
        raise UsageError(
            f"no clip is called {visible(listed(list(spec.only)))}",
            remedy="name it as the dataset does, or leave --clip out",
            file=project.dataset_path,
        )
