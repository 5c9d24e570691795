"""Drawing with the dots of braille characters, two across and four down in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

ACROSS, DOWN = 2, 4
# The bits of a character's dots, by column and by row from the top.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_FIRST = 0x2800

# A character, and what it shows; a space shows nothing.
Cell = tuple[str, str]


def letter(bits: int) -> str:
    """Return the character that has the dots of these bits."""
    return chr(_FIRST + bits)


def cells(
    points: Mapping[tuple[int, int], Iterable[str]],
    width: int,
    height: int,
    order: Sequence[str],
    plain: Mapping[str, str] | None = None,
) -> list[list[Cell]]:
    """Return the rows of a drawing.

    Args:
        points: What is at each point (across, down); four times as many rows of points as of
            characters, and twice as many columns.
        width: Columns of the drawing.
        height: Its rows.
        order: What wins where several things meet in a character, the first over all others.
        plain: A character for each thing, of which each point is one then; None to draw dots.
    """
    across, down = (ACROSS, DOWN) if plain is None else (1, 1)
    bits: dict[tuple[int, int], int] = {}
    kinds: dict[tuple[int, int], set[str]] = {}
    for (x, y), what in points.items():
        cell = (x // across, y // down)
        kinds.setdefault(cell, set()).update(what)
        if plain is None:
            bits[cell] = bits.get(cell, 0) | DOTS[x % ACROSS][y % DOWN]
    result = []
    for row in range(height):
        line: list[Cell] = []
        for column in range(width):
            there = kinds.get((column, row), set())
            kind = next((one for one in order if one in there), "")
            if not kind:
                line.append((" ", ""))
            elif plain is None:
                line.append((letter(bits[column, row]), kind))
            else:
                line.append((plain[kind], kind))
        result.append(line)
    return result
