"""Undo and redo of one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset import history as history_module
from engine.dataset.caption_db import Key
from engine.dataset.history import MAX_STEPS, History, step_between
from ltx_tui.captions.docs import last_text, restored

TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # half surrogates too


@given(TEXT, TEXT)
def test_a_step_leads_from_one_text_to_the_other_and_back(before: str, after: str) -> None:
    step = step_between(before, after)
    assert step.forward(before) == after
    assert step.back(after) == before


@given(st.lists(st.one_of(TEXT, st.sampled_from(["<undo", ">redo", "=again"])), max_size=30))
def test_undo_and_redo_are_those_of_a_list_of_texts(actions: list[str]) -> None:
    history, texts, at = History(""), [""], 0
    for action in actions:
        if action == "<undo":
            assert (history.undo() is None) == (at == 0)
            at = max(0, at - 1)
        elif action == ">redo":
            assert (history.redo() is None) == (at == len(texts) - 1)
            at = min(len(texts) - 1, at + 1)
        elif action == "=again":
            history = History.from_bytes(history.to_bytes())
        elif action != texts[at]:
            history.edit(action)
            texts, at = [*texts[: at + 1], action], at + 1
        assert history.text == texts[at]


def test_letters_that_belong_together_are_one_step() -> None:
    history = History("a")
    history.edit("ab")
    history.edit("abc", joined=True)
    history.edit("abcd", joined=True)
    history.undo()
    assert history.text == "a"
    assert not history.can_undo


def test_the_oldest_steps_are_dropped_and_the_rest_stays_right() -> None:
    history = History("")
    for number in range(MAX_STEPS + 50):
        history.edit(str(number))
    for number in reversed(range(49, MAX_STEPS + 49)):
        assert history.undo() is not None
        assert history.text == str(number)
    assert history.undo() is None


@pytest.mark.parametrize("data", [b"", b"{}", b"[1, 2, 3]", b'["a", 5, []]', b'["a", 0, [[1]]]'])
def test_a_damaged_history_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a history"):
        History.from_bytes(data)


@given(st.lists(TEXT, min_size=1, max_size=10), st.integers(1, 10))
def test_redo_takes_undo_back(texts: list[str], count: int) -> None:
    history = History("")
    for text in texts:
        history.edit(text)
    before = history.text
    places = [place for _ in range(count) if (place := history.undo()) is not None]
    for _ in places:
        assert history.can_redo
        assert history.redo() is not None
    assert history.text == before
    assert not history.can_redo


def test_an_edit_after_undo_forgets_what_was_taken_back() -> None:
    history = History("a")
    history.edit("ab")
    history.undo()
    history.edit("ac", joined=True)
    assert history.redo() is None
    history.undo()
    assert history.text == "a"


def test_undo_says_where_the_text_changed() -> None:
    history = History("a red car")
    history.edit("a blue car")
    assert history.undo() == len("a red")
    assert history.redo() == len("a blue")


def test_of_steps_that_are_large_only_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_CHARACTERS", 10)
    history = History("")
    for letter in "abcd":
        history.edit(letter * 4)
    history.undo()
    assert history.text == "cccc"
    assert not history.can_undo


@given(TEXT, TEXT)
def test_what_happened_elsewhere_is_a_step_as_well(kept: str, found: str) -> None:
    past = History("")
    past.edit(kept)
    doc = restored(Key("a.mp4"), found, found, past.to_bytes())
    assert (doc.text, doc.is_saved) == (found, True)
    if found != kept:
        doc.undo()
    assert doc.text == kept
    assert last_text(past.to_bytes(), found) == kept


def test_without_a_history_or_with_a_damaged_one_it_begins_anew() -> None:
    for data in (b"", b"{"):
        doc = restored(Key("a.mp4"), "text", "text", data)
        assert doc.text == last_text(data, "text") == "text"
        assert not doc.undo()


def test_a_draft_whose_undo_was_not_kept_can_be_taken_back() -> None:
    """A terminal that takes no output delays the undo, and a kill then loses it."""
    doc = restored(Key("a.mp4"), "Big text", "text", b"")
    assert doc.text == "Big text"
    assert doc.undo()
    assert doc.text == "text"
    assert not doc.undo()
