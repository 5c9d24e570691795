"""Escape sequences of pictures: well-formed, within the protocols' limits, readable back."""

from __future__ import annotations

import asyncio
import base64
import os
import pty
import re
import stat
import struct
import zlib
from fcntl import ioctl
from pathlib import Path
from random import Random
from termios import TIOCSWINSZ
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ltx_tui.drawing.blocks import luma, mean_of, nearest_16, nearest_256, picture
from ltx_tui.drawing.signs import ASCII, UNICODE
from ltx_tui.drawing.wave_lines import time_line, wave
from ltx_tui.frames.grid import Grid, arrange
from ltx_tui.terminal import graphics

KITTY = re.compile(r"\x1b_G([^;]*)(?:;([^\x1b]*))?\x1b\\")
SIXEL = re.compile(r'\x1bP0;1;0q"1;1;(\d+);(\d+)((?:#\d+;2;\d+;\d+;\d+)*)([^\x1b]*)\x1b\\')


def keys_of(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split(","))


# Kitty


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1 << 16))
@settings(max_examples=30)
def test_kitty_pictures_come_back_whole(width: int, height: int, seed: int) -> None:
    pixels = Random(seed).randbytes(3 * width * height)
    sequences = graphics.kitty_send(17, (width, height), pixels, (6, 4))
    parts = KITTY.findall(sequences)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in parts) == sequences
    assert all(len(data) <= graphics.CHUNK for _, data in parts)
    assert all(len(data) % 4 == 0 for _, data in parts[:-1])
    more = [keys_of(keys)["m"] for keys, _ in parts]
    assert more == ["1"] * (len(parts) - 1) + ["0"]
    head = keys_of(parts[0][0])
    assert (head["a"], head["U"], head["q"], head["f"], head["o"]) == ("T", "1", "2", "24", "z")
    assert (head["i"], head["s"], head["v"]) == ("17", str(width), str(height))
    assert (head["c"], head["r"]) == ("6", "4")
    data = base64.b64decode("".join(data for _, data in parts))
    assert zlib.decompress(data) == pixels


def test_a_large_picture_takes_many_sequences() -> None:
    sequences = graphics.kitty_send(1, (100, 100), Random(1).randbytes(30_000), (10, 10))
    assert len(KITTY.findall(sequences)) == 10


def test_kitty_forgets_a_picture() -> None:
    [(keys, data)] = KITTY.findall(graphics.kitty_forget(17))
    assert keys_of(keys) == {"a": "d", "d": "I", "i": "17", "q": "2"}
    assert data == ""


def test_placeholders_take_a_cell_each_and_name_their_row() -> None:
    rows = [graphics.kitty_row(row, 5) for row in range(graphics.MOST_ROWS)]
    assert all(cell_len(row) == 5 for row in rows)
    assert len({row[1] for row in rows}) == graphics.MOST_ROWS
    assert all(row[2] == "\u0305" for row in rows)
    # The first entries of kitty's table.
    assert [row[1] for row in rows[:3]] == ["\u0305", "\u030d", "\u030e"]


def test_tmux_is_given_one_sequence_at_a_time() -> None:
    sequences = graphics.kitty_send(3, (40, 40), Random(1).randbytes(4800), (4, 4))
    wrapped = graphics.through_tmux(sequences)
    parts = re.findall(r"\x1bPtmux;((?:[^\x1b]|\x1b\x1b)*)\x1b\\", wrapped)
    assert "".join(f"\x1bPtmux;{part}\x1b\\" for part in parts) == wrapped
    assert "".join(part.replace("\x1b\x1b", "\x1b") for part in parts) == sequences
    assert len(parts) == len(KITTY.findall(sequences)) == 2


def test_sequences_go_to_the_driver_and_through_tmux_where_they_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    app: Any = SimpleNamespace(_driver=SimpleNamespace(write=written.append))
    graphics.write(app, graphics.kitty_forget(3), passing=True)
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    graphics.write(app, graphics.kitty_forget(3), passing=True)
    graphics.write(app, graphics.at_cell(0, 0, "x"))
    assert written[0] == graphics.kitty_forget(3)
    assert written[1] == graphics.through_tmux(written[0])
    assert written[2] == graphics.at_cell(0, 0, "x")
    graphics.write(SimpleNamespace(_driver=None), "x")  # type: ignore[arg-type]


# Sixel


