"""`ltx-tui doctor`: what would stop or spoil a job, before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.console import Console

from engine.errors import UsageError
from engine.events import AnyEvent
from engine.findings import FIXES, Finding, Fixed, Wanted, parse_codes
from engine.project import Project, find_project
from engine.text import plural
from engine.worker.reference_types import Stopped
from ltx_tui.children.clips import ClipChild
from ltx_tui.cli import errors
from ltx_tui.cli import options as opt
from ltx_tui.cli.console import glyph, make_console, print_indented, print_json, text
from ltx_tui.cli.findings_view import Watch, print_findings, print_fixed
from ltx_tui.cli.follow import follow_here
from ltx_tui.cli.main import EXIT_CODES
from ltx_tui.cli.session import read_project
from ltx_tui.cli.suspects import as_data, print_suspects, score

if TYPE_CHECKING:
    from engine.health.doctor import Check

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
@click.option("--media/--no-media", default=True, help="Look through every clip too.")
@click.option(
    "--fix",
    metavar="CODE,CODE",
    help="Write proxies beside the clips that have these findings, and name them in the dataset; "
    "the clips themselves stay as they are.",
)
@click.option("--fix-all", is_flag=True, help="The same for all findings that a proxy mends.")
@click.option("--undo-fixes", is_flag=True, help="Name the clips themselves again.")
@click.option(
    "--clip", "clips", metavar="NAME", multiple=True, help="Mend this clip only. May be repeated."
)
@FLAGS
def command(dataset: Path | None, media: bool, as_json: bool, **values: Any) -> int:
    """Check versions, device, memory, models, disk space, dataset and clips.

    DATASET is a .json, .jsonl or .csv file; without it, the project.toml here or above names it,
    and without one only the machine is checked. Exit codes: 0 fine or warnings only, 1 problems
    in dataset or clips, 3 faults of machine or models.
    """
    ask = _Ask(
        fix=_codes(values.pop("fix"), everything=values.pop("fix_all")),
        undo=values.pop("undo_fixes"),
        only=values.pop("clips"),
    )
    console = make_console()
    project = _project(dataset, opt.overrides(values))
    ask.check(project, media=media)
    if as_json:
        return _as_json(project, ask, looked_at=project if media else None)
    found: list[Check] = []
    looked_at = project if media else None
    for check in _checks(project, console):
        found.append(check)
        # What is wrong with rows is told clip by clip below.
        if looked_at is not None and check.group == "dataset" and check.name != "file":
            continue
        if len(found) == 1 or found[-2].group != check.group:
            console.print(text(f"{check.group.capitalize()}", "strong"))
        print_check(console, check)
    watch = _look(looked_at, ask, console, found) if looked_at is not None else None
    if looked_at is not None and watch is not None:
        print_fixed(console, watch.fixed, watch.failures)
        print_findings(console, watch.findings)
        scores = score(looked_at, console)
        if scores is not None:
            print_suspects(console, scores)
    console.print()
    console.print(_verdict(console, found, watch, has_project=project is not None))
    return exit_code(found, watch)


class _Ask(NamedTuple):
    """What is to be done beside looking."""

    fix: tuple[str, ...]
    undo: bool
    only: tuple[str, ...]

    def check(self, project: Project | None, *, media: bool) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: There is nothing to mend, or two things that exclude one another.
        """
        if not (self.fix or self.undo):
            if self.only:
                raise UsageError("--clip goes with --fix, --fix-all or --undo-fixes")
            return
        if self.fix and self.undo:
            raise UsageError(
                "--fix and --undo-fixes cannot both be given", remedy="leave one of them out"
            )
        if project is None:
            raise UsageError("there is no project here", remedy="name the dataset file")
        if not media:
            raise UsageError("clips are mended by looking at them", remedy="leave --no-media out")


