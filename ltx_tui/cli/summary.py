"""The last words of a job: what failed, why, what to do, and one line of figures."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding

from engine.events import ClipFailed, JobDone
from engine.precompute.layout import CAPTIONS
from engine.text import listed, plural, visible
from ltx_tui.cli.console import duration, glyph, text
from ltx_tui.cli.progress import stage_name

_MOST_NAMES = 5
# Failures that a client missed, and that are told one by one.
_MOST_MISSED = 5


def print_summary(console: Console, end: JobDone) -> None:
    """Print the end of a job."""
    if end.failures:
        console.print()
        head = f"{glyph(console, 'error')} {plural(clips(end.failures), 'clip')} failed"
        has_outputs = any(one.stage != CAPTIONS for one in end.failures)
        what = ", and not used for training:" if has_outputs else ", and left without a caption:"
        console.print(text(head + what, "error"))
        print_failures(console, end.failures)
        console.print()
    console.print(text(headline(console, end), _style(end)))


class Told:
    """Which failures the user has seen: a client may be told the same ones again."""

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: set[tuple[str, int, str]] = set()

    def keep(self, failure: ClipFailed) -> None:
        """Remember one."""
        self._seen.add((failure.stage, failure.row, failure.clip))

    def missed(self, failures: Iterable[ClipFailed]) -> tuple[list[ClipFailed], int]:
        """Return the latest of those that were not told yet, and how many there are beside."""
        new = [one for one in failures if (one.stage, one.row, one.clip) not in self._seen]
        for one in new:
            self.keep(one)
        return new[-_MOST_MISSED:], max(0, len(new) - _MOST_MISSED)


def clips(failures: Iterable[ClipFailed]) -> int:
    """Count the clips behind failures: a clip may fail in several stages."""
    return len({(one.row, one.clip) for one in failures})


def print_failures(console: Console, failures: Iterable[ClipFailed]) -> None:
    """Print what failed; a line that is broken keeps its place under the others."""
    for line in failure_lines(failures, glyph(console, "arrow")):
        words = line.lstrip()
        left = len(line) - len(words)
        console.print(Padding(text(words), (0, 0, 0, left), expand=False))


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
    return f"{line}; the same command goes on" if end.cancelled else line


def _style(end: JobDone) -> str:
    return "warn" if end.cancelled or end.failures else "ok"
