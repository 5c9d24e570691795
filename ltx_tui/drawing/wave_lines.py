"""A sound and the time of a clip as lines of characters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ltx_tui.drawing import braille
from ltx_tui.drawing.signs import Signs

Part = tuple[str, str]
"""Text and the role of its colour."""


def steps_of(width: int, signs: Signs) -> int:
    """Return how many steps of time a line of some columns can show."""
    return braille.ACROSS * width if signs.dots else width


def wave(
    low: Sequence[float], high: Sequence[float], width: int, height: int, signs: Signs
) -> list[str]:
    """Return the outline of a sound; where there is none, the line of silence.

    Args:
        low: The lowest samples, −1 … 1, of equal steps of time; best are `steps_of(width)`.
        high: The highest samples.
        width: Columns of the lines.
        height: How many lines.
        signs: Braille, or plain characters.
    """
    count = steps_of(width, signs)
    spans = list(zip(_resized(low, count, min), _resized(high, count, max), strict=True))
    if not signs.dots:
        columns = [_filled(span, height) for span in spans]
        return ["".join("#" if line in one else " " for one in columns) for line in range(height)]
    columns = [_filled(span, braille.DOWN * height) for span in spans]
    return [
        "".join(_dots(columns[2 * x], columns[2 * x + 1], line) for x in range(width))
        for line in range(height)
    ]


def _resized(
    values: Sequence[float], count: int, pick: Callable[[Iterable[float]], float]
) -> list[float]:
    if not values:
        return [0.0] * count
    size = len(values)
    return [
        pick(values[at * size // count : max(at * size // count + 1, (at + 1) * size // count)])
        for at in range(count)
    ]


def _filled(span: tuple[float, float], lines: int) -> range:
    """Return which of some lines, from the top, lie between two samples; at least one."""
    low, high = (max(-1.0, min(1.0, value)) for value in span)
    first = round((1 - high) / 2 * (lines - 1))
    return range(first, max(first, round((1 - low) / 2 * (lines - 1))) + 1)


def _dots(left: range, right: range, line: int) -> str:
    """Return the character of a line whose two columns of dots are filled like this."""
    bits = 0
    for column, filled in enumerate((left, right)):
        for dot in range(braille.DOWN):
            if braille.DOWN * line + dot in filled:
                bits |= braille.DOTS[column][dot]
    return braille.letter(bits)


def time_line(
    width: int,
    seconds: float,
    kept: tuple[float, float],
    marks: Sequence[float],
    signs: Signs,
    points: tuple[float, float] | None = None,
) -> tuple[str, str, str]:
    """Return the line of time in three parts: before, inside and after what is kept.

    Args:
        width: Columns of all three.
        seconds: What they stand for.
        kept: Beginning and end of what is kept, in seconds; the same for nothing.
        marks: When the frames that are shown are.
        signs: Lines, or plain characters.
        points: In and out point of a window, in seconds; None for none.
    """
    heavy, light, on_heavy, on_light = "━╌┻┴" if signs.dots else "=-^^"

    def column(time: float) -> int:
        return max(0, min(width, round(time / seconds * width))) if seconds > 0 else 0

    first, last = column(kept[0]), column(kept[1])
    if kept[1] > kept[0]:
        last = min(width, max(last, first + 1))
    letters = [heavy if first <= x < last else light for x in range(width)]
    for time in marks:
        x = min(width - 1, column(time))
        letters[x] = on_heavy if letters[x] in (heavy, on_heavy) else on_light
    if points is not None:
        at_in = min(width - 1, column(points[0]))
        # The bracket of the out point stands on the window's last column.
        letters[max(at_in, column(points[1]) - 1)], letters[at_in] = "]", "["
    for begin, end, word in ((first, last, " kept "), (last, width, " not kept ")):
        _write(letters, begin, end, word, (heavy, light))
    line = "".join(letters)
    return line[:first], line[first:last], line[last:]


def _write(letters: list[str], begin: int, end: int, word: str, free: tuple[str, str]) -> None:
    """Write a word over a part of a line, as near to its middle as there is room between marks."""
    middle = (begin + end - len(word)) // 2
    chances = sorted(range(begin + 1, end - len(word)), key=lambda at: abs(at - middle))
    for at in chances:
        if all(letter in free for letter in letters[at : at + len(word)]):
            letters[at : at + len(word)] = word
            return


def overwritten(parts: Sequence[Part], column: int, letter: str, role: str) -> list[Part]:
    """Return (text, role) pieces of a line with another letter at a column."""
    pieces: list[Part] = []
    for text, own in parts:
        if 0 <= column < len(text):
            pieces += [(text[:column], own), (letter, role), (text[column + 1 :], own)]
        else:
            pieces.append((text, own))
        column -= len(text)
    return pieces
