"""A job on a terminal: bars that move in place, with what is worth keeping above them."""

from __future__ import annotations

import contextlib

from rich.console import Console, Group, RenderableType

from engine.events import AnyEvent, ClipFailed, Guard, JobDone, Notice, Standing
from engine.progress import Progress
from ltx_tui.cli.bars import hand_lines, stage_table
from ltx_tui.cli.console import glyph, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.picture import Picture
from ltx_tui.cli.progress import guard_words, notice_words
from ltx_tui.cli.summary import Told, print_summary


class LiveView:
    """Bars that move in place; nothing is sent to the terminal that it shows already."""

    def __init__(self, console: Console, progress: Progress | None = None, hint: str = "") -> None:
        """Take the console over until `close`.

        Args:
            console: A terminal.
            progress: Where the job stands.
            hint: A line under all others: what the keys do.
        """
        self._console = console
        self._progress = progress or Progress()
        self._hint = hint
        self._note = ""
        self._told = Told()
        self._picture = Picture(console)
        self._is_open = True

    def show(self, event: AnyEvent) -> None:
        """Take an event; the picture follows at its own pace."""
        self._progress.take(event)
        match event:
            case ClipFailed():
                self._fail(event)
            case Standing():
                failures, more = self._told.missed(event.failures)
                for failure in failures:
                    self._fail(failure)
                if more:
                    self._above(f"… and {more:,} more failed", "error")
                if event.guards:
                    self._above(guard_words(event.guards[-1]), "quiet")
            case Guard() if not event.waiting:
                self._above(guard_words(event), "quiet")
            case Notice():
                self._above(notice_words(event), "warn" if event.level == "warning" else "")
            case JobDone():
                self._note = ""
                self.close()
                print_summary(self._console, event)
            case _:
                pass

    def _fail(self, event: ClipFailed) -> None:
        self._told.keep(event)
        sign = glyph(self._console, "error")
        self._above(f"{sign} failed: {event.clip}: {event.reason}", "error")

    def _above(self, line: str, style: str) -> None:
        self._picture.clear()
        self._console.print(text(line, style))
        self.tick()

    def aside(self, words: str) -> None:
        """Say something in passing, above the bars."""
        self._above(words, "quiet")

    def note(self, words: str) -> None:
        """Show it under the bars, or after them."""
        self._note = words
        if self._is_open:
            self.tick()
        elif words:
            self._console.print(text(words))

    def warn(self, words: str) -> None:
        """Say it on stderr."""
        self._picture.clear()
        say_warning(words)
        self.tick()

    def tick(self) -> None:
        """Draw what has changed."""
        if self._is_open:
            self._picture.draw(self.draw())

    def restart(self) -> None:
        """Begin below what others have printed meanwhile."""
        self._picture.leave()

    def close(self) -> None:
        """Draw the last picture and give the terminal back."""
        if self._is_open:
            self._note = self._hint = ""
            with contextlib.suppress(OSError):  # it may be gone
                self.tick()
            self._is_open = False
            self._picture.end()

    def draw(self) -> RenderableType:
        """Return the picture as it stands."""
        progress, console = self._progress, self._console
        parts: list[RenderableType] = []
        if not progress.planned and progress.scanned:
            done, total = progress.scanned
            parts.append(text(f"looking at the media {done:,}/{total:,}"))
        elif not progress.planned and not progress.stages and not self._note and self._is_open:
            parts.append(text("reading the dataset"))
        if progress.stages:
            parts.append(stage_table(console, progress))
        lines = hand_lines(console, progress)
        if progress.is_starting:
            lines.append(text("  starting the encoder", "quiet"))
        if progress.waiting:
            lines.append(text(f"  {progress.waiting}", "warn"))
        if self._note:
            lines.append(text(f"  {self._note}", "warn"))
        if self._hint:
            lines.append(text(f"  {self._hint}", "quiet"))
        for line in lines:
            line.truncate(console.width, overflow="ellipsis")
        return Group(*parts, *lines)
