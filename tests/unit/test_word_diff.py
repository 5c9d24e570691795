"""What changed between two texts."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engine.dataset import word_diff as word_diff_module
from engine.dataset.word_diff import Piece, word_diff

TEXT = st.text(st.sampled_from("ab ,.\n\t\u3000\u0301é\ud83d"), max_size=40)


def test_a_difference_holds_both_texts() -> None:
    pieces = word_diff("a red car, fast", "a blue car, very fast")
    assert "".join(one.text for one in pieces if one.kind != "new") == "a red car, fast"
    assert "".join(one.text for one in pieces if one.kind != "old") == "a blue car, very fast"
    assert ("old", "red") in pieces
    assert ("new", "blue") in pieces
    assert word_diff("", "") == []
    long = "word " * 3000
    assert [one.kind for one in word_diff(long, long + "x")] == ["old", "new"]


@given(TEXT, TEXT)
def test_both_sides_can_be_read_from_it(old: str, new: str) -> None:
    pieces = word_diff(old, new)
    assert "".join(one.text for one in pieces if one.kind != "new") == old
    assert "".join(one.text for one in pieces if one.kind != "old") == new
    assert all(one.text for one in pieces)
    kinds = [one.kind for one in pieces]
    assert all(kinds[at : at + 2] != ["new", "old"] for at in range(len(kinds)))
    assert all(one != other for one, other in itertools.pairwise(kinds))


@given(TEXT)
def test_a_text_is_the_same_as_itself(text: str) -> None:
    assert word_diff(text, text) == ([Piece("same", text)] if text else [])


def test_words_that_changed_beside_each_other_are_one_change() -> None:
    assert word_diff("a red fox runs", "a blue hare runs") == [
        Piece("same", "a "),
        Piece("old", "red fox"),
        Piece("new", "blue hare"),
        Piece("same", " runs"),
    ]


def test_long_texts_are_not_compared_word_by_word(monkeypatch) -> None:
    monkeypatch.setattr(word_diff_module, "_MOST_WORDS", 4)
    assert word_diff("a b c", "a b d") == [Piece("old", "a b c"), Piece("new", "a b d")]
    assert word_diff("a b c", "a b c") == [Piece("same", "a b c")]
    assert word_diff("", "a b c d e") == [Piece("new", "a b c d e")]
