"""`ltx-tui logs`: what the worker and its encoders wrote down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.text import Text

from ltx_tui.cli import options as opt
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, text


@click.command("logs")
@opt.dataset_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added; Ctrl-C ends it.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=40, show_default=True, help="Of each log."
)
@click.option("--encoder", is_flag=True, help="Only the encoders.")
def command(dataset: Path | None, follow: bool, lines: int, encoder: bool) -> int:
    """Show the last lines of the worker's log and of its encoders'.

    DATASET names the project, as for the other commands. The files lie in .ltx-tui/logs.
    """
    from engine.worker import logs

    folder = session.known_engine(dataset).project.state_dir / "logs"
    console = make_console()

    def found() -> list[Path]:
        files = sorted(folder.glob("encoder-*.log"))
        return files if encoder else [*sorted(folder.glob("worker*.log")), *files]

    def show(path: Path, line: str, *, named: bool) -> None:
        name = text(f"{path.stem}  ", "quiet") if named else Text("")
        console.print(Text.assemble(name, text(line)), soft_wrap=True)

    async def go_on() -> None:
        async for line in logs.follow(found, lines=lines):
            show(line.path, line.text, named=True)

    if follow:
        try:
            asyncio.run(go_on())
        except KeyboardInterrupt:
            return 0
    several = {path: logs.tail(path, lines) for path in found()}
    several = {path: tail for path, tail in several.items() if tail}
    for path, tail in several.items():
        for line in tail:
            show(path, line, named=len(several) > 1)
    if not several:
        make_console(stderr=True).print(text(f"nothing was logged yet in {folder}"))
    return 0
