"""The draft journal: whatever is flushed survives whatever comes."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.caption_db import FILE, CaptionDatabase, Key
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.history import History
from engine.dataset.versions import Kind, Versions
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


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, list[int]]:
    """Return a journal of ten drafts as it lies on the disk, and where each of them ends."""
    bench = Bench(tmp_path_factory.mktemp("journal"))
    file = bench.database.path
    whole, log = file.read_bytes(), file.with_name(f"{FILE}-wal")
    ends = [log.stat().st_size]
    for number in range(10):
        bench.put(KEYS[0], "", "x" * number * 300 + str(number), number)
        ends.append(log.stat().st_size)
    assert file.read_bytes() == whole  # all of it is in the log alone
    data = log.read_bytes()
    bench.crash()
    return whole, data, ends


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_journal_torn_at_any_byte_loses_at_most_its_last_record(
    torn: tuple[bytes, bytes, list[int]], data: st.DataObject
) -> None:
    whole, log, ends = torn
    end = data.draw(st.one_of(st.integers(ends[0], len(log)), st.sampled_from(ends)))
    rubbish = data.draw(st.binary(max_size=40))
    # What is there by chance what should be there is no rubbish.
    rubbish = rubbish if not log[end:].startswith(rubbish) else b""
    with tempfile.TemporaryDirectory() as name:
        Path(name, FILE).write_bytes(whole)
        Path(name, f"{FILE}-wal").write_bytes(log[:end] + rubbish)
        last = Bench(Path(name))
        count = sum(one <= end for one in ends) - 1
        assert [one.text[-1:] for one in last.kept.values()] == [str(count - 1)][: count > 0]
        last.crash()


def test_a_session_is_seen_by_others_only_when_it_holds_its_lock(tmp_path: Path) -> None:
    first = Session(tmp_path)
    second = Session(tmp_path)
    assert not second.has_ended(first.id)
    second.sweep()
    assert not second.has_ended(first.id)
    assert not first.has_ended(first.id)
    first.seen_file.touch()
    first._file.close()
    assert second.has_ended(first.id)
    second.sweep()
    assert [one.name for one in (tmp_path / "editing").iterdir()] == [f"{second.id}.lock"]
    second.close()
    assert list((tmp_path / "editing").iterdir()) == []
