"""The time of a clip, what is kept of it, and its sound below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from engine.worker.thumbnail_types import Sound
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.drawing.wave_lines import overwritten, steps_of, time_line, wave

# Lines of the sound at 24 lines, and in the largest terminal.
_USUAL, _MOST = 3, 8
# What fills the height at least: -40 dB of full scale.
_QUIETEST = 0.01
# Before, inside and after what is kept.
_ROLES = ("quiet", "primary", "quiet")


class Waveform(Widget, can_focus=False):
    """A line of time, the outline of the sound, and a line of words about it."""

    DEFAULT_CSS = """
    Waveform { height: 5; width: 1fr; padding: 0 1; }
    """

    def __init__(self, *, how: Signs | None = None, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.how = how or signs()
        self._sound: Sound | None = None
        self._seconds = 0.0
        self._kept = (0.0, 0.0)
        self._marks: tuple[float, ...] = ()
        self._words = ""
        self._cursor: float | None = None
        self._points: tuple[float, float] | None = None
        self._drawn: list[list[tuple[str, str]]] | None = None

    @property
    def steps(self) -> int:
        """How many steps of time there is room for."""
        return steps_of(max(1, self.size.width), self.how)

    def fit(self, height: int) -> None:
        """Take as many lines as a screen of some height can give."""
        lines = max(1, min(_MOST, _USUAL + (height - 24) // 8))
        self.styles.height = lines + 2

    def show(
        self,
        *,
        seconds: float,
        kept: tuple[float, float],
        marks: Sequence[float] = (),
        sound: Sound | None = None,
        words: str = "",
        cursor: float | None = None,
        points: tuple[float, float] | None = None,
    ) -> None:
        """Show a clip.

        Args:
            seconds: How long it is; 0 while nobody knows.
            kept: Beginning and end of what is kept, in seconds.
            marks: When the frames that are shown are.
            sound: Its outline; None where there is none, or while it is not known.
            words: About the sound.
            cursor: When the frame at the cursor is; None for no cursor.
            points: In and out point of a window; None for none.
        """
        new = (seconds, kept, tuple(marks), sound, words, cursor, points)
        if new == self._shown:
            return
        self._seconds, self._kept, self._marks, self._sound, self._words = new[:5]
        self._cursor, self._points = new[5:]
        self._drawn = None
        self.refresh()

    @property
    def _shown(self) -> tuple[object, ...]:
        known = (self._seconds, self._kept, self._marks, self._sound, self._words)
        return (*known, self._cursor, self._points)

    def on_resize(self) -> None:
        """Draw anew."""
        self._drawn = None

    def notify_style_update(self) -> None:
        """Draw anew in another theme's colours."""
        super().notify_style_update()
        self._drawn = None

    def render_line(self, y: int) -> Strip:
        """Return a line."""
        if self._drawn is None:
            self._drawn = self._draw(self.size.width, self.size.height)
        base = self.rich_style
        parts = self._drawn[y] if y < len(self._drawn) else []
        styled = [Segment(text, base + self._style(role)) for text, role in parts if text]
        return Strip(styled).adjust_cell_length(self.size.width, base)

    def _style(self, role: str) -> Style:
        return style(self.app, role) if role else Style()

    def _draw(self, width: int, height: int) -> list[list[tuple[str, str]]]:
        """Return lines of (text, role of its colour)."""
        lines: list[list[tuple[str, str]]] = []
        if self._seconds > 0:
            parts = time_line(width, self._seconds, self._kept, self._marks, self.how, self._points)
            lines.append(self._with_cursor(zip(parts, _ROLES, strict=True), width))
        else:
            lines.append([])
        if self._sound is not None and self._sound.high:
            ends = [len(part) for part in parts] if self._seconds > 0 else [0, width, 0]
            first, last = ends[0], ends[0] + ends[1]
            # A quiet sound is seen as well; how loud it is stands below.
            scale = 1 / max(self._sound.peak, _QUIETEST)
            low, high = ([scale * one for one in v] for v in (self._sound.low, self._sound.high))
            for line in wave(low, high, width, height - 2, self.how):
                texts = (line[:first], line[first:last], line[last:])
                lines.append(list(zip(texts, _ROLES, strict=True)))
        lines.append([(self._words, "" if self._sound is not None else "quiet")])
        return lines

    def _with_cursor(self, parts: Iterable[tuple[str, str]], width: int) -> list[tuple[str, str]]:
        if self._cursor is None:
            return list(parts)
        column = min(width - 1, round(self._cursor / self._seconds * width))
        parts = list(parts)
        letter = "".join(text for text, _ in parts)[column : column + 1]
        if letter not in ("[", "]"):  # which the picture's label names
            letter = "┃" if self.how.dots else "|"
        return overwritten(parts, column, letter, "warning")
