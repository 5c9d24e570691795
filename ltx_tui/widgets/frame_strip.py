"""Frames of a clip: in half-cell blocks, or as pictures of a terminal that has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from engine.worker.thumbnail_types import Shot
from ltx_tui.drawing.blocks import Row, depth_of, mean_of, picture
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.frames.grid import LEAD, Grid, arrange, arrange_beside
from ltx_tui.terminal import graphics
from ltx_tui.terminal.graphics import Way
from ltx_tui.widgets.board import fault_lines
from ltx_tui.widgets.line import segments_of

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

# Kitty's numbers of pictures, which are colours of the cube that are no greys.
_NUMBERS = tuple(
    n for n in range(16, 232) if len({(n - 16) // 36, (n - 16) // 6 % 6, (n - 16) % 6}) == 3
)
# A row of pictures is drawn when it is complete, for Textual sends whole lines; or after so long.
_TOGETHER = 0.25
# Pixels of a picture at most, where the terminal draws it.
_MOST_PIXELS = (800, 600)
_LINES = "─│┌┐└┘"
_PLAIN_LINES = "-|++++"


class Place(msgspec.Struct, frozen=True):
    """What is said of a place of the strip.

    Attributes:
        labels: The words under it, from long to short; the first that fits is shown.
        is_kept: Whether the frame is kept.
    """

    labels: tuple[str, ...]
    is_kept: bool = True


class FrameStrip(Widget, can_focus=True):
    """Pictures in rows, each with words below.

    Attributes:
        way: How pictures are drawn.
        grid: Where they stand.
        is_compared: Whether pictures hold nothing but what is kept.
    """

    DEFAULT_CSS = """
    FrameStrip { height: 1fr; width: 1fr; padding: 0 1; }
    """

    def __init__(self, *, how: Signs | None = None, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.how = how or signs()
        self.way: Way = "blocks"
        self.grid = Grid()
        self.is_compared = False
        self._places: tuple[Place, ...] = ()
        self._lead = Place(())
        self._box = WHOLE
        self._shots: dict[tuple[int, int], Shot] = {}
        self._rows: dict[tuple[int, int], list[Row]] = {}
        self._words: tuple[str, str] = ("", "")
        self._sent: set[int] = set()
        self._new: set[tuple[int, int]] = set()
        self._timer: Timer | None = None

    # What is shown

    def lay_out(
        self, count: int, aspect: float, parts: int = 1, *, lead: bool = False
    ) -> tuple[int, int]:
        """Make room for pictures; return how many pixels each may have, across and down.

        Args:
            count: How many places.
            aspect: Width of a picture by its height.
            parts: Pictures a place.
            lead: Whether a large one stands on the left.
        """
        how = arrange_beside if lead else arrange
        self.grid = how(count, aspect, self.size.width, self.size.height, parts)
        return self.pixels()

    def pixels(self, place: int = 0) -> tuple[int, int]:
        """Return how many pixels the picture at a place may have, across and down."""
        width, height = self.grid.size(place)
        if self.way == "blocks":
            return max(1, width), max(1, 2 * height)
        cell = graphics.cell_size()
        down = min(height, graphics.MOST_ROWS) * cell[1]
        if self.way == "sixel":
            down = down // 6 * 6  # they are drawn six lines at a time
        return (
            max(1, min(_MOST_PIXELS[0], width * cell[0])),
            max(1, min(_MOST_PIXELS[1], down)),
        )

    def clear(self) -> None:
        """Show nothing."""
        self._forget()
        self._shots.clear()
        self._rows.clear()
        self._places = ()
        self._words = ("", "")
        self.refresh()

    def say(self, headline: str, remedy: str = "") -> None:
        """Show words instead of pictures."""
        self.clear()
        self._words = (headline, remedy)

    def expect(self, numbers: Sequence[int]) -> None:
        """Take away pictures of other frames than these; those of the same stay until new come."""
        for key in [key for key in self._shots if key[0] != LEAD]:
            place = key[0]
            if place >= len(numbers) or self._shots[key].number != numbers[place]:
                del self._shots[key]
                self._rows.pop(key, None)
                self.refresh()

    def label_lead(self, lead: Place) -> None:
        """Say what stands below the large picture."""
        if lead != self._lead:
            self._lead = lead
            self.refresh(Region(0, self.grid.lead[1], self.grid.left, 1))

    def label(self, places: Sequence[Place], box: Box = WHOLE) -> None:
        """Say what stands below each place, and which part of the pictures is kept."""
        before, self._places = self._places, tuple(places)
        if box != self._box:
            self._box = box
            self._rows.clear()
            self.refresh()
        for number, place in enumerate(places):
            if number >= len(before) or before[number] != place:
                column, line = self.grid.at(number) if self.grid.across else (0, 0)
                self.refresh(Region(column, line + self.grid.height, self.grid.place_width, 1))

    def put(self, shot: Shot) -> None:
        """Show a picture."""
        if self.grid.across and shot.place < self.grid.across * self.grid.down:
            self._put((shot.place, int(shot.is_right)), shot)

    def put_lead(self, shot: Shot) -> None:
        """Show the large picture."""
        if self.grid.lead[0]:
            self._put((LEAD, int(shot.is_right)), shot)

    def _put(self, key: tuple[int, int], shot: Shot) -> None:
        self._shots[key] = shot
        self._rows.pop(key, None)
        if self.way == "kitty":
            self._send(key, shot)
        self._new.add(key)
        if key[0] == LEAD or self._is_complete(shot.place // self.grid.across):
            self._draw_new()
        elif self._timer is None:
            self._timer = self.set_timer(_TOGETHER, self._draw_new)

    def _is_complete(self, row: int) -> bool:
        across = self.grid.across
        places = range(row * across, min(len(self._places), (row + 1) * across))
        return all(
            (place, part) in self._shots for place in places for part in range(self.grid.parts)
        )

    def _draw_new(self) -> None:
        keys, self._new = self._new, set()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        for row in {place // self.grid.across for place, _ in keys if place != LEAD}:
            line = row * self.grid.place_height
            left = self.grid.left
            self.refresh(Region(left, line, self.size.width - left, self.grid.height))
        if any(place == LEAD for place, _ in keys):
            self.refresh(Region(0, 0, self.grid.left, self.grid.lead[1]))
        if self.way == "sixel":
            for key in sorted(keys):
                self.call_after_refresh(self._paint, key)

    def repaint(self) -> None:
        """Draw again what is no text, where something else was drawn over it."""
        if self.way == "sixel":
            for key in self._shots:
                self.call_after_refresh(self._paint, key)

    # Pictures of the terminal

    def _cells(self, key: tuple[int, int], shot: Shot) -> tuple[int, int]:
        """Return how many columns and lines a picture takes."""
        if self.way == "blocks":
            return shot.size[0], (shot.size[1] + 1) // 2
        cell = graphics.cell_size()
        width, height = self.grid.size(key[0])
        return (
            max(1, min(width, round(shot.size[0] / cell[0]))),
            max(1, min(height, graphics.MOST_ROWS, round(shot.size[1] / cell[1]))),
        )

    def _number(self, key: tuple[int, int]) -> int:
        return _NUMBERS[(2 * key[0] + key[1]) % len(_NUMBERS)]

    def _send(self, key: tuple[int, int], shot: Shot) -> None:
        number = self._number(key)
        self._sent.add(number)
        sequences = graphics.kitty_send(number, shot.size, shot.pixels, self._cells(key, shot))
        graphics.write(self.app, sequences, passing=True)

    def _forget(self) -> None:
        for number in self._sent:
            graphics.write(self.app, graphics.kitty_forget(number), passing=True)
        self._sent.clear()

    def _paint(self, key: tuple[int, int]) -> None:
        shot = self._shots.get(key)
        if shot is None or self.way != "sixel" or not self.screen.is_current:
            return
        column, line = self.grid.at(*key)
        at = self.content_region.offset
        column += (self.grid.size(key[0])[0] - self._cells(key, shot)[0]) // 2
        sequences = graphics.sixel(shot.size, shot.pixels, shot.palette)
        graphics.write(self.app, graphics.at_cell(at.x + column, at.y + line, sequences))

    def on_unmount(self) -> None:
        """Take the pictures from the terminal."""
        self._forget()

    # Drawing

    def notify_style_update(self) -> None:
        """Draw anew in another theme's colours."""
        super().notify_style_update()
        self._rows.clear()

    def render_line(self, y: int) -> Strip:
        """Return a line."""
        width, base = self.size.width, self.rich_style
        if self._words[0]:
            segments = self._said(y, width)
        elif self.grid.across or self.grid.lead[0]:
            segments = self._line(y)
        else:
            segments = [] if y else [Segment("no room for pictures: fewer frames with -")]
        styled = [Segment(part.text, base + (part.style or Style())) for part in segments]
        return Strip(styled).adjust_cell_length(width, base)

    def _said(self, y: int, width: int) -> list[Segment]:
        red = style(self.app, "error")
        lines = fault_lines(*self._words, width - 1, red, self.how, " ")
        return segments_of(lines[y], self.app.console) if y < len(lines) else []

    def _line(self, y: int) -> list[Segment]:
        segments: list[Segment] = []
        at = 0
        for (place, part), inside in self._across(y):
            column, _ = self.grid.at(place, part)
            is_picture = inside < self.grid.size(place)[1]
            own = self._picture_line((place, part), inside) if is_picture else self._label_of(place)
            segments += [Segment(" " * (column - at)), *own]
            at = column + sum(one.cell_length for one in own)
        return segments

    def _across(self, y: int) -> Iterator[tuple[tuple[int, int], int]]:
        """Yield the pictures that a line goes through, each with the line inside of it."""
        grid, lead = self.grid, self.grid.lead[1]
        if grid.lead[0] and y <= lead:
            yield from (((LEAD, part), y) for part in range(grid.parts if y < lead else 1))
        if not grid.across:
            return
        row, inside = divmod(y, grid.place_height)
        if row < grid.down:
            parts = grid.parts if inside < grid.height else 1
            for place in range(row * grid.across, (row + 1) * grid.across):
                yield from (((place, part), inside) for part in range(parts))

    def _label_of(self, place: int) -> list[Segment]:
        if place >= len(self._places):
            return []
        width = self.grid.left if place == LEAD else self.grid.place_width
        said = self._lead if place == LEAD else self._places[place]
        words = next((one for one in said.labels if cell_len(one) <= width), "")
        how = Style(bold=place == LEAD) if said.is_kept else Style(dim=True)
        return [Segment(words, how)]

    def _picture_line(self, key: tuple[int, int], line: int) -> list[Segment]:
        shot = self._shots.get(key)
        if shot is None:
            return []
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = self._drawn(key, shot)
        if line >= len(rows):
            return []
        spare = self.grid.size(key[0])[0] - self._cells(key, shot)[0]
        return [Segment(" " * (spare // 2)), *rows[line]]

    def _drawn(self, key: tuple[int, int], shot: Shot) -> list[Row]:
        columns, lines = self._cells(key, shot)
        if self.way == "kitty":
            how = Style(color=_kitty_colour(self.app, self._number(key)))
            return [[Segment(graphics.kitty_row(row, columns), how)] for row in range(lines)]
        if self.way == "sixel":
            return [[Segment(" " * columns)] for _ in range(lines)]
        rows = picture(
            shot.pixels,
            shot.size,
            depth=depth_of(self.app),
            dark=self.app.current_theme.dark,
            plain=not self.how.dots,
        )
        is_kept = key[0] == LEAD or (key[0] < len(self._places) and self._places[key[0]].is_kept)
        if key[1] or self.is_compared or not is_kept:
            return rows
        return self._boxed(rows, shot)

    def _boxed(self, rows: list[Row], shot: Shot) -> list[Row]:
        """Draw a line around what is kept, on the cells just outside of it."""
        horizontal, vertical, *corners = list(_LINES if self.how.dots else _PLAIN_LINES)
        width, height = shot.size
        left, right = round(self._box[0] * width) - 1, round(self._box[2] * width)
        top = round(self._box[1] * height) // 2 - 1
        bottom = (round(self._box[3] * height) + 1) // 2
        for y, row in enumerate(rows):
            letters: dict[int, str] = {}
            if y in (top, bottom):
                span = range(max(0, left), min(width, right + 1))
                letters = dict.fromkeys(span, horizontal)
                ends = corners[:2] if y == top else corners[2:]
                letters |= {x: end for x, end in ((left, ends[0]), (right, ends[1])) if x in span}
            elif top < y < bottom:
                letters = {x: vertical for x in (left, right) if 0 <= x < width}
            if letters:
                rows[y] = self._with(row, letters, shot, y)
        return rows

    def _with(self, row: Row, letters: dict[int, str], shot: Shot, y: int) -> Row:
        """Replace cells of a row by letters on the colour that was there."""
        ink = style(self.app, "warning", bold=True)
        has_colours = depth_of(self.app) != "none"
        cells = [Segment(letter, part.style) for part in row for letter in part.text]
        for x, letter in letters.items():
            ground = Style()
            if has_colours:
                ground = Style(bgcolor=Color.from_rgb(*mean_of(shot.pixels, shot.size[0], x, y)))
            cells[x] = Segment(letter, ground + ink)
        return list(Strip(cells).simplify())


def _kitty_colour(app: App[Any], number: int) -> Color:
    """Return the colour that a terminal reads as the number of a picture."""
    if depth_of(app) == "truecolor":
        return Color.from_rgb(0, 0, number)
    return Color.from_ansi(number)
