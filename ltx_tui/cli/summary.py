"""The last words of a job: what failed, why, what to do, and one line of figures."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from engine.events import ClipFailed, JobDone
from engine.text import listed, plural, visible
from ltx_tui.cli.console import duration, glyph, text
from ltx_tui.cli.progress import stage_name

_MOST_NAMES = 5


def print_summary(console: Console, end: JobDone) -> None:
    """Print the end of a job."""
    if end.failures:
        console.print()
        head = f"{glyph(console, 'error')} {plural(clips(end.failures), 'clip')} failed"
        console.print(text(f"{head}, and not used for training:", "error"))
        for line in failure_lines(end.failures, glyph(console, "arrow")):
            console.print(text(line))
        console.print()
    console.print(text(headline(console, end), _style(end)))


def clips(failures: Iterable[ClipFailed]) -> int:
    """Count the clips behind failures: a clip may fail in several stages."""
    return len({(one.row, one.clip) for one in failures})


def failure_lines(failures: Iterable[ClipFailed], arrow: str = "→") -> list[str]:
    """Return lines on what failed, one block for each reason with the clips that it stopped."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in failures:
        names = groups.setdefault((stage_name(one.stage), one.reason, one.remedy), [])
        names.append(f"{visible(one.clip)}{f' (row {one.row + 1})' if one.row >= 0 else ''}")
    lines = []
    for (stage, reason, remedy), names in groups.items():
        lines += [f"  {listed(names, _MOST_NAMES)}", f"    {stage}: {reason}"]
        if remedy:
            lines.append(f"    {arrow} {remedy}")
    return lines


def headline(console: Console, end: JobDone) -> str:
    """Return the line of figures."""
    if end.cancelled:
        sign, word = glyph(console, "warn"), "stopped"
    elif end.failures:
        sign, word = glyph(console, "warn"), "done, but not all"
    else:
        sign, word = glyph(console, "ok"), "done"
    facts = [f"{end.done:,} written", f"{end.fresh:,} fresh already"]
    if end.adopted:
        facts = [f"{end.adopted:,} adopted"]
    if end.failures:
        facts.append(f"{plural(clips(end.failures), 'clip')} failed")
    if end.skipped:
        facts.append(f"{end.skipped:,} skipped")
    if end.set_aside:
        facts.append(f"{plural(end.set_aside, 'output')} set aside")
    facts.append(duration(end.seconds))
    line = f"{sign} {word}: {' · '.join(facts)}"
    return f"{line}; the same command goes on from here" if end.cancelled else line


def _style(end: JobDone) -> str:
    return "warn" if end.cancelled or end.failures else "ok"
