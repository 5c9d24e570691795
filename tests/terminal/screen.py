"""What a terminal shows: as much of one as our progress bars ask for, with lines that reflow."""

from __future__ import annotations

import re

_PARTS = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+|\x1b")


class Screen:
    """A terminal that is tall enough for all that is written, and breaks what is too wide.

    Attributes:
        width: In columns; `resize` changes it as terminals do that break long lines anew.
        unknown: Control sequences that it does not know.
    """

    def __init__(self, width: int = 80) -> None:
        self.width = width
        self.unknown: list[str] = []
        # Rows, and whether each goes on in the next one because it was too long.
        self._rows: list[tuple[str, bool]] = [("", False)]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        """The lines as they are seen, without spaces at their ends."""
        return [row.rstrip() for row, _ in self._rows]

    def feed(self, text: str) -> None:
        """Take what a program writes."""
        for part in _PARTS.finditer(text):
            if part[0] == "\r":
                self._column = 0
            elif part[0] == "\n":
                self._down()
                self._column = 0  # as the terminal's line discipline does it
            elif part[2]:
                self._control(part[1], part[2])
            elif part[0] == "\x1b":
                self.unknown.append(part[0])
            else:
                for letter in part[0]:
                    self._put(letter)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append(("", False))

    def _put(self, letter: str) -> None:
        if self._column >= self.width:
            self._rows[self._row] = (self._rows[self._row][0], True)
            self._down()
            self._column = 0
        row, goes_on = self._rows[self._row]
        row = row.ljust(self._column)
        self._rows[self._row] = (row[: self._column] + letter + row[self._column + 1 :], goes_on)
        self._column += 1

    def _control(self, numbers: str, letter: str) -> None:
        if letter == "A":
            self._row = max(0, self._row - int(numbers or 1))
        elif letter == "K" and numbers == "2":
            self._rows[self._row] = ("", False)
        elif letter == "J" and not numbers:
            row, _ = self._rows[self._row]
            self._rows[self._row :] = [(row[: self._column], False)]
        elif letter != "m":
            self.unknown.append(f"{numbers}{letter}")

    def resize(self, width: int) -> None:
        """Break all lines anew; the cursor stays with its line."""
        whole: list[str] = [""]
        cursor = (0, 0)
        for number, (row, goes_on) in enumerate(self._rows):
            if number == self._row:
                cursor = (len(whole) - 1, len(whole[-1]) + self._column)
            whole[-1] += row
            if not goes_on:
                whole.append("")
        whole.pop()
        self.width = width
        self._rows = []
        for number, line in enumerate(whole):
            if number == cursor[0]:
                self._row = len(self._rows) + cursor[1] // width
                self._column = cursor[1] % width
            pieces = [line[at : at + width] for at in range(0, len(line.rstrip()), width)] or [""]
            self._rows += [(piece, True) for piece in pieces[:-1]] + [(pieces[-1], False)]
