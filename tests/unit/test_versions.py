"""The versions of captions: the first for good, the last hundred, one for each visit."""

import threading
from pathlib import Path

import pytest

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.versions import MAX_VERSIONS, Kind, Versions

KEYS = [Key("a.mp4"), Key("a.mp4", 1)]


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


@pytest.mark.parametrize("kind", [Kind.RESTORED, Kind.OUTSIDE, Kind.SET_ASIDE, Kind.AUTO])
def test_only_edited_texts_of_a_visit_replace_each_other(tmp_path: Path, kind: Kind) -> None:
    versions = Versions(CaptionDatabase(tmp_path))
    versions.note(KEYS[0], Kind.EDITED, "one", visit="1")
    versions.note(KEYS[0], kind, "two", visit="1")
    versions.note(KEYS[0], Kind.EDITED, "three", visit="1")
    assert [one.text for one in versions.of(KEYS[0])] == ["three", "two", "one"]


def test_the_text_that_is_there_already_is_no_new_version(tmp_path: Path) -> None:
    versions = Versions(CaptionDatabase(tmp_path))
    versions.note(KEYS[0], Kind.AUTO, "half \ud83d pair")
    versions.note(KEYS[0], Kind.OUTSIDE, "half \ud83d pair")
    (one,) = versions.of(KEYS[0])
    assert (one.kind, one.text) == (Kind.AUTO, "half \ud83d pair")
    assert versions.of(KEYS[1]) == []


def test_versions_outlive_the_program_and_grow_with_time(tmp_path: Path) -> None:
    database = CaptionDatabase(tmp_path)
    for text in ("one", "two"):
        Versions(database).note(KEYS[0], Kind.EDITED, text)
    database.close()
    newest, oldest = Versions(CaptionDatabase(tmp_path)).of(KEYS[0])
    assert (newest.text, oldest.text) == ("two", "one")
    assert newest.id > oldest.id
    assert newest.made >= oldest.made


def test_two_workbenches_note_versions_at_once(tmp_path: Path) -> None:
    def note(letter: str) -> None:
        database = CaptionDatabase(tmp_path)
        for number in range(20):
            Versions(database).note(KEYS[0], Kind.EDITED, f"{letter}{number}")
        database.close()

    threads = [threading.Thread(target=note, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = {one.text for one in Versions(CaptionDatabase(tmp_path)).of(KEYS[0])}
    assert texts == {f"{letter}{number}" for letter in "ab" for number in range(20)}


def test_what_is_rejected_stays_wherever_it_reads_so(tmp_path: Path) -> None:
    versions = Versions(CaptionDatabase(tmp_path))
    for key, text in [(KEYS[0], "one"), (KEYS[0], "two"), (KEYS[0], "one"), (KEYS[1], "one")]:
        versions.note(key, Kind.AUTO, text)
    versions.reject(KEYS[0], "one")
    assert [(one.kind, one.text) for one in versions.of(KEYS[0])] == [
        (Kind.REJECTED, "one"),
        (Kind.AUTO, "two"),
        (Kind.REJECTED, "one"),
    ]
    assert [one.kind for one in versions.of(KEYS[1])] == [Kind.AUTO]
