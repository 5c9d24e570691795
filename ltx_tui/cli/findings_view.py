"""What the doctor finds of clips, while it looks and in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.status import Status

from engine.events import ClipDone, ClipFailed, JobDone, JobStarted, Notice, Scanning
from engine.findings import Finding, Fixed
from engine.text import plural, visible
from ltx_tui.cli.console import glyph, print_indented, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.progress import notice_words

# More are not read one by one on a terminal; in a pipe all are printed.
_MOST_LINES = 200
_SIGNS = {"error": "error", "warning": "warn", "note": "todo"}
_STYLES = {"error": "error", "warning": "warn", "note": "quiet"}


class Watch:
    """Shows how far a look is, and keeps what it finds.

    Attributes:
        doing: What is being done.
    """

    def __init__(self, status: Status) -> None:
        """Show it in a status line."""
        self.findings: list[Finding] = []
        self.fixed: list[Fixed] = []
        self.failures: list[ClipFailed] = []
        self.is_stopped = False
        self.probed = 0
        self._status = status
        self.doing = "looking at the clips"
        self._done, self._total = 0, 0
        self._note = ""

    def show(self, event: object) -> None:
        """Take an event."""
        match event:
            case Finding():
                self.findings.append(event)
            case Fixed():
                self.fixed.append(event)
            case Scanning():
                self.probed = event.total
                self.doing, self._done, self._total = "probing the media", event.done, event.total
            case JobStarted():
                stage = event.stages[0]
                mends = stage.stage == "proxies"
                self.doing = "writing proxies" if mends else "looking at the clips"
                self._done, self._total = 0, stage.to_do
            case ClipDone():
                self._done += 1
            case ClipFailed():
                self._done += 1
                self.failures.append(event)
            case Notice():
                say_warning(notice_words(event))
            case JobDone():
                self.is_stopped = event.cancelled

    def tick(self) -> None:
        """Draw what has changed."""
        note = f" · {self._note}" if self._note else ""
        self._status.update(f"{self.doing} {self._done:,}/{self._total:,}{note}")

    def aside(self, words: str) -> None:
        """Nothing that is worth a line."""

    def note(self, words: str) -> None:
        """Say it beside the count."""
        self._note = words
        self.tick()

    def warn(self, words: str) -> None:
        """Say it on stderr."""
        say_warning(words)

    def restart(self) -> None:
        """The status line draws itself anew."""

    def close(self) -> None:
        """The caller closes the status line."""


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print findings clip by clip, then how many there are of each kind."""
    shown = findings[:_MOST_LINES] if console.is_terminal else findings
    console.print(text("Clips", "strong"))
    for (row, clip), group in groupby(shown, key=lambda one: (one.row, one.clip)):
        head = f"{visible(clip)} (row {row + 1})" if row is not None else "the whole set"
        print_indented(console, 2, text(head, "strong"))
        for one in group:
            _print_one(console, one)
    if len(shown) < len(findings):
        more = plural(len(findings) - len(shown), "more finding")
        print_indented(
            console, 2, text(f"… and {more}: `ltx-tui doctor | less` shows all, --json too")
        )
    if not findings:
        print_indented(console, 2, text(f"{glyph(console, 'ok')} nothing found", "ok"))
        return
    print_indented(console, 2, text(counts(findings)))


def _print_one(console: Console, one: Finding) -> None:
    line = text(f"{glyph(console, _SIGNS[one.severity])} ", _STYLES[one.severity])
    line.append_text(text(f"{one.code}  ", "strong"))
    line.append_text(text(f"{one.severity}: {one.text}"))
    print_indented(console, 4, line)
    arrow = glyph(console, "arrow")
    if one.remedy:
        print_indented(console, 6, text(f"{arrow} {one.remedy}"))
    if one.fix:
        print_indented(console, 6, text(f"{arrow} --fix {one.code} writes a proxy {one.fix}"))


def counts(findings: Iterable[Finding]) -> str:
    """Return how many clips have each kind of finding, the commonest first."""
    kinds = Counter(one.code for one in findings)
    return "together: " + ", ".join(f"{code} {count:,}" for code, count in kinds.most_common())


def print_fixed(console: Console, fixed: Sequence[Fixed], failures: Sequence[ClipFailed]) -> None:
    """Print what was mended or undone, and what could not be."""
    if not fixed and not failures:
        return
    console.print(text("Proxies", "strong"))
    for one in fixed:
        how = ", ".join(one.codes) or "undone"
        words = f"{glyph(console, 'ok')} {one.media} instead of {one.source} ({how})"
        print_indented(console, 2, text(words, "ok"))
    for failure in failures:
        words = f"{glyph(console, 'error')} {visible(failure.clip)}: {failure.reason}"
        print_indented(console, 2, text(words, "error"))
        if failure.remedy:
            print_indented(console, 6, text(f"{glyph(console, 'arrow')} {failure.remedy}"))
