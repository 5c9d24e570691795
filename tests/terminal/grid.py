"""What is seen of a program that draws on the whole screen: a grid of cells."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from rich.cells import cell_len

from tests.terminal.terminal import Terminal

_PARTS = re.compile(
    r"\x1b\[([<>=?]?)([0-9;]*)(\$?[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|\r|\n|[^\x1b\r\n]+"
)


class Grid:
    """A terminal of a fixed size, as far as the workbench asks for one.

    Attributes:
        width: In columns.
        height: In lines.
    """

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self._rest = ""
        self._row = self._column = 0
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Begin anew with another size; the program draws all of it again."""
        self.width, self.height = width, height
        self._clear()

    def _clear(self) -> None:
        self._cells = [[" "] * self.width for _ in range(self.height)]

    @property
    def lines(self) -> list[str]:
        """The lines, without spaces at their ends."""
        return ["".join(row).rstrip() for row in self._cells]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def feed(self, text: str) -> None:
        """Take what a program writes; a sequence may come in pieces."""
        text, self._rest = self._rest + text, ""
        begun = text.rfind("\x1b")
        if begun >= 0 and not re.search(r"[A-Za-z\x07]", text[begun:]):
            text, self._rest = text[:begun], text[begun:]
        for part in _PARTS.finditer(text):
            if part[0] == "\r":
                self._column = 0
            elif part[0] == "\n":
                self._row, self._column = self._row + 1, 0
            elif part[3]:
                self._control(part[1], part[2], part[3])
            elif part[0][0] != "\x1b":
                for letter in part[0]:
                    self._put(letter)

    def _put(self, letter: str) -> None:
        width = cell_len(letter)
        if self._row < self.height and self._column + width <= self.width and width:
            row = self._cells[self._row]
            row[self._column : self._column + width] = [letter, *[""] * (width - 1)]
        self._column += width

    def _control(self, private: str, numbers: str, letter: str) -> None:
        if letter == "H":
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
        elif (private == "?" and numbers == "1049") or (letter == "J" and numbers == "2"):
            self._clear()
        elif letter == "K" and self._row < self.height:
            row_cells = self._cells[self._row]
            row_cells[self._column :] = [" "] * (self.width - self._column)


def watched(terminal: Terminal) -> Grid:
    """Return what is seen on a terminal from now on."""
    grid = Grid()
    grid.feed(terminal.raw)
    terminal.on_text = grid.feed
    return grid


def until(
    terminal: Terminal, grid: Grid, done: Callable[[], object] | str, seconds: float = 15
) -> None:
    """Read until something is seen, or is so."""
    end = time.monotonic() + seconds
    while not (done in grid.text if isinstance(done, str) else done()):
        assert time.monotonic() < end, f"{done!r} did not come:\n{grid.text}"
        assert terminal.process.poll() is None, f"it ended:\n{grid.text}"
        terminal.read(0.1)
