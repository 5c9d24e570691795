"""Lines at the foot of a terminal that change in place, while others are printed above them."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from ltx_tui.cli.echo import Echo

_UP, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[{}A", "\x1b[2K", "\x1b[J"


class Picture:
    """Draws what has changed and nothing else.

    The cursor stays visible, on the line below: a program that is killed leaves the terminal as
    usable as one that ends.
    """

    def __init__(self, console: Console) -> None:
        """Draw nothing yet.

        Args:
            console: A terminal; nobody else prints to it meanwhile.
        """
        self._console = console
        self._lines: list[str] = []
        self._width = console.width
        self._echo = Echo()

    def draw(self, content: RenderableType) -> None:
        """Bring the lines up to date."""
        lines, width = self._render(content), self._console.width
        if lines == self._lines and width == self._width:
            return
        if not self._lines:
            self._echo.silence()
        old = self._lines if width == self._width else []
        out = [self._to_top() if old or not self._lines else self._to_top() + _CLEAR_BELOW]
        for number, line in enumerate(lines):
            kept = number < len(old) and old[number] == line
            out.append("\n" if kept else f"{_CLEAR_LINE}{line}\n")
        out.append(_CLEAR_BELOW)
        self._lines, self._width = lines, width
        self._write("".join(out))

    def clear(self) -> None:
        """Take the lines away; what is printed next takes their place."""
        if self._lines:
            self._write(self._to_top() + _CLEAR_BELOW)
        self.leave()

    def leave(self) -> None:
        """Let the lines stand as they are; the next ones come below them."""
        self._lines, self._width = [], self._console.width

    def end(self) -> None:
        """Give the terminal back; the lines stand as they are."""
        self._echo.restore()

    def _render(self, content: RenderableType) -> list[str]:
        with self._console.capture() as capture:
            self._console.print(content)
        # The cursor's own line must fit as well.
        return capture.get().split("\n")[:-1][: max(1, self._console.height - 1)]

    def _to_top(self) -> str:
        """Return what moves the cursor to the first line, as the terminal shows them now.

        A terminal that has become narrower has broken those that are too long for it.
        """
        width = max(1, self._console.width)
        rows = sum(max(1, -(-Text.from_ansi(line).cell_len // width)) for line in self._lines)
        return "\r" + (_UP.format(rows) if rows else "")

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
