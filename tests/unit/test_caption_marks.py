"""Marks of captions: they hold for one text only."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.caption_db import CaptionDatabase, Key, digest
from engine.dataset.caption_marks import KnownCaptions, Marks
from engine.dataset.drafts import Draft, DraftJournal, Session

KEYS = [Key("a.mp4"), Key("a.mp4", 1), Key("b.mp4")]


def test_a_mark_holds_for_its_text_alone(tmp_path: Path) -> None:
    marks = Marks(CaptionDatabase(tmp_path))
    assert marks.state(KEYS[0], " ") == "none"
    assert marks.state(KEYS[0], "text") == "auto"
    marks.set(KEYS[0], "reviewed", "text")
    again = Marks(CaptionDatabase(tmp_path))
    assert again.state(KEYS[0], "text") == "reviewed"
    assert again.state(KEYS[0], "text!") == "auto"
    assert again.state(KEYS[1], "text") == "auto"
    again.clear(KEYS[0])
    assert Marks(CaptionDatabase(tmp_path)).state(KEYS[0], "text") == "auto"


def test_a_list_of_captions_shows_drafts_and_marks(tmp_path: Path) -> None:
    assert KnownCaptions(tmp_path).look_up(KEYS[0], "text") == ("text", "auto")
    database = CaptionDatabase(tmp_path)
    journal = DraftJournal(database, Session(tmp_path))
    journal.put([Draft(key=KEYS[0], base="text", text="draft", typed=1)])
    Marks(database).set(KEYS[2], "edited", "mine")
    known = KnownCaptions(tmp_path)
    assert known.look_up(KEYS[0], "text") == ("draft", "draft")
    assert known.look_up(KEYS[0], "draft") == ("draft", "auto")
    assert known.look_up(KEYS[1], "") == ("", "none")
    assert known.look_up(KEYS[2], "mine") == ("mine", "edited")


def test_the_newest_draft_of_several_sessions_is_listed(tmp_path: Path) -> None:
    database = CaptionDatabase(tmp_path)
    for typed in (2, 3, 1):
        draft = Draft(key=KEYS[0], base="", text=f"typed {typed}", typed=typed)
        DraftJournal(database, Session(tmp_path)).put([draft])
    assert KnownCaptions(tmp_path).drafts == {KEYS[0]: "typed 3"}


def test_all_marks_are_listed(tmp_path: Path) -> None:
    marks = Marks(CaptionDatabase(tmp_path))
    assert marks.keys() == []
    marks.set(KEYS[0], "edited", "one")
    marks.set(KEYS[1], "reviewed", "two")
    marks.set(KEYS[0], "reviewed", "one")
    assert sorted(Marks(CaptionDatabase(tmp_path)).keys()) == KEYS[:2]
    assert marks.state(KEYS[0], "one") == "reviewed"


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # half surrogates too


@given(TEXT, TEXT)
def test_texts_are_told_apart(one: str, other: str) -> None:
    assert (digest(one) == digest(other)) == (one == other)
