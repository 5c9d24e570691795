"""`ltx-tui compute-reference`: reference videos of a dataset, such as Canny edges."""

from __future__ import annotations

from pathlib import Path

import click

from engine.errors import UsageError
from engine.events import AnyEvent
from engine.project import Project, apply_overrides, find_project, load_project
from engine.worker.reference_types import Stopped, Wanted
from ltx_tui.children.clips import ClipChild
from ltx_tui.cli import options as opt
from ltx_tui.cli.follow import follow_here
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.output import make_view

_HINT = "Ctrl-C stops; the same command goes on"


@click.command("compute-reference", epilog=EXIT_CODES)
@click.argument("source", metavar="[DIR|DATASET]", required=False, type=opt.PATH)
@click.option(
    "-o",
    "--output",
    type=opt.PATH,
    help="The dataset that gets the column.  [default: DATASET, or dataset.json in DIR]",
)
@click.option("--override", is_flag=True, help="Make again what is there already.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="The dataset is written after so many references.",
)
@click.option(
    "--condition",
    default="canny",
    show_default=True,
    metavar="canny|MODULE:FUNCTION",
    help="What is drawn: Canny edges, or a function of your own from uint8 frames [F,H,W,3] to "
    "the same.",
)
@click.option("--low", type=float, default=100.0, show_default=True, help="Canny: lower threshold.")
@click.option(
    "--high", type=float, default=200.0, show_default=True, help="Canny: upper threshold."
)
@opt.as_json
def command(
    source: Path | None,
    output: Path | None,
    override: bool,
    batch_size: int,
    condition: str,
    low: float,
    high: float,
    as_json: bool,
) -> int:
    """Write STEM_reference.EXT beside each clip, and name it in the dataset.

    A reference has its clip's size, rate and length, and no sound. DIR is a folder of clips,
    DATASET a .json, .jsonl or .csv file; without either, the project.toml here or above names it.
    References that are there and fit stay; those from elsewhere too.
    """
    project, folder = _place(source, output)
    wanted = Wanted(
        project=project,
        folder=folder,
        condition=condition,
        low=low,
        high=high,
        modules=(Path.cwd(),),
        override=override,
        batch_size=batch_size,
    )
    child = ClipChild("engine.worker.make_references", wanted, AnyEvent | Stopped)
    return follow_here(child, make_view(as_json=as_json, hint=_HINT))


def _place(source: Path | None, output: Path | None) -> tuple[Project, Path | None]:
    """Return the project, which names the dataset, and the folder that is looked at; None for all.

    Raises:
        UsageError: There is no such file or folder, or two datasets are named.
    """
    for path in (source, output.parent if output is not None else None):
        if path is not None and not path.exists():
            raise UsageError("no such file or folder", remedy="check the path", file=path)
    if output is not None and output.suffix.lower() not in opt.DATASETS:
        raise UsageError("is no dataset", remedy=f"use {', '.join(opt.DATASETS)}", file=output)
    if source is None:
        return _around(output or Path.cwd(), output), None
    if source.is_dir():
        return _of_folder(source, output), source.absolute()
    if output is not None and output.absolute() != source.absolute():
        raise UsageError(
            f"the column goes into the dataset that is read, {source}, and not into {output}",
            remedy="leave --output out, or name the folder of the clips instead",
        )
    return _around(source, None if source.suffix == ".toml" else source), None


def _of_folder(folder: Path, output: Path | None) -> Project:
    """Return the project of a folder of clips, with its own dataset where it names none."""
    if output is not None:
        return _around(output, output)
    file = find_project(folder)
    if file is not None and load_project(file).dataset_path.exists():
        return load_project(file)
    from engine.init import DATASET_FILE, find_dataset  # loads FFmpeg

    return _around(folder, find_dataset(folder) or folder / DATASET_FILE)


def _around(place: Path, dataset: Path | None) -> Project:
    """Return the project that a place is in, or defaults, with this dataset.

    Raises:
        UsageError: Neither a dataset nor a project.toml is there.
    """
    file = find_project(place)
    if file is None and dataset is None:
        raise UsageError(
            "no clips are given, and there is no project.toml here or above",
            remedy="name the folder of the clips, or the dataset file",
        )
    root = dataset.absolute().parent if dataset is not None else place.absolute()
    project = load_project(file) if file is not None else Project.defaults(root)
    return apply_overrides(project, {"dataset.path": dataset} if dataset is not None else {})
