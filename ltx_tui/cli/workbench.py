"""`ltx-tui` without a command, or with a project instead: the workbench."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.errors import UsageError


def has_terminal() -> bool:
    """Whether somebody can look at a screen and type."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def open_workbench(start: Path, *, mouse: bool | None = None) -> int:
    """Show the workbench; return the exit code.

    Args:
        start: A folder, a dataset file or a project.toml.
        mouse: Whether the mouse is used; None as the configuration says.

    Raises:
        UsageError: There is no terminal; or the project, the configuration or the theme is wrong.
    """
    if not has_terminal():
        raise UsageError(
            "the workbench needs a terminal",
            remedy="use the commands in pipes and scripts: `ltx-tui --help` lists them",
        )
    from ltx_tui.terminal import guard

    guard.prepare()  # before Textual is imported
    from ltx_tui.program import run_workbench

    return run_workbench(start, mouse=mouse)


@click.command("workbench", hidden=True)
@click.argument("start", metavar="PROJECT", type=click.Path(path_type=Path))
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
@click.pass_context
def command(ctx: click.Context, start: Path, no_mouse: bool) -> int:
    """Open the workbench on PROJECT: a folder, a dataset file or a project.toml."""
    outer = ctx.parent.params if ctx.parent is not None else {}
    no_mouse = no_mouse or bool(outer.get("no_mouse"))
    return open_workbench(start, mouse=False if no_mouse else None)
