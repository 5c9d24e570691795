"""The theme files: variables that Textual takes, and colours that every terminal shows alike."""

import re
import tomllib
from pathlib import Path

import pytest
from textual.theme import Theme

FILES = sorted((Path(__file__).parents[2] / "themes").glob("*.toml"))
STEPS = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)


def in_256_colours(colour: str) -> bool:
    """Tell whether a colour is a step of the terminal's colour cube or its ramp of greys."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    grey = red == green == blue and 8 <= red <= 238 and (red - 8) % 10 == 0
    return grey or {red, green, blue} <= set(STEPS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_textual_takes_the_theme(file: Path) -> None:
    values = tomllib.loads(file.read_text("utf-8"))
    assert values["name"] == file.stem
    colours = Theme(**values).to_color_system().generate()
    assert {"primary", "error", "background", "text"} <= set(colours)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_colours_survive_256_colour_terminals(file: Path) -> None:
    colours = re.findall(r'"(#\w+)"', file.read_text("utf-8"))
    assert [colour for colour in colours if not in_256_colours(colour)] == []
