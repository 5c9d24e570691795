"""`ltx-tui take-out`: rows of clips out of the dataset, and back into it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from engine.errors import UsageError
from engine.text import listed, plural, visible
from engine.worker.take_out import Done, Wanted
from ltx_tui.children.dataset import take
from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, print_json, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.main import EXIT_CODES


@click.command("take-out", epilog=EXIT_CODES)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@opt.project
@click.option(
    "--give-back",
    "is_back",
    is_flag=True,
    help="Give the rows of NAME back, or those that were taken out last.",
)
@opt.as_json
def command(names: tuple[str, ...], start: Path | None, is_back: bool, as_json: bool) -> int:
    """Take the rows of clips out of the dataset; their files stay where they are.

    NAME is the media path as the dataset has it, with its window where it has one, as the clip
    list shows it: all rows that are called so; "NAME #2" is the second of them. All are taken out
    or none. The rows are kept whole in .ltx-tui/, with marks and versions of their captions, until
    they are given back. The next run sets the outputs of these clips aside.
    """
    if not (names or is_back):
        raise UsageError("no clip is named", remedy="name clips, or add --give-back")
    project = session.read_project(start, {})
    # A child goes on to its end when Ctrl-C comes.
    done = asyncio.run(take(Wanted(project=project, names=names, is_back=is_back)))
    if as_json:
        print_json(done)
        return 0
    file = visible(project.dataset_path.name)
    _say_rows(done, f"given back to {file}" if is_back else f"taken out of {file}")
    if done.there:
        say_warning(f"not given back, for there is such a row: {listed(list(done.there))}")
    elif not is_back:
        back = session.command_line("take-out --give-back", project)
        make_console().print(text(f"{back} gives back what was taken out last"), soft_wrap=True)
    return 0


def _say_rows(done: Done, what: str) -> None:
    """Say which rows they are, and how many captions of them are somebody's work."""
    names = f": {listed([key.name for key in done.keys])}" if done.keys else ""
    words = f"{plural(len(done.keys), 'row')} {what}{names}"
    if done.by_hand:
        words += f"; {plural(done.by_hand, 'caption')} edited or reviewed by hand"
    make_console().print(text(words), soft_wrap=True)