def _codes(fix: str | None, *, everything: bool) -> tuple[str, ...]:
    if everything:
        return tuple(FIXES)
    return parse_codes(fix) if fix is not None else ()


def _as_json(project: Project | None, ask: _Ask, *, looked_at: Project | None) -> int:
    console = make_console(stderr=True)
    found = list(_checks(project, console))
    watch = _look(looked_at, ask, console, found) if looked_at is not None else None
    code = exit_code(found, watch)
    answer: dict[str, object] = {"exit_code": code, "checks": found}
    if looked_at is not None and watch is not None:
        answer |= {
            "findings": watch.findings,
            "fixed": watch.fixed,
            "failures": watch.failures,
        }
        scores = score(looked_at, console)
        if scores is not None:
            answer |= as_data(scores)
    print_json(answer)
    return code


def _look(project: Project, ask: _Ask, console: Console, found: list[Check]) -> Watch | None:
    """Look at the clips in a child process; None where the dataset cannot be read.

    Raises:
        LtxError: The buckets are unusable, or the child keeps dying.
    """
    if any(check.name == "file" and check.verdict.value == "problem" for check in found):
        return None
    wanted = Wanted(project=project, fix=ask.fix, undo=ask.undo, only=ask.only)
    child = ClipChild("engine.worker.find_problems", wanted, AnyEvent | Finding | Fixed | Stopped)
    with console.status("looking", spinner="line", spinner_style="accent") as status:
        watch = Watch(status)
        follow_here(child, watch)
    if watch.is_stopped:
        raise click.Abort
    return watch


def _project(dataset: Path | None, values: dict[str, object]) -> Project | None:
    if dataset is None and find_project(Path.cwd()) is None:
        return None
    return read_project(dataset, values)


def _checks(project: Project | None, console: Console) -> Iterator[Check]:
    """Make the checks, with a sign of life on the console while they take long."""
    from engine.health.doctor import diagnose  # loads FFmpeg

    with console.status("looking", spinner="line", spinner_style="accent"):
        yield from diagnose(project, media=False)


def print_check(console: Console, check: Check) -> None:
    """Print a check on a line, its remedy on another."""
    sign = _SIGNS[check.verdict]
    word = "" if sign == "ok" else f"{check.verdict.value}: "
    line = text(f"{glyph(console, sign)} ", sign)
    line.append_text(text(f"{check.name}  ", "strong"))
    line.append_text(text(f"{word}{check.text}"))
    print_indented(console, 2, line)
    if check.remedy:
        print_indented(console, 6, text(f"{glyph(console, 'arrow')} {check.remedy}"))


def exit_code(checks: list[Check], watch: Watch | None = None) -> int:
    """Return 3 for a fault of the machine, 1 for a problem in the data, else 0."""
    verdicts = {check.verdict.value for check in checks}
    if "fault" in verdicts:
        return errors.ENVIRONMENT
    is_bad = watch is not None and (
        watch.failures or any(one.severity == "error" for one in watch.findings)
    )
    return errors.SOME_FAILED if "problem" in verdicts or is_bad else errors.DONE


def _verdict(
    console: Console, checks: list[Check], watch: Watch | None, *, has_project: bool
) -> Any:
    # Rows are counted as clips once, not as checks of the dataset and again as findings.
    counted = [c for c in checks if watch is None or c.group != "dataset" or c.name == "file"]
    counts = Counter(check.verdict.value for check in counted)
    if watch is not None:
        kinds = {"error": "problem", "warning": "warning", "note": "note"}
        counts.update(kinds[one.severity] for one in watch.findings)
    words = ("fault", "problem", "warning", "note")
    facts = [plural(counts[word], word) for word in words if counts[word]]
    state = "error" if counts["fault"] or counts["problem"] else "warn" if facts else "ok"
    line = ", ".join(facts) or "all is well"
    if not has_project:
        line += "; there is no project here, so only the machine was checked"
    return text(f"{glyph(console, state)} {line}", state)