def painted(sequence: str) -> tuple[tuple[int, int], dict[tuple[int, int], int], list[str]]:
    """Return size, the colour of each pixel, and the colours of a sixel picture."""
    found = SIXEL.fullmatch(sequence)
    assert found is not None
    pixels: dict[tuple[int, int], int] = {}
    x = y = colour = 0
    for token in re.findall(r"#\d+|!\d+.|[$\-]|[?-~]", found[4]):
        if token[0] == "#":
            colour = int(token[1:])
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            count, letter = (int(token[1:-1]), token[-1]) if token[0] == "!" else (1, token)
            for bit in range(6):
                if (ord(letter) - 63) >> bit & 1:
                    cells = {(x + step, y + bit): colour for step in range(count)}
                    assert not cells.keys() & pixels.keys()
                    pixels |= cells
            x += count
    return (int(found[1]), int(found[2])), pixels, re.findall(r"#\d+;2;(\d+;\d+;\d+)", found[3])


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 256), st.data())
@settings(max_examples=40)
def test_sixels_paint_every_pixel_once(
    width: int, height: int, colours: int, data: st.DataObject
) -> None:
    count = width * height
    indices = bytes(
        data.draw(st.lists(st.integers(0, colours - 1), min_size=count, max_size=count))
    )
    size, pixels, palette = painted(graphics.sixel((width, height), indices, bytes(3 * colours)))
    assert size == (width, height)
    assert bytes(pixels[at % width, at // width] for at in range(count)) == indices
    assert len(pixels) == count
    assert len(palette) == colours


def test_sixel_colours_are_percent() -> None:
    _, _, palette = painted(graphics.sixel((2, 1), b"\0\1", bytes((255, 128, 0, 0, 0, 255))))
    assert palette == ["100;50;0", "0;0;100"]


def test_no_more_than_256_colours() -> None:
    with pytest.raises(ValueError, match="257 colours"):
        graphics.sixel((1, 1), b"\0", bytes(3 * 257))
    with pytest.raises(ValueError, match="pixels"):
        graphics.sixel((2, 1), b"\0", bytes(3))


def test_a_cell_is_gone_to_and_come_back_from() -> None:
    assert graphics.at_cell(4, 2, "x") == "\x1b7\x1b[3;5Hx\x1b8"


# The terminal


def test_the_size_of_a_cell_is_that_of_the_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
        assert graphics.cell_size(theirs) == (10, 20)
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        assert graphics.cell_size(theirs) == (8, 16)
    finally:
        os.close(ours)
        os.close(theirs)
    assert graphics.cell_size(-1) == (8, 16)


@pytest.mark.parametrize(
    ("way", "says", "why"),
    [
        ("blocks", "", ""),
        ("kitty", "on", ""),
        ("kitty", "all", ""),
        ("kitty", "off", "allow-passthrough on"),
        ("kitty", "", "allow-passthrough on"),
        ("sixel", "1 256,RGB,sixel", ""),
        ("sixel", "1 256,RGB", "draws no sixels"),
        ("sixel", " 256,sixel", "draws no sixels"),
    ],
)
def test_tmux_is_asked_what_it_lets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: graphics.Way, says: str, why: str
) -> None:
    tmux = tmp_path / "tmux"
    tmux.write_text(f"#!/bin/sh\necho '{says}'\n")
    tmux.chmod(tmux.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert asyncio.run(graphics.obstacle(way, {})) == ""
    found = asyncio.run(graphics.obstacle(way, {"TMUX": "/tmp/tmux-0/default,1,0"}))
    assert why in found
    assert bool(found) == bool(why)


def test_no_tmux_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "allow-passthrough" in asyncio.run(graphics.obstacle("kitty", {"TMUX": "x"}))


# Blocks

CHECKS = bytes((255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255))  # 2 x 2


def test_two_pixels_stand_in_a_cell() -> None:
    [row] = picture(CHECKS, (2, 2))
    assert [segment.text for segment in row] == ["▀", "▀"]
    first, second = (segment.style for segment in row)
    assert first is not None
    assert second is not None
    assert first.color is not None
    assert first.color.get_truecolor() == (252, 0, 0)
    assert first.bgcolor is not None
    assert first.bgcolor.get_truecolor() == (0, 0, 252)
    assert second.bgcolor is not None
    assert second.bgcolor.get_truecolor() == (252, 252, 252)


def test_cells_that_look_the_same_are_one_run() -> None:
    [row] = picture(bytes((9, 9, 9)) * 20, (10, 2))
    assert [segment.text for segment in row] == ["▀" * 10]


def test_an_odd_last_row_fills_its_cells() -> None:
    rows = picture(bytes((200, 0, 0)) * 3, (1, 3))
    assert len(rows) == 2
    style = rows[1][0].style
    assert style is not None
    assert style.color == style.bgcolor


def test_without_colours_light_is_ink() -> None:
    ramp = b"".join(bytes((v, v, v)) for v in (0, 60, 128, 200, 255)) * 2
    assert picture(ramp, (5, 2), depth="none")[0][0].text == " ░▒▓█"
    assert picture(ramp, (5, 2), depth="none", dark=False)[0][0].text == "█▓▒░ "
    assert picture(ramp, (5, 2), depth="none", plain=True)[0][0].text == " .:+#"
    assert all(segment.style is None for segment in picture(ramp, (5, 2), depth="none")[0])


def test_plain_colours_stand_behind_spaces() -> None:
    rows = picture(CHECKS, (2, 2), plain=True)
    assert "".join(segment.text for segment in rows[0]) == "  "
    assert mean_of(CHECKS, 2, 0, 0) == bytes((127, 0, 127))


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_palettes_come_near(red: int, green: int, blue: int) -> None:
    from rich.color import Color

    near = Color.from_ansi(nearest_256(red, green, blue)).get_truecolor()
    apart = [a - b for a, b in zip(near, (red, green, blue), strict=True)]
    # The cube's levels are at most 95 apart.
    assert sum(one**2 for one in apart) <= 3 * 48**2
    assert 0 <= nearest_16(red & 0xF0, green & 0xF0, blue & 0xF0) < 16


def test_greys_stay_grey_in_256_colours() -> None:
    assert nearest_256(128, 128, 128) in range(232, 256)
    assert nearest_256(255, 0, 0) == 196
    assert nearest_16(255, 0, 0) == 9
    assert luma((255, 255, 255)) == 255


@pytest.mark.parametrize("depth", ["256", "16"])
def test_few_colours_use_the_palette(depth: str) -> None:
    [row] = picture(CHECKS, (2, 2), depth=depth)  # type: ignore[arg-type]
    for segment in row:
        assert segment.style is not None
        assert segment.style.color is not None
        assert segment.style.color.number is not None


# The layout


@given(
    st.integers(1, 64),
    st.floats(0.2, 5),
    st.integers(1, 200),
    st.integers(1, 60),
    st.integers(1, 2),
)
def test_pictures_have_room(count: int, aspect: float, width: int, height: int, parts: int) -> None:
    grid = arrange(count, aspect, width, height, parts)
    if not grid.across:
        assert grid == Grid()
        return
    assert grid.across * grid.down >= count
    for place in range(count):
        for part in range(parts):
            column, line = grid.at(place, part)
            assert column >= 0
            assert column + grid.width <= width
            assert line + grid.place_height <= height


def test_six_wide_frames_stand_in_two_rows_at_80_columns() -> None:
    grid = arrange(6, 16 / 9, 78, 15)
    assert (grid.across, grid.down) == (3, 2)
    assert arrange(1, 1, 3, 3) == Grid()


# Lines of time and sound


def test_the_time_line_says_what_is_kept() -> None:
    parts = time_line(40, 4.0, (0.0, 2.0), (0.0, 2.0, 3.9), UNICODE)
    assert [len(part) for part in parts] == [0, 20, 20]
    assert " kept " in parts[1]
    assert " not kept " in parts[2]
    assert parts[1][0] == "┻"
    assert (parts[2][0], parts[2][19]) == ("┴", "┴")
    assert set("".join(time_line(40, 4.0, (1.0, 2.0), (0.0,), ASCII))) <= set("=-^ keptno")
    assert time_line(5, 0.0, (0.0, 0.0), (), UNICODE) == ("", "", "╌╌╌╌╌")


def test_a_wave_fills_its_height_and_silence_is_a_line() -> None:
    loud = wave([-1.0] * 8, [1.0] * 8, 4, 3, UNICODE)
    assert loud == ["⣿⣿⣿⣿"] * 3
    quiet = wave([], [], 4, 3, UNICODE)
    assert quiet[0].strip("⠀") == quiet[2].strip("⠀") == ""
    assert len(set(quiet[1])) == 1
    assert wave([-1, 0], [1, 0], 2, 3, ASCII) == ["# ", "##", "# "]
    assert wave([-1] * 100, [1] * 100, 2, 1, ASCII) == ["##"]
