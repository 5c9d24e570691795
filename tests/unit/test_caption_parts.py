"""A caption taken apart for the editor, and put together again without a change of its own."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.captions import SECTION_NAMES
from engine.text import visible
from ltx_tui.captions.disguise import Disguise, plain
from ltx_tui.captions.parts import PLAIN, CaptionParts, has_sections

PIECES = ["[VISUAL]:", "[speech] :", "[TEXT]:", " ", "\n", "\r\n", "\r", "\x07", "␇", "a fox", "."]
CAPTION = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
ANY = st.text(st.characters(exclude_categories=()), max_size=30)


@given(st.one_of(CAPTION, ANY))
@example("\x07␇")
@example("a\r\nb")
def test_what_stands_for_a_text_leads_back_to_it(text: str) -> None:
    disguise = Disguise(text)
    shown = disguise.shown(text)
    assert disguise.real(shown) == text
    assert all(visible(letter) == letter for letter in shown if letter not in "\n\t")


@given(st.one_of(CAPTION, ANY), st.booleans())
def test_what_is_not_changed_stays_as_it_is(caption: str, by_section: bool) -> None:
    parts = CaptionParts(caption, by_section=by_section)
    assert parts.caption(dict(parts.shown)) == caption
    assert set(parts.shown) == set(parts.names)


@given(CAPTION, st.data())
def test_only_the_section_that_is_changed_is_another(caption: str, data: st.DataObject) -> None:
    parts = CaptionParts(caption, by_section=True)
    name = data.draw(st.sampled_from(parts.names))
    shown = {**parts.shown, name: "x" + parts.shown[name]}
    again = CaptionParts(parts.caption(shown), by_section=True)
    if not parts.is_plain:
        assert {key: text for key, text in again.shown.items() if text} == {
            key: text for key, text in shown.items() if text
        }


@given(CAPTION, st.booleans(), st.integers(0, 40))
def test_each_place_of_a_caption_is_in_one_of_its_pieces(
    caption: str, by_section: bool, offset: int
) -> None:
    parts = CaptionParts(caption, by_section=by_section)
    name, there = parts.place(min(offset, len(caption)))
    assert name in parts.names
    assert 0 <= there <= len(parts.shown[name])


def test_places_of_sections() -> None:
    parts = CaptionParts("[VISUAL]: a fox\n[TEXT]: none", by_section=True)
    assert parts.place(12) == ("VISUAL", 2)
    assert parts.place(28) == ("TEXT", 4)
    assert parts.place(0) == ("VISUAL", 0)
    assert CaptionParts("ab", by_section=False).place(9) == (PLAIN, 2)


def test_which_pieces_there_are() -> None:
    assert CaptionParts("", by_section=True).names == SECTION_NAMES
    assert CaptionParts("a [TEXT]: b", by_section=True).names == (PLAIN, *SECTION_NAMES)
    assert CaptionParts("a [TEXT]: b", by_section=False).names == (PLAIN,)
    twice = CaptionParts("[TEXT]: a [TEXT]: b", by_section=True)
    assert twice.is_plain
    assert "twice" in twice.reason


def test_sections_that_are_not_there_stay_away_until_they_are_written() -> None:
    parts = CaptionParts("[VISUAL]: a", by_section=True)
    shown = {**parts.shown, "VISUAL": "b"}
    assert parts.caption(shown) == "[VISUAL]: b"
    assert parts.caption({**shown, "TEXT": "c"}) == "[VISUAL]: b\n[TEXT]: c"


@pytest.mark.parametrize(
    ("caption", "found"), [("[visual]: a", True), ("a", False), ("", False), ("[OTHER]: a", False)]
)
def test_whether_a_caption_has_sections(caption: str, found: bool) -> None:
    assert has_sections(caption) is found


def test_what_is_pasted_is_what_can_be_typed() -> None:
    assert plain("a\r\nb\rc\td\x1b[31m\u202e") == "a\nb\nc\td[31m"
