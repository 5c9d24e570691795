"""README and docs: links lead somewhere, pictures are ours, everything there is is explained."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from engine.overview.types import CaptionState, OutputState
from engine.precompute.layout import Stage
from ltx_tui.cli.main import COMMANDS
from ltx_tui.clips.columns import caption_sign, output_sign
from ltx_tui.clips.filter_keys import KEYS
from ltx_tui.clips.filters import parse
from ltx_tui.clips.sorting import COLUMNS
from ltx_tui.config.user import Config
from ltx_tui.drawing.signs import ASCII
from ltx_tui.keymap import _UNSAFE
from ltx_tui.screens.too_small import HEIGHT, WIDTH
from ltx_tui.screens.workbench import WIDE
from ltx_tui.terminal import guard
from ltx_tui.themes import theme_names

guard.prepare()

from tests.tui.conftest import svg_lines  # noqa: E402 - it imports Textual
from tests.tui.pictures import FOLDER, PICTURES, draw  # noqa: E402

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
LARGEST = 200_000


def page(name: str) -> str:
    """Return a page of docs."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def anchors(text: str) -> set[str]:
    """Return what the headings of a page are linked as."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {head.replace(" ", "-") for head in plain}


def rows_of(text: str, title: str) -> dict[str, str]:
    """Return the rows of the first table under a heading, by what stands first in them."""
    part = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`|]+)` \|(.*)\|$", part, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    text = file.read_text("utf-8")
    for link in LINK.findall(text):
        path, _, anchor = unquote(link).partition("#")
        assert "://" not in path, f"{link}: pages work without a network"
        target = (file.parent / path) if path else file
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(PAGES[0].read_text("utf-8"))}
    assert {f"docs/{file.name}" for file in DOCS.glob("*.md")} <= linked


# Pictures


def test_every_picture_is_shown_and_made() -> None:
    shown = {
        (file.parent / link).resolve()
        for file in PAGES
        for link in LINK.findall(file.read_text("utf-8"))
        if link.endswith(".svg")
    }
    assert {file.resolve() for file in FOLDER.glob("*.svg")} == shown
    assert {f"{name}.svg" for name in PICTURES} <= {file.name for file in shown}, "scripts/pictures"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.svg")), ids=lambda file: file.name)
def test_pictures_are_small_and_know_no_other_host_and_no_folder(file: Path) -> None:
    text = file.read_text("utf-8")
    assert len(text.encode()) < LARGEST
    assert set(re.findall(r"https?://[^\s\"')]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@font-face" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    words = re.sub(r"<[^>]+>", " ", text)
    assert not re.search(r"(?<![\w.…])/(?:tmp|home|root|Users|var|work)/", words)


def test_pictures_can_be_made_again() -> None:
    svg = draw("plan")
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>\n")
    assert "Why stale" in [line.strip() for line in svg_lines(svg)]


# What has to be explained


def test_every_key_of_the_configuration_is_explained() -> None:
    table = rows_of(page("settings-and-keys"), "Your own")
    assert set(table) == set(Config.__struct_fields__) - {"file"}
    assert "`true`" in table["mouse"]
    assert f'`"{Config().graphics}"`' in table["graphics"]


def test_every_theme_is_named() -> None:
    named = set(re.findall(r"`(ltx-(?!tui)\w+)`", page("settings-and-keys")))
    assert named == set(theme_names())


def test_every_key_that_cannot_be_used_is_named() -> None:
    text = page("settings-and-keys")
    assert [key for key in _UNSAFE if f"`{key}`" not in text] == []


def test_every_key_of_the_filter_language_is_explained() -> None:
    table = rows_of(page("workbench"), "Filters")
    assert set(table) == set(KEYS)
    for name, key in KEYS.items():
        wanted = key.values if name != "stage" else ()
        if name not in ("audio", "marked"):
            assert [value for value in wanted if f"`{value}`" not in table[name]] == []


def test_every_example_of_a_filter_can_be_understood() -> None:
    text = page("workbench").partition("## Filters\n")[2].partition("\n## ")[0]
    examples = [one for one in re.findall(r"`([^`]+)`", text) if re.search(r"\w:\S", one)]
    assert len(examples) > 20
    for one in examples:
        if one != "key:value":
            parse(one)


def test_every_stage_and_column_and_sign_is_named() -> None:
    text = page("workbench")
    assert [stage for stage in Stage if f"`{stage}`" not in text] == []
    for state in CaptionState:
        assert f"| {caption_sign(state)[0]} | {caption_sign(state, ASCII)[0]} |" in text, state
    for one in OutputState:
        assert f"| {output_sign(one)[0]} | {output_sign(one, ASCII)[0]} |" in text, one
    names = {"length": "len"}
    for column in COLUMNS:
        assert re.search(rf"^\|[^|]*\b{names.get(column, column)}\b", text, re.MULTILINE), column


def test_sizes_of_the_terminal_are_those_of_the_program() -> None:
    assert f"Below {WIDTH}×{HEIGHT} a notice" in page("workbench")
    assert f"From {WIDE} columns on" in page("workbench")
    assert f"| least size | {WIDTH}×{HEIGHT};" in page("settings-and-keys")


def test_every_command_is_explained() -> None:
    text = page("commands")
    assert [name for name in COMMANDS if not re.search(rf"`(?:ltx-tui )?{name}\b", text)] == []
