"""`ltx-tui doctor`: what would stop or spoil a job, before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.padding import Padding

from engine.project import Project, find_project
from engine.text import plural
from ltx_tui.cli import errors
from ltx_tui.cli import options as opt
from ltx_tui.cli.console import glyph, make_console, print_json, text
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import read_project

if TYPE_CHECKING:
    from engine.doctor import Check

_SIGNS = {"ok": "ok", "warning": "warn", "problem": "error", "fault": "error"}

FLAGS = opt.group(
    opt.checkpoint,
    opt.text_encoder,
    opt.video_vae,
    opt.audio_vae,
    opt.device,
    opt.any_key,
    opt.as_json,
)


@click.command("doctor", epilog=EXIT_CODES)
@opt.dataset_argument
@click.option("--media/--no-media", default=True, help="Look into every media file too.")
@FLAGS
def command(dataset: Path | None, media: bool, as_json: bool, **values: Any) -> int:
    """Check versions, device, memory, models, disk space, dataset and media.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it,
    and without one only the machine is checked. Exit codes: 0 fine or warnings only, 1 problems
    in dataset or media, 3 faults of machine or models.
    """
    console = make_console()
    project = _project(dataset, opt.overrides(values))
    if as_json:
        found = list(_checks(project, make_console(stderr=True), media=media))
        code = exit_code(found)
        print_json({"exit_code": code, "checks": found})
        return code
    found = []
    for check in _checks(project, console, media=media):
        if not found or found[-1].group != check.group:
            console.print(text(f"{check.group.capitalize()}", "strong"))
        found.append(check)
        print_check(console, check)
    console.print()
    console.print(_verdict(console, found, has_project=project is not None))
    return exit_code(found)


def _project(dataset: Path | None, values: dict[str, object]) -> Project | None:
    if dataset is None and find_project(Path.cwd()) is None:
        return None
    return read_project(dataset, values)


def _checks(project: Project | None, console: Console, *, media: bool) -> Iterator[Check]:
    """Make the checks, with a sign of life on the console while they take long."""
    from engine.doctor import diagnose  # loads FFmpeg

    with console.status("looking", spinner="line", spinner_style="accent") as status:

        def count(done: int, total: int) -> None:
            status.update(f"looking at the media {done:,}/{total:,}")

        yield from diagnose(project, media=media, progress=count)


def print_check(console: Console, check: Check) -> None:
    """Print a check on a line, its remedy on another."""
    sign = _SIGNS[check.verdict]
    word = "" if sign == "ok" else f"{check.verdict.value}: "
    line = text(f"{glyph(console, sign)} ", sign)
    line.append_text(text(f"{check.name}  ", "strong"))
    line.append_text(text(f"{word}{check.text}"))
    console.print(Padding(line, (0, 0, 0, 2), expand=False))
    if check.remedy:
        console.print(
            Padding(text(f"{glyph(console, 'arrow')} {check.remedy}"), (0, 0, 0, 6), expand=False)
        )


def exit_code(checks: list[Check]) -> int:
    """Return 3 for a fault of the machine, 1 for a problem in the data, else 0."""
    verdicts = {check.verdict.value for check in checks}
    if "fault" in verdicts:
        return errors.ENVIRONMENT
    return errors.SOME_FAILED if "problem" in verdicts else errors.DONE


def _verdict(console: Console, checks: list[Check], *, has_project: bool) -> Any:
    counts = {
        word: sum(check.verdict.value == word for check in checks)
        for word in ("fault", "problem", "warning")
    }
    facts = [plural(count, word) for word, count in counts.items() if count]
    state = "error" if counts["fault"] or counts["problem"] else "warn" if facts else "ok"
    line = ", ".join(facts) or "all is well"
    if not has_project:
        line += "; there is no project here, so only the machine was checked"
    return text(f"{glyph(console, state)} {line}", state)
