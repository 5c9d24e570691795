import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.captioners.answers import (
    MOST_CHARACTERS,
    cut_invented_turn,
    is_refusal,
    labelled,
    understand,
)
from engine.captioners.prompts import section_names
from engine.captions import sections

GOOD = "[VISUAL]: A dog runs.\n[SPEECH]: None\n[SOUNDS]: It barks.\n[TEXT]: STOP"

WORDS = """[VISUAL]:|[speech]:|**[SOUNDS]:**|[TEXT]|- **[TEXT]**:|VISUAL:|## Visual|Text|1. |{
{"visual": "a"}|}|"|{"caption": "|The video shows|In this clip, we see that|None|none.|```json
<|im_end|>|<|im_start|>assistant|<think>|</think>|**|*|`|[|]|:|a dog|---|#|Caption: |I'm sorry"""
PIECES = [
    *(piece for line in WORDS.splitlines() for piece in line.split("|")),
    *("\n", "\n\n", " ", "```\n", "\nHuman", "\nUser:", "<|im_end|>", "<|im_start|>assistant\n"),
    *("\u202e", "\x1b[31m", "The video shows ", "Caption: "),
]

pieces = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.text(max_size=5),
    ),
    max_size=14,
).map("".join)


def understood(text, with_audio=True, clean=True, custom=False):
    return understand(text, with_audio, clean, custom)


@given(pieces, st.booleans(), st.booleans(), st.booleans())
@example("```\n```json\n**[VISUAL]:** The video shows ```", True, True, False)
def test_understanding_twice_changes_nothing(text, with_audio, clean, custom):
    once = understand(text, with_audio, clean, custom)
    again = understand(once.text, with_audio, clean, custom)
    assert again.text == once.text
    assert again.is_malformed == once.is_malformed
    assert once.text == once.text.strip()
    assert once.text.replace("\n", "").isprintable() or not any(
        ord(c) < 32 for c in once.text.replace("\n", "")
    )
    if once.is_malformed:
        assert once.problems


@given(pieces, st.booleans())
def test_what_is_well_formed_has_every_section_once_and_in_order(text, with_audio):
    answer = understand(text, with_audio, clean=True, custom=False)
    if not answer.is_malformed:
        names = tuple(part.name for part in sections(answer.text).parts)
        assert names == section_names(with_audio)
        assert sections(answer.text).get("VISUAL") not in (None, "", "None")


def test_a_good_answer_stays_as_it_is():
    answer = understood(GOOD)
    assert (answer.text, answer.is_malformed, answer.problems) == (GOOD, False, ())


@pytest.mark.parametrize(
    "written",
    [
        "**[VISUAL]:** A dog runs.\n\n**[SPEECH]:** None\n[SOUNDS]: It barks.\n**[TEXT]:** STOP",
        "**[VISUAL]**: A dog runs.\n**[SPEECH]**:\n[SOUNDS]: It barks.\n**[TEXT]**: STOP\n---\n",
        "- [Visual]: A dog runs.\n- [Speech]: N/A\n- [Sounds]: It barks.\n- [Text]: STOP",
        "1. [VISUAL]: A dog runs.\n2. [SPEECH]: none.\n3. [SOUND]: It barks.\n4. [TEXT]: STOP",
        "## VISUAL\nA dog runs.\n\n## SPEECH\n\nNone\n## SOUNDS\nIt barks.\n## TEXT\nSTOP",
        "Visual: A dog runs.\nSpeech: (none)\nSounds: It barks.\nOn-screen text: STOP",
        "[VISUAL] A dog runs.\n[SPEECH] None\n[SOUNDS] It barks.\n[TEXT] STOP",
        "[VISUAL]：A dog runs. [SPEECH]： [SOUNDS]: It barks. [TEXT]: STOP",
        f"```text\r\n{GOOD}\r\n```",
        f"<think>What is it?\n[VISUAL]: hm</think>\n\n{GOOD}<|im_end|>",
        f"<|im_start|>assistant\n{GOOD}<|im_end|>\n",
        "[VISUAL]: A dog\x00 runs.\u202e\n[SPEECH]: None\n[SOUNDS]: It\tbarks.\n[TEXT]: STOP",
    ],
)
def test_sections_are_found_however_they_are_written(written):
    answer = understood(written)
    assert answer.text == GOOD
    assert not answer.is_malformed
    assert answer.problems == ()


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (f"Sure! Here it is:\n\n{GOOD}", "there was text before the first label"),
        (f"{GOOD}\nHuman: And the next?\nAssistant: None", "an invented turn"),
        (f"{GOOD}\n[SPEECH]: None", "more than once: [SPEECH]"),
        (GOOD.removeprefix("[VISUAL]: "), "the [VISUAL] label was missing"),
        ("[TEXT]: STOP\n" + GOOD.removesuffix("\n[TEXT]: STOP"), "out of order"),
        (
            '```json\n{"Visual": "A dog runs.", "speech": null, "sounds": ["It barks."],'
            ' "[TEXT]": {"sign": "STOP"}}\n```',
            "the answer was JSON",
        ),
        ('[{"caption": {"visual": "A dog runs.", "speech": "", "sounds": "It barks.",'
         ' "text": "STOP"}}]', "the answer was JSON"),
    ],
)  # fmt: skip
def test_what_can_be_put_right_is_put_right_and_noted(written, problem):
    answer = understood(written)
    assert answer.text == GOOD
    assert not answer.is_malformed
    assert len(answer.problems) == 1
    assert problem in answer.problems[0]


