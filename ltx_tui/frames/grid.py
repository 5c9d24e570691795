"""Where the pictures of a strip stand: in as many rows as make them largest."""

from __future__ import annotations

import math

import msgspec

# Columns between two pictures of a row, and between source and decoded of one frame.
_GAP = 2
_INNER = 1
_LABEL = 1
_LEAST = 6
# The place of the large picture, and how much of the width it may take.
LEAD = -1
_SHARE = 0.55


class Grid(msgspec.Struct, frozen=True):
    """The layout of a strip, in cells.

    Attributes:
        across: Pictures in a row.
        down: Rows of pictures.
        width: Columns of one picture.
        height: Lines of one picture, without its label.
        parts: 2 where each place holds two pictures side by side, such as source and decoded.
        lead: Columns and lines of the large picture on the left; (0, 0) for none.
    """

    across: int = 0
    down: int = 0
    width: int = 0
    height: int = 0
    parts: int = 1
    lead: tuple[int, int] = (0, 0)

    @property
    def left(self) -> int:
        """The column where the places begin, right of the large picture."""
        return self.lead[0] * self.parts + _INNER * (self.parts - 1) + _GAP if self.lead[0] else 0

    def size(self, place: int) -> tuple[int, int]:
        """Return columns and lines of a picture at a place."""
        return self.lead if place == LEAD else (self.width, self.height)

    @property
    def place_width(self) -> int:
        """Columns of a place."""
        return self.width * self.parts + _INNER * (self.parts - 1)

    @property
    def place_height(self) -> int:
        """Lines of a place, its label included."""
        return self.height + _LABEL

    def at(self, place: int, part: int = 0) -> tuple[int, int]:
        """Return column and line of the picture at a place."""
        if place == LEAD:
            return part * (self.lead[0] + _INNER), 0
        row, column = divmod(place, self.across)
        return (
            self.left + column * (self.place_width + _GAP) + part * (self.width + _INNER),
            row * self.place_height,
        )


def arrange(count: int, aspect: float, width: int, height: int, parts: int = 1) -> Grid:
    """Return the layout that makes pictures largest; an empty one where there is no room.

    Args:
        count: How many places.
        aspect: Width of a picture by its height; a cell is twice as high as wide.
        width: Columns that there are.
        height: Lines that there are.
        parts: Pictures a place.
    """
    best = Grid()
    for across in range(1, count + 1):
        down = math.ceil(count / across)
        place = (width - _GAP * (across - 1)) // across
        most_width = (place - _INNER * (parts - 1)) // parts
        most_height = height // down - _LABEL
        if most_width < _LEAST or most_height < 1:
            continue
        wide = min(most_width, int(most_height * 2 * aspect))
        high = max(1, min(most_height, round(wide / aspect / 2)))
        if wide >= 1 and wide * high > best.width * best.height:
            best = Grid(across, down, wide, high, parts)
    return best


def arrange_beside(count: int, aspect: float, width: int, height: int, parts: int = 1) -> Grid:
    """Return the layout with a large picture on the left; see `arrange`.

    Where there is no room for it there is none.
    """
    wide = (int(width * _SHARE) - _INNER * (parts - 1)) // parts
    wide = min(wide, int((height - _LABEL) * 2 * aspect))
    high = max(1, min(height - _LABEL, round(wide / aspect / 2)))
    if wide < _LEAST or height <= _LABEL:
        return arrange(count, aspect, width, height, parts)
    grid = Grid(parts=parts, lead=(wide, high))
    rest = arrange(count, aspect, width - grid.left, height, parts)
    return msgspec.structs.replace(rest, parts=parts, lead=grid.lead)
