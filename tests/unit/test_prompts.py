import pytest

from engine.captioners.answers import labelled
from engine.captioners.prompts import instruction, section_names
from engine.captions import SECTION_NAMES


def asked(prompt):
    return [name for name, _ in labelled(prompt)[1]]


def test_four_sections_are_asked_for_in_the_order_of_a_caption():
    prompt = instruction(with_audio=True)
    assert asked(prompt) == list(SECTION_NAMES)
    assert "four sections" in prompt
    assert "heard" in prompt
    assert "None" in prompt


def test_without_sound_nothing_is_asked_about_it():
    prompt = instruction(with_audio=False)
    assert asked(prompt) == ["VISUAL", "TEXT"] == list(section_names(with_audio=False))
    assert "two sections" in prompt
    for word in ("SPEECH", "SOUNDS", "heard", "hear", "music"):
        assert word not in prompt


@pytest.mark.parametrize("with_audio", [True, False])
def test_asked_again_the_shape_is_shown_with_each_label_once_more(with_audio):
    first, again = instruction(with_audio), instruction(with_audio, strict=True)
    assert again.startswith(first)
    assert asked(again) == 2 * list(section_names(with_audio))
    assert "no JSON" in again


def test_an_own_instruction_stands_in_place_of_ours():
    assert instruction(True, "  Name the colours.\n") == "Name the colours."
    assert instruction(False, "Name the colours.") == "Name the colours."
    assert instruction(True, " \n ") == instruction(True)


def test_an_own_instruction_asked_again_is_not_made_to_have_sections():
    again = instruction(True, "Name the colours.", strict=True)
    assert again.startswith("Name the colours.\n\n")
    assert "could not be used" in again
    assert asked(again) == []
