"""What the logs say, as a list that can be searched: several files, the newest lines."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Literal

import msgspec

from engine.text import plural

# Lines of each log to begin with, and of all together that are kept.
BEGIN, KEPT = 2_000, 20_000

Source = Literal["all", "worker", "encoders"]
SOURCES: tuple[Source, ...] = ("all", "worker", "encoders")


class Entry(msgspec.Struct, frozen=True):
    """A line of a log.

    Attributes:
        log: Name of the log, such as "encoder-cuda-0".
        text: Safe to show.
    """

    log: str
    text: str


def files_of(folder: Path) -> list[Path]:
    """Return the newest file of each log."""
    return [*sorted(folder.glob("worker*.log")), *sorted(folder.glob("encoder-*.log"))]


class LogView:
    """The lines that are kept, and those of them that are shown.

    Attributes:
        shown: The lines of the source that have the words.
        source: Which logs are shown.
        words: What the lines must have; case does not matter.
        dropped: How many lines were let go because there were too many.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._all: deque[Entry] = deque(maxlen=kept)
        self.shown: deque[Entry] = deque(maxlen=kept)
        self.source: Source = "all"
        self.words = ""
        self.dropped = 0

    def add(self, entry: Entry) -> bool:
        """Take a line; return whether it is shown."""
        if len(self._all) == self._all.maxlen:
            self.dropped += 1
        self._all.append(entry)
        if not self._fits(entry):
            return False
        self.shown.append(entry)
        return True

    def choose(self, *, source: Source | None = None, words: str | None = None) -> None:
        """Show other lines."""
        self.source = source or self.source
        self.words = self.words if words is None else words
        self.shown.clear()
        self.shown.extend(entry for entry in self._all if self._fits(entry))

    def next_source(self) -> Source:
        """Return the source after this one."""
        return SOURCES[(SOURCES.index(self.source) + 1) % len(SOURCES)]

    @property
    def summary(self) -> str:
        """How many lines there are, and of what."""
        which = {"all": "worker and encoders", "worker": "worker", "encoders": "encoders"}
        text = f"{which[self.source]} · {plural(len(self.shown), 'line')}"
        if self.words:
            text += f" with {self.words!r}"
        return text + (f" · {self.dropped:,} older ones not kept" if self.dropped else "")

    def _fits(self, entry: Entry) -> bool:
        if self.source != "all" and entry.log.startswith("worker") != (self.source == "worker"):
            return False
        return self.words.casefold() in entry.text.casefold()
