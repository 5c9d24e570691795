import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.captions import (
    SECTION_NAMES,
    format_sections,
    prompt,
    sections,
    strip_llm_prefix,
)

pieces = st.lists(
    st.one_of(
        st.sampled_from(["[VISUAL]:", "[speech]:", "[SOUNDS] :", "[TEXT]:", "\n", " ", "[TEXT]"]),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


def test_the_prompt_is_trigger_space_caption_and_nothing_else():
    caption = "  A caption with spaces around it  "
    assert prompt(caption) == caption
    assert prompt(caption, "TINYTOK") == "TINYTOK   A caption with spaces around it  "
    assert prompt("", "TOK") == "TOK "
    assert prompt("The video shows a dog.", "TOK", strip_prefixes=True) == "TOK A dog."
    assert prompt("The video shows a dog.", "TOK") == "TOK The video shows a dog."


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("The video shows a portrait shot", "A portrait shot"),
        ("This video depicts two dogs.", "Two dogs."),
        ("this clip features a cat", "a cat"),
        ("The image captures iPhone screens", "iPhone screens"),
        ("The video shows NASA's launch", "NASA's launch"),
        ("In this video clip, we see a river", "A river"),
        ("In the video, a man walks", "A man walks"),
        ("The video shows that a man walks", "A man walks"),
        ("Caption: a lake", "A lake"),
        ("  The video begins with a sunrise", "A sunrise"),
        ("The video shows élan", "Élan"),
        ("The video shows 3 men", "3 men"),
    ],
)
def test_an_opening_is_dropped_at_the_start(caption, expected):
    assert strip_llm_prefix(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "The video shows",
        "The video shows  ",
        "A man walks. The video shows a dog.",
        "The video showshow",
        "The videographer shows a picture",
        "  A caption with spaces around it  ",
        "[VISUAL]: The video shows a dog",
        "A scene of calm",
    ],
)
def test_anything_else_is_left_alone(caption):
    assert strip_llm_prefix(caption) == caption


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=100)
def test_what_is_dropped_is_only_ever_the_start(caption):
    whole = "The video shows " + caption
    ends = {whole[at:] for at in range(len(whole))}
    assert strip_llm_prefix(whole) in ends | {end[0].upper() + end[1:] for end in ends}


@given(pieces)
@settings(deadline=None, max_examples=200)
def test_sections_are_lossless(caption):
    assert str(sections(caption)) == caption


def test_sections_are_found_by_name():
    caption = "[VISUAL]: A dog.\n[SPEECH]: None [SOUNDS]: Barks.\n"
    parts = sections(caption)
    assert [part.name for part in parts.parts] == ["VISUAL", "SPEECH", "SOUNDS"]
    assert parts.get("VISUAL") == "A dog."
    assert parts.get("SOUNDS") == "Barks."
    assert parts.get("TEXT") is None


def test_replacing_a_section_keeps_all_others_as_they_were():
    caption = "Intro [VISUAL]:  A dog.\n\n[SPEECH]: None"
    assert str(sections(caption).replace("VISUAL", "A cat.")) == (
        "Intro [VISUAL]:  A cat.\n\n[SPEECH]: None"
    )
    assert str(sections(caption).replace("TEXT", "EXIT")) == caption + "\n[TEXT]: EXIT"
    assert str(sections("").replace("TEXT", "EXIT")) == "[TEXT]: EXIT"
    assert str(sections("[TEXT]:").replace("TEXT", "EXIT")) == "[TEXT]: EXIT"


@given(pieces, st.sampled_from(SECTION_NAMES))
@settings(deadline=None, max_examples=100)
def test_a_replaced_section_reads_back(caption, name):
    replaced = sections(caption).replace(name, "something new")
    assert sections(str(replaced)).get(name) == "something new"


def test_formatting_gives_one_line_a_section():
    caption = format_sections({"TEXT": "", "VISUAL": " A dog. "})
    assert caption == "[VISUAL]: A dog.\n[TEXT]: None"
    assert sections(caption).get("TEXT") == "None"
