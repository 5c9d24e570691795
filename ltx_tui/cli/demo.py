"""`ltx-tui demo`: the whole job on made-up clips and tiny random models."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.errors import EnvironmentFaultError
from engine.project import Project
from engine.text import visible
from ltx_tui.cli import errors, session
from ltx_tui.cli.console import duration, glyph, make_console, size, text
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.plan_view import print_plan
from ltx_tui.cli.work import do


@click.command("demo", epilog=EXIT_CODES)
@click.argument("folder", metavar="[DIR]", default="ltx-demo", type=click.Path(path_type=Path))
@click.option("--foreground", is_flag=True, help="Without the background worker.")
def command(folder: Path, foreground: bool) -> int:
    """Make a small project in DIR (./ltx-demo) and run the whole job on it.

    Draws six clips with sound, makes tiny models with random weights, then plans, encodes,
    decodes, and compares. Nothing is downloaded. A second run finds everything fresh.
    """
    from engine import demo  # loads FFmpeg with the rest

    console = make_console()
    began = time.monotonic()
    folder = folder.absolute()
    if demo.check_folder(folder):
        console.print(text(f"A demo is in {folder} already: going on from there."))
    else:
        _heading(console, 1, "Make clips, references, captions and toy models")
        _make(console, folder)
    project = demo.open_demo(folder)
    _heading(console, 2, "Plan: ltx-tui plan")
    engine = session.open_engine(project)
    print_plan(console, engine.plan(), project)
    _heading(console, 3, "Encode, then decode: ltx-tui run")
    how = {"foreground": foreground, "detach": False, "as_json": False}
    code = do(engine, engine.encoding(), how)
    if code != errors.DONE:
        return code
    _heading(console, 4, "What came back")
    _print_scores(console, project)
    _farewell(console, folder, time.monotonic() - began)
    return errors.DONE


def _heading(console: Console, number: int, words: str) -> None:
    console.print()
    console.print(Text.assemble(text(f"{number}. ", "accent"), text(words, "strong")))


def _make(console: Console, folder: Path) -> None:
    """Make the project, naming each file on a terminal as it is made."""
    from engine import demo

    count = 0
    with console.status("drawing", spinner="line", spinner_style="accent") as status:
        for made in demo.make(folder):
            count += 1
            status.update(text(f"made {made.file}"))
    console.print(text(f"  {glyph(console, 'ok')} {count} items in {folder}"))


def _print_scores(console: Console, project: Project) -> None:
    """Print the table of the round trip.

    Raises:
        EnvironmentFaultError: Nothing can be compared.
    """
    from engine import demo

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="quiet")
    table.add_column("clip", overflow="fold")
    table.add_column("bucket")
    table.add_column("latent")
    for head in ("tokens", "size", "PSNR", "sound"):
        table.add_column(head, justify="right", no_wrap=True)
    for score in demo.scores(project):
        table.add_row(
            visible(Path(score.clip).name),
            score.bucket,
            "x".join(map(str, score.latent_shape)),
            f"{score.tokens:,}",
            size(score.bytes),
            f"{score.psnr:.1f} dB" if score.psnr is not None else "none",
            f"{score.audio_seconds:.2f} s" if score.audio_seconds is not None else "none",
        )
    if not table.rows:
        raise EnvironmentFaultError("the demo has no latents", remedy="delete its folder, rerun")
    console.print(table)


def _farewell(console: Console, folder: Path, seconds: float) -> None:
    where = shlex.quote(str(folder))
    console.print()
    console.print(
        text(
            "The models' weights are random, so the decoded pictures are noise and the PSNR is "
            "low. With the real LTX-2 weights the same commands give the real thing.",
            "warn",
        )
    )
    console.print()
    console.print(text("Next, with clips of your own:", "strong"))
    for line, words in (
        ("ltx-tui init my-clips", "looks at them, writes project.toml"),
        ("cd my-clips", "and name the models in project.toml"),
        ("ltx-tui doctor", "machine, models, dataset: what would go wrong"),
        ("ltx-tui plan", "what a run would do, and why"),
        ("ltx-tui run", "does it"),
    ):
        console.print(Text.assemble(text(f"  {line:<26}", "accent"), text(words)))
    console.print()
    sign = glyph(console, "ok")
    console.print(text(f"{sign} done in {duration(seconds)}; delete {where} at will", "ok"))
