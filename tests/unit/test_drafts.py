"""The draft journal: whatever is flushed survives whatever comes."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.caption_db import FILE, CaptionDatabase, Key
from engine.dataset.caption_marks import KnownCaptions, Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.history import MAX_STEPS, History, step_between
from engine.dataset.versions import MAX_VERSIONS, Kind, Versions
from engine.errors import EnvironmentFaultError

KEYS = [Key("a.mp4"), Key("a.mp4", 1), Key("b.mp4")]
TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # half surrogates too


class Bench:
    """A workbench that can crash: its lock goes with it, its files stay as they are."""

    def __init__(self, folder: Path) -> None:
        self.database = CaptionDatabase(folder)
        self.session = Session(folder)
        self.journal = DraftJournal(self.database, self.session)
        self.kept = {one.key: one for one in self.journal.adopt()}

    def put(self, key: Key, base: str, text: str, typed: float) -> None:
        self.journal.put([Draft(key=key, base=base, text=text, typed=typed)])

    def crash(self) -> None:
        self.session._file.close()
        self.database.close()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.sampled_from(KEYS), TEXT),
        st.tuples(st.just("save"), st.sampled_from(KEYS), st.just("")),
        st.tuples(st.just("crash"), st.just(KEYS[0]), st.just("")),
    ),
    max_size=25,
)


@given(ACTIONS)
@settings(max_examples=40, deadline=None)
def test_whatever_was_flushed_is_there_after_any_number_of_crashes(
    actions: list[tuple[str, Key, str]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        in_file: dict[Key, str] = dict.fromkeys(KEYS, "")
        typed: dict[Key, str] = {}
        for number, (what, key, text) in enumerate(actions):
            if what == "edit":
                bench.put(key, in_file[key], text, number)
                typed[key] = text
            elif what == "save" and key in typed:
                in_file[key] = typed.pop(key)
                bench.journal.settle(key, in_file[key])
            elif what == "crash":
                bench.crash()
                bench = Bench(Path(name))
        bench.crash()
        last = Bench(Path(name))
        wanted = {key: text for key, text in typed.items() if text != in_file[key]}
        assert {key: one.text for key, one in last.kept.items()} == wanted
        assert all(one.base == in_file[key] for key, one in last.kept.items())
        last.crash()


def test_what_was_typed_while_it_was_written_stays_a_draft_on_what_was_written(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.put(KEYS[0], "old", "written and more", 1)
    bench.journal.settle(KEYS[0], "written")
    (draft,) = bench.journal.drafts()
    assert (draft.base, draft.text) == ("written", "written and more")
    bench.journal.settle(KEYS[0], "written and more")
    assert bench.journal.drafts() == []


def test_the_drafts_of_a_running_session_are_not_taken_from_it(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.put(KEYS[0], "", "of the first", 1)
    second = Bench(tmp_path)
    assert second.kept == {}
    assert [one.text for one in first.journal.drafts()] == ["of the first"]


def test_of_two_drafts_that_were_left_the_earlier_becomes_a_version(tmp_path: Path) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)
    first.put(KEYS[0], "", "earlier", 1)
    second.put(KEYS[0], "", "later", 2)
    first.crash()
    second.crash()
    third = Bench(tmp_path)
    assert third.kept[KEYS[0]].text == "later"
    (version,) = Versions(third.database).of(KEYS[0])
    assert (version.kind, version.text) == (Kind.SET_ASIDE, "earlier")
    assert [one.stem for one in (tmp_path / "editing").glob("*.lock")] == [third.session.id]


def test_a_draft_and_its_undo_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    history = History("one")
    history.edit("one two")
    good = Draft(key=KEYS[0], base="one", text="one two", typed=1, history=history.to_bytes())
    broken = Draft(key=KEYS[1], base="", text="x", typed=None)  # type: ignore[arg-type]
    with pytest.raises(EnvironmentFaultError):
        bench.journal.put([good, broken])
    assert bench.journal.drafts() == []
    assert bench.journal.history(KEYS[0]) == b""
    bench.journal.put([good])
    again = History.from_bytes(bench.journal.history(KEYS[0]))
    assert again.undo() == 3
    assert again.text == "one"


def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(EnvironmentFaultError, match="cannot be kept"):
        CaptionDatabase(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"no database" * 100


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    CaptionDatabase(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute("PRAGMA user_version=9")
    with pytest.raises(EnvironmentFaultError, match="newer"):
        CaptionDatabase(tmp_path)


# Undo


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


# Versions and marks


def test_of_one_visit_the_last_edited_text_is_kept(tmp_path: Path) -> None:
    versions = Versions(CaptionDatabase(tmp_path))
    versions.note(KEYS[0], Kind.AUTO, "auto")
    versions.note(KEYS[0], Kind.EDITED, "auto a", visit="1")
    versions.note(KEYS[0], Kind.EDITED, "auto ab", visit="1")
    versions.note(KEYS[0], Kind.EDITED, "auto ab", visit="2")
    versions.note(KEYS[0], Kind.EDITED, "auto abc", visit="2")
    versions.note(KEYS[1], Kind.EDITED, "other row", visit="2")
    assert [(one.kind, one.text) for one in versions.of(KEYS[0])] == [
        (Kind.EDITED, "auto abc"),
        (Kind.EDITED, "auto ab"),
        (Kind.AUTO, "auto"),
    ]


def test_old_versions_go_and_the_first_stays(tmp_path: Path) -> None:
    versions = Versions(CaptionDatabase(tmp_path))
    for number in range(MAX_VERSIONS + 5):
        versions.note(KEYS[0], Kind.EDITED if number else Kind.AUTO, str(number))
    kept = versions.of(KEYS[0])
    assert len(kept) == MAX_VERSIONS + 1
    assert (kept[-1].kind, kept[-1].text) == (Kind.AUTO, "0")
    assert kept[0].text == str(MAX_VERSIONS + 4)


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
    bench = Bench(tmp_path)
    bench.put(KEYS[0], "text", "draft", 1)
    Marks(bench.database).set(KEYS[2], "edited", "mine")
    known = KnownCaptions(tmp_path)
    assert known.look_up(KEYS[0], "text") == ("draft", "draft")
    assert known.look_up(KEYS[0], "draft") == ("draft", "auto")
    assert known.look_up(KEYS[1], "") == ("", "none")
    assert known.look_up(KEYS[2], "mine") == ("mine", "edited")