def test_two_different_bodies_of_a_section_are_both_kept():
    answer = understood("[VISUAL]: A.\n[SPEECH]: Hi.\n[SOUNDS]: None\n[TEXT]: X\n[SPEECH]: Bye.")
    assert sections(answer.text).get("SPEECH") == "Hi.\nBye."


def test_without_sound_what_was_made_up_about_it_is_dropped():
    answer = understood(GOOD, with_audio=False)
    assert answer.text == "[VISUAL]: A dog runs.\n[TEXT]: STOP"
    assert answer.problems == ("sections that were not asked for were dropped: [SPEECH], [SOUNDS]",)
    assert not answer.is_malformed


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "the answer was empty"),
        (" \n```\n```\n", "the answer was empty"),
        ("I'm sorry, but I can't describe this video.", "the answer was a refusal"),
        ("As an AI language model, I cannot watch videos.", "the answer was a refusal"),
        (GOOD.replace("A dog runs.", "I cannot see the video."), "the answer was a refusal"),
        ("A dog runs over a lawn.", "the answer had no sections"),
        ("[VISUAL]: A dog.\n[SPEECH]: None", "sections were missing: [SOUNDS], [TEXT]"),
        (GOOD.replace("A dog runs.", "None."), "the answer saw nothing"),
        ('{"colour": "red"}', "the answer had no sections"),
        ('{"visual": "a dog', "the answer had no sections"),
    ],
)
def test_what_has_to_be_asked_again_is_kept_and_marked(written, problem):
    answer = understood(written)
    assert answer.is_malformed
    assert problem in answer.problems


def test_openings_go_from_what_is_described_and_only_when_wanted():
    written = (
        "[VISUAL]: The video shows a dog.\n[SPEECH]: The video shows it all.\n"
        "[SOUNDS]: In this clip, there is music.\n[TEXT]: The image shows"
    )
    assert understood(written).text == (
        "[VISUAL]: A dog.\n[SPEECH]: The video shows it all.\n[SOUNDS]: Music.\n"
        "[TEXT]: The image shows"
    )
    assert understood(written, clean=False).text == written


def test_the_answer_to_an_own_instruction_needs_no_sections():
    for written in ("Red and green.", '{"colours": ["red"]}', "Text: red"):
        answer = understood(written, custom=True)
        assert (answer.text, answer.is_malformed, answer.problems) == (written, False, ())
    assert understood("The video shows red.", custom=True).text == "Red."
    assert understood("```\nRed.\n```\nUser: more?", custom=True).text == "Red."
    assert understood("Sorry, I can't do that.", custom=True).is_malformed
    assert understood("", custom=True).is_malformed


def test_a_turn_is_cut_only_where_the_answer_has_ended():
    assert cut_invented_turn("A dog.\nHuman\nWhat else?") == "A dog."
    assert cut_invented_turn("A dog.\n**User:** What else?") == "A dog."
    assert cut_invented_turn("A dog.\nHuman figures dance.") == "A dog.\nHuman figures dance."
    assert cut_invented_turn("A dog.<|endoftext|>A cat.") == "A dog."
    spoken = "[VISUAL]: Two.\n[SPEECH]:\nUser: Hi.\nAssistant: Hello.\n[SOUNDS]: None"
    assert cut_invented_turn(spoken) == spoken
    assert cut_invented_turn(f"{spoken}\nUser: [VISUAL]: again") == spoken


def test_people_in_a_film_may_be_sorry():
    assert is_refusal("Unfortunately, I cannot help.")
    assert is_refusal("很抱歉，我无法看到视频。")
    assert not is_refusal("A man says: I'm sorry, I can't.")
    assert not is_refusal("I, Robot is a poster on the wall.")


def test_labels_without_brackets_count_only_with_visual_among_them():
    assert labelled("A poster.\nText: SALE") == ("A poster.\nText: SALE", [])
    assert labelled("[VISUAL]: A poster.\nText: SALE")[1] == [("VISUAL", " A poster.\nText: SALE")]


@pytest.mark.parametrize(
    "piece",
    [" ", "\n", "{", "<think>", "```\n", "\nUser:", "[VISUAL]", "* ", "1. ", '[{"caption":', "I "],
)  # fmt: skip
def test_an_answer_without_end_is_looked_at_only_so_far(piece):
    answer = understood("x" + piece * (2 * MOST_CHARACTERS // len(piece)) + "y")
    assert len(answer.text) <= MOST_CHARACTERS
    assert answer.is_malformed
