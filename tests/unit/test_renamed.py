"""What goes by a clip's name follows it to another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.caption_origins import Origin, Origins
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.name_keys import name_keys
from engine.dataset.renamed import carry_over
from engine.dataset.versions import Kind, Versions
from engine.dataset.write_captions import digest_of
from engine.dataset.write_windows import Change
from engine.project import Project, load_project
from engine.worker.change_window import Wanted, do

ROWS = [
    {"media_path": "a.mp4", "caption": "one"},
    {"media_path": "a.mp4", "caption": "two"},
    {"media_path": "b.mp4", "caption": "three"},
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dataset.json").write_text(json.dumps(ROWS))
    (tmp_path / "project.toml").write_text(
        '# ours\n[dataset]\npath = "dataset.json"\n\n[clips]\n"b.mp4" = "96x32x17"  # wide\n'
    )
    return load_project(tmp_path / "project.toml")


def marked(project: Project) -> set[Key]:
    database = CaptionDatabase(project.state_dir)
    try:
        marks = Marks(database)
        return set(marks.keys())
    finally:
        database.close()


def mark(project: Project, **texts: str) -> None:
    database = CaptionDatabase(project.state_dir)
    for name, text in texts.items():
        nth = int(name[1:])
        Marks(database).set(Key(f"{name[0]}.mp4", nth), "reviewed", text)
    database.close()


def test_all_that_is_kept_of_a_caption_goes_along(project: Project) -> None:
    old, new = Key("b.mp4"), Key("b.mp4 @ 1-end s")
    database = CaptionDatabase(project.state_dir)
    Versions(database).note(old, Kind.AUTO, "three")
    Origins(database).note(old, "three", Origin(captioner="somebody"))
    session = Session(project.state_dir)
    journal = DraftJournal(database, session)
    journal.put([Draft(key=old, base="three", text="four", typed=1.0, history=b"steps")])
    database.close()
    mark(project, b0="three")
    carry_over(project, [old], [new])
    database = CaptionDatabase(project.state_dir)
    assert [one.text for one in Versions(database).of(new)] == ["three"]
    assert Versions(database).of(old) == []
    assert Marks(database).state(new, "three") == "reviewed"
    journal = DraftJournal(database, session)
    assert [(one.key, one.text) for one in journal.drafts()] == [(new, "four")]
    assert journal.history(new) == b"steps"
    assert database.all("SELECT name FROM origins") == [(new.name,)]
    database.close()
    session.close()
    assert load_project(project.root / "project.toml").clips == {new.name: "96x32x17"}
    assert "# ours" in (project.root / "project.toml").read_text()


def test_rows_may_change_places(project: Project) -> None:
    mark(project, a0="one", a1="two")
    before, after = [Key("a.mp4"), Key("a.mp4", 1)], [Key("a.mp4", 1), Key("a.mp4")]
    carry_over(project, before, after)
    database = CaptionDatabase(project.state_dir)
    assert Marks(database).state(Key("a.mp4", 1), "one") == "reviewed"
    assert Marks(database).state(Key("a.mp4"), "two") == "reviewed"
    database.close()


def test_a_bucket_stays_with_the_rows_that_keep_the_name(project: Project) -> None:
    before = [Key("b.mp4"), Key("b.mp4", 1)]
    carry_over(project, before, [Key("b.mp4"), Key("b.mp4 @ 2-3 s")])
    clips = load_project(project.root / "project.toml").clips
    assert clips == {"b.mp4": "96x32x17", "b.mp4 @ 2-3 s": "96x32x17"}


def test_where_nothing_is_kept_nothing_is_made(project: Project) -> None:
    carry_over(project, [Key("a.mp4")], [Key("c.mp4")])
    carry_over(project, [Key("a.mp4")], [None])
    assert not project.state_dir.exists()
    assert load_project(project.root / "project.toml").clips == {"b.mp4": "96x32x17"}


def test_a_database_that_is_damaged_does_no_harm(project: Project) -> None:
    project.state_dir.mkdir()
    (project.state_dir / "captions.db").write_bytes(b"no database at all, but long enough" * 99)
    carry_over(project, [Key("b.mp4")], [Key("c.mp4")])
    assert load_project(project.root / "project.toml").clips == {"c.mp4": "96x32x17"}


def test_keys_count_rows_of_one_name() -> None:
    rows = [*ROWS, {"media_path": ""}, {"media_path": "a.mp4", "window_start": 1}]
    assert name_keys(rows, "media_path") == [
        Key("a.mp4"),
        Key("a.mp4", 1),
        Key("b.mp4"),
        Key("row 4"),
        Key("a.mp4 @ 1-end s"),
    ]


# The child that changes a window


def test_a_changed_row_takes_along_what_is_kept_of_it_and_of_its_doubles(project: Project) -> None:
    mark(project, a0="one", a1="two", b0="three")
    change = Change(what="set", key=Key("a.mp4"), start=1.0, end=2.5)
    done = do(Wanted(project=project, change=change))
    assert (done.key, done.row, done.fault) == (Key("a.mp4 @ 1-2.5 s"), 0, None)
    assert marked(project) == {Key("a.mp4 @ 1-2.5 s"), Key("a.mp4"), Key("b.mp4")}
    database = CaptionDatabase(project.state_dir)
    assert Marks(database).state(Key("a.mp4"), "two") == "reviewed"
    database.close()


def test_an_added_row_is_to_be_reviewed(project: Project) -> None:
    change = Change(what="add", key=Key("b.mp4"), start=1.0)
    database = CaptionDatabase(project.state_dir)
    Marks(database).set(Key("b.mp4"), "reviewed", "three")
    Marks(database).set(Key("b.mp4 @ 1-end s"), "reviewed", "three")  # of a row that went
    database.close()
    done = do(Wanted(project=project, change=change))
    assert (done.key, done.row) == (Key("b.mp4 @ 1-end s"), 3)
    assert marked(project) == {Key("b.mp4")}


def test_the_caption_of_a_row_that_goes_is_kept(project: Project) -> None:
    added = do(Wanted(project=project, change=Change(what="add", key=Key("b.mp4"), start=1.0)))
    assert not project.state_dir.joinpath("captions.db").exists()
    change = Change(what="remove", key=added.key, with_row=True, caption=digest_of("three"))
    done = do(Wanted(project=project, change=change))
    assert (done.is_gone, done.row) == (True, 3)
    database = CaptionDatabase(project.state_dir)
    [version] = Versions(database).of(added.key)
    assert (version.kind, version.text) == (Kind.SET_ASIDE, "three")
    database.close()
    assert json.loads(project.dataset_path.read_text()) == ROWS


def test_what_cannot_be_done_is_an_answer(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Change(what="set", key=Key("gone.mp4"), start=1.0)
    done = do(Wanted(project=project, change=change))
    assert done.fault is not None
    assert "another program" in done.fault.message

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.worker.change_window.change_window", full)
    done = do(Wanted(project=project, change=change))
    assert done.fault is not None
    assert done.fault.message == "cannot be written: No space left on device"
    assert "writable" in done.fault.remedy
