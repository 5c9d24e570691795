"""Pictures in terminals that can draw them, as escape sequences: kitty's protocol and sixels.

Kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/ . A picture is sent once and stands where
placeholder characters with its number are written, so that it moves, is covered and goes away like
text, inside tmux as well. Sixels: the DEC VT330/VT340 graphics programming manual, chapter 14; they
are painted over the cells at the cursor.
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import struct
import sys
import termios
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

from ltx_tui.config.user import Graphics
from ltx_tui.terminal.tmux import tmux

if TYPE_CHECKING:
    from textual.app import App

Way = Graphics
WAYS: tuple[Way, ...] = get_args(Way)

# Kitty takes so many characters of base64 in one sequence.
CHUNK = 4096
PLACEHOLDER = "\U0010eeee"
# Kitty numbers rows by combining characters: from its rowcolumn-diacritics.txt, in that order.
_ROWS = (
    "\u0305\u030d\u030e\u0310\u0312\u033d\u033e\u033f\u0346\u034a\u034b\u034c\u0350\u0351\u0352"
    "\u0357\u035b\u0363\u0364\u0365\u0366\u0367\u0368\u0369\u036a\u036b\u036c\u036d\u036e\u036f"
    "\u0483\u0484\u0485\u0486\u0487\u0592\u0593\u0594\u0595\u0597\u0598\u0599\u059c\u059d\u059e"
    "\u059f\u05a0\u05a1\u05a8\u05a9\u05ab\u05ac\u05af\u05c4\u0610\u0611\u0612\u0613\u0614\u0615"
)
MOST_ROWS = len(_ROWS)
# What a cell is taken for where the terminal does not say.
_CELL = (8, 16)


# Kitty


def kitty_send(number: int, size: tuple[int, int], pixels: bytes, cells: tuple[int, int]) -> str:
    """Return the sequences that give a terminal a picture, to be shown at its placeholders.

    Args:
        number: 1 … 255, which is also the colour of its placeholders.
        size: Width and height in pixels.
        pixels: RGB, three bytes a pixel.
        cells: Columns and rows that it fills.
    """
    data = base64.standard_b64encode(zlib.compress(pixels, 1)).decode()
    head = f"a=T,U=1,q=2,f=24,o=z,t=d,i={number},s={size[0]},v={size[1]},c={cells[0]},r={cells[1]}"
    parts = []
    for at in range(0, max(len(data), 1), CHUNK):
        more = int(at + CHUNK < len(data))
        keys = f"{head},m={more}" if not at else f"q=2,m={more}"
        parts.append(f"\x1b_G{keys};{data[at : at + CHUNK]}\x1b\\")
    return "".join(parts)


def kitty_forget(number: int) -> str:
    """Return the sequence that takes a picture from the screen and from the memory."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def kitty_row(row: int, columns: int) -> str:
    """Return the placeholders of a row of a picture, to be written in the colour of its number.

    The first one names row and column; those that follow go on from it.
    """
    return PLACEHOLDER + _ROWS[row] + _ROWS[0] + PLACEHOLDER * (columns - 1)


def through_tmux(sequences: str) -> str:
    """Wrap sequences so that tmux passes them on: each escape character doubled."""
    return "".join(
        "\x1bPtmux;" + one.replace("\x1b", "\x1b\x1b") + "\x1b\\" for one in _split(sequences)
    )


def _split(sequences: str) -> Iterator[str]:
    """Yield one sequence at a time: tmux limits how long one may be."""
    for one in re.split(r"(?<=\x1b\\)", sequences):
        if one:
            yield one


# Sixels


def sixel(size: tuple[int, int], indices: bytes, palette: bytes) -> str:
    """Return the sequence that paints a picture at the cursor.

    Args:
        size: Width and height in pixels.
        indices: A byte a pixel, row by row: which colour.
        palette: Three bytes a colour, at most 256.

    Raises:
        ValueError: There are more colours, or not as many pixels as the size says.
    """
    width, height = size
    count = len(palette) // 3
    if count > 256 or len(indices) != width * height:
        raise ValueError(f"{count} colours and {len(indices)} pixels for {width}x{height}")
    parts = [f'\x1bP0;1;0q"1;1;{width};{height}']
    for colour in range(count):
        levels = (round(one * 100 / 255) for one in palette[3 * colour : 3 * colour + 3])
        parts.append("#{};2;{};{};{}".format(colour, *levels))
    for top in range(0, height, 6):
        rows = [
            indices[row * width : (row + 1) * width] for row in range(top, min(height, top + 6))
        ]
        parts.append("$".join(_band(rows)) + "-")
    parts[-1] = parts[-1].removesuffix("-")
    return "".join(parts) + "\x1b\\"


def _band(rows: list[bytes]) -> Iterator[str]:
    """Yield six rows of pixels, colour by colour."""
    width = len(rows[0])
    for colour in sorted(set(b"".join(rows))):
        bits = 0
        for number, row in enumerate(rows):
            # One big number a row: a byte a pixel, with this row's bit where it has the colour.
            table = bytearray(256)
            table[colour] = 1 << number
            bits |= int.from_bytes(row.translate(bytes(table)), "big")
        letters = bits.to_bytes(width, "big").translate(_LETTERS).decode("ascii")
        yield f"#{colour}" + _SAME.sub(_repeat, letters.rstrip("?"))


_LETTERS = bytes(63 + min(value, 63) for value in range(256))
_SAME = re.compile(r"(.)\1{3,}")


def _repeat(found: re.Match[str]) -> str:
    return f"!{len(found[0])}{found[1]}"


def at_cell(column: int, row: int, sequences: str) -> str:
    """Return sequences that are carried out at a cell, counted from 0; the cursor comes back."""
    return f"\x1b7\x1b[{row + 1};{column + 1}H{sequences}\x1b8"


def write(app: App[Any], sequences: str, *, passing: bool = False) -> None:
    """Send sequences to an app's terminal.

    Args:
        app: The app; one that has no terminal is sent nothing.
        sequences: Whole ones.
        passing: Whether tmux has to pass them on.
    """
    driver = app._driver
    if driver is not None:
        driver.write(through_tmux(sequences) if passing and os.environ.get("TMUX") else sequences)


# What the terminal can do


def cell_size(fd: int | None = None) -> tuple[int, int]:
    """Return width and height of a cell in pixels; a usual size where nobody knows."""
    try:
        fd = sys.__stderr__.fileno() if fd is None else fd  # type: ignore[union-attr]
        found = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    except (OSError, ValueError, AttributeError):
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", found)
    if not (rows and columns and width >= columns and height >= rows):
        return _CELL
    return width // columns, height // rows


async def obstacle(way: Way, environ: Mapping[str, str] = os.environ) -> str:
    """Return why pictures cannot be drawn in some way; empty where they can, as far as is known.

    Nothing is asked of the terminal itself, whose answer could be taken for keys.
    """
    if way == "blocks" or not environ.get("TMUX"):
        return ""
    if way == "kitty":
        allowed = await tmux("show-options", "-Apqv", "allow-passthrough")
        if allowed in ("on", "all"):
            return ""
        return "tmux keeps kitty's pictures back: `tmux set -g allow-passthrough on`, then i again"
    asked = "#{sixel_support} #{client_termfeatures}"
    features = await tmux("display-message", "-p", asked) or ""
    if features.startswith("1 ") and "sixel" in features[2:].split(","):
        return ""
    return (
        "this tmux draws no sixels: it takes tmux 3.4 built with them, and a terminal that has them"
    )
