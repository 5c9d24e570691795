"""Which captions the doctor finds suspicious."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from engine.errors import LtxError
from engine.events import AnyEvent, JobStarted
from engine.project import Project
from engine.suspicion.file import Scores, read_scores
from engine.text import plural, visible
from engine.worker.reference_types import Stopped
from engine.worker.score_types import Scored, Wanted
from ltx_tui.children.clips import ClipChild
from ltx_tui.cli.console import glyph, print_indented, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.findings_view import Watch
from ltx_tui.cli.follow import follow_here

# So many are named; the workbench has them all.
_MOST = 10


class _Listening(Watch):
    """Shows how far the listening is."""

    def show(self, event: object) -> None:
        """Take an event."""
        super().show(event)
        if isinstance(event, JobStarted):
            self.doing = "listening to the clips"


def score(project: Project, console: Console) -> Scores | None:
    """Have all captions scored in a child process; None where that cannot be done."""
    child = ClipChild(
        "engine.worker.score_captions", Wanted(project=project), AnyEvent | Scored | Stopped
    )
    with console.status("reading the captions", spinner="line", spinner_style="accent") as status:
        watch = _Listening(status)
        try:
            follow_here(child, watch)
        except LtxError as error:
            say_warning(f"captions were not scored: {error}")
            return None
    if watch.is_stopped:
        raise click.Abort
    return read_scores(project)


def suspects(scores: Scores) -> list[int]:
    """Return the rows with suspicious captions, the worst first."""
    found = [row for row in range(len(scores)) if scores.is_suspicious(row)]
    return sorted(found, key=lambda row: (-scores.values[row], row))


def as_data(scores: Scores) -> dict[str, Any]:
    """Return them for `--json`: all of them, the worst first."""
    return {
        "captions": len(scores),
        "suspicious": [
            {
                "row": row,
                "clip": scores.names[row],
                "score": round(scores.values[row], 4),
                "reasons": [
                    {"kind": one.kind, "text": one.text, "remedy": one.remedy}
                    for one in scores.reasons(row)
                ],
            }
            for row in suspects(scores)
        ],
    }


def print_suspects(console: Console, scores: Scores) -> None:
    """Print how many there are, and the worst with what there is against them."""
    found = suspects(scores)
    if not len(scores):
        return
    console.print(text("Captions", "strong"))
    if not found:
        _line(console, 2, f"{glyph(console, 'ok')} none of {len(scores):,} is suspicious", "ok")
        return
    are = "is" if len(found) == 1 else "are"
    words = f"{len(found):,} of {plural(len(scores), 'caption')} {are} suspicious"
    _line(console, 2, f"{glyph(console, 'warn')} {words}", "warn")
    arrow = glyph(console, "arrow")
    for row in found[:_MOST]:
        name = f"{visible(scores.names[row])} (row {row + 1})"
        _line(console, 4, f"{scores.values[row]:.2f}  {name}", "strong")
        for one in scores.reasons(row):
            _line(console, 6, f"{one.text} {arrow} {one.remedy}")
    more = f"{len(found) - _MOST:,} more; " if len(found) > _MOST else ""
    _line(console, 2, f"{arrow} {more}`w` in the workbench goes through them, the worst first")


def _line(console: Console, left: int, words: str, how: str = "") -> None:
    print_indented(console, left, text(words, how))
