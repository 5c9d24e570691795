"""Pictures out of characters: two pixels a cell in colour, shades of one character without."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App

Depth = Literal["truecolor", "256", "16", "none"]
Row = list[Segment]
Rgb = tuple[int, int, int]

_UPPER = "▀"
# From dark to bright.
_SHADES = " ░▒▓█"
_PLAIN_SHADES = " .:+#"
# BT.601 luma in 256ths.
_RED, _GREEN, _BLUE = 77, 150, 29
# The system colours of xterm, as most terminals have them or nearly so.
_SYSTEM: tuple[Rgb, ...] = (
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0),
    (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
    (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0),
    (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255),
)  # fmt: skip
# An ordered dither of 4 x 4, -0.5 ... 0.5 in sixteenths.
_BAYER = ((0, 8, 2, 10), (12, 4, 14, 6), (3, 11, 1, 9), (15, 7, 13, 5))
_AMPLITUDE = 96
# Levels of the 6 x 6 x 6 cube of 256 colours.
_CUBE = (0, 95, 135, 175, 215, 255)
_NEAREST = tuple(min(range(6), key=lambda at: abs(_CUBE[at] - value)) for value in range(256))


def depth_of(app: App[Any]) -> Depth:
    """Return how many colours an app's terminal shows."""
    if app.no_color:
        return "none"
    system = app.console.color_system
    return "16" if system in ("standard", "windows") else system or "none"  # type: ignore[return-value]


def picture(
    pixels: bytes,
    size: tuple[int, int],
    *,
    depth: Depth = "truecolor",
    dark: bool = True,
    plain: bool = False,
) -> list[Row]:
    """Return the rows of a picture, each as segments.

    Args:
        pixels: RGB, three bytes a pixel, row by row.
        size: Width and height in pixels; two rows of them make a row of cells.
        depth: Colours of the terminal.
        dark: Whether its background is dark: without colours, ink is light then.
        plain: Only characters of ASCII, one pixel of two rows a cell.
    """
    width, height = size
    rows = []
    for top in range(0, height, 2):
        upper = pixels[3 * width * top : 3 * width * (top + 1)]
        lower = pixels[3 * width * (top + 1) : 3 * width * (top + 2)] or upper
        if depth == "none":
            rows.append([Segment(_shades(upper, lower, dark=dark, plain=plain))])
        elif plain:
            rows.append(_spaces(upper, lower, top, depth))
        else:
            rows.append(_halves(upper, lower, top, depth))
    return rows


def _halves(upper: bytes, lower: bytes, y: int, depth: Depth) -> Row:
    cells = [
        _half(
            _colour(upper[at : at + 3], at // 3, y, depth),
            _colour(lower[at : at + 3], at // 3, y + 1, depth),
        )
        for at in range(0, len(upper), 3)
    ]
    return _joined(_UPPER, cells)


def _spaces(upper: bytes, lower: bytes, y: int, depth: Depth) -> Row:
    cells = [
        _ground(_colour(_mean(upper[at : at + 3], lower[at : at + 3]), at // 3, y, depth))
        for at in range(0, len(upper), 3)
    ]
    return _joined(" ", cells)


def _joined(letter: str, cells: list[Style]) -> Row:
    """Return cells as segments, those beside each other that look the same as one."""
    row: Row = []
    count = 0
    for number, how in enumerate(cells):
        count += 1
        if number + 1 == len(cells) or cells[number + 1] is not how:
            row.append(Segment(letter * count, how))
            count = 0
    return row


def _shades(upper: bytes, lower: bytes, *, dark: bool, plain: bool) -> str:
    letters = _PLAIN_SHADES if plain else _SHADES
    text = []
    for at in range(0, len(upper), 3):
        light = luma(_mean(upper[at : at + 3], lower[at : at + 3]))
        step = min(len(letters) - 1, light * len(letters) // 256)
        text.append(letters[step if dark else len(letters) - 1 - step])
    return "".join(text)


def luma(rgb: bytes | Rgb) -> int:
    """Return how bright a colour is, 0 … 255."""
    return (_RED * rgb[0] + _GREEN * rgb[1] + _BLUE * rgb[2]) >> 8


def _mean(one: bytes, other: bytes) -> bytes:
    return bytes((a + b) >> 1 for a, b in zip(one, other, strict=True))


def mean_of(pixels: bytes, width: int, column: int, row: int) -> bytes:
    """Return the colour of a cell: the mean of its two pixels."""
    at = 3 * (2 * row * width + column)
    upper = pixels[at : at + 3]
    return _mean(upper, pixels[at + 3 * width : at + 3 * width + 3] or upper)


def _colour(rgb: bytes, x: int, y: int, depth: Depth) -> int:
    """Return a colour as a number: 24 bits of RGB, or below 0 one of the terminal's palette."""
    if depth == "truecolor":
        # A bit less in each channel is not seen, and makes styles that are used again.
        return (rgb[0] & 0xFC) << 16 | (rgb[1] & 0xFC) << 8 | rgb[2] & 0xFC
    if depth == "256":
        return -1 - nearest_256(rgb[0] & 0xFC, rgb[1] & 0xFC, rgb[2] & 0xFC)
    shift = (2 * _BAYER[y % 4][x % 4] - 15) * _AMPLITUDE // 32
    red, green, blue = (max(0, min(255, value + shift)) & 0xF0 for value in rgb)
    return -1 - nearest_16(red, green, blue)


@lru_cache(1 << 15)
def nearest_256(red: int, green: int, blue: int) -> int:
    """Return the nearest of the 240 fixed colours of a 256-colour terminal."""
    steps = (_NEAREST[red], _NEAREST[green], _NEAREST[blue])
    cube = (_CUBE[steps[0]], _CUBE[steps[1]], _CUBE[steps[2]])
    grey = max(0, min(23, (luma((red, green, blue)) - 3) // 10))
    level = 8 + 10 * grey
    wanted = (red, green, blue)
    if _distance(wanted, (level, level, level)) < _distance(wanted, cube):
        return 232 + grey
    return 16 + 36 * steps[0] + 6 * steps[1] + steps[2]


@lru_cache(1 << 12)
def nearest_16(red: int, green: int, blue: int) -> int:
    """Return the nearest of the 16 system colours."""
    return min(range(16), key=lambda at: _distance((red, green, blue), _SYSTEM[at]))


def _distance(one: Rgb, other: Rgb) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


@lru_cache(1 << 14)
def _half(upper: int, lower: int) -> Style:
    return Style(color=_rich(upper), bgcolor=_rich(lower))


@lru_cache(1 << 12)
def _ground(colour: int) -> Style:
    return Style(bgcolor=_rich(colour))


def _rich(colour: int) -> Color:
    if colour < 0:
        return Color.from_ansi(-1 - colour)
    return Color.from_rgb(colour >> 16, colour >> 8 & 255, colour & 255)
