"""What goes by the names of rows that are taken out: marks, versions, buckets, drafts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.versions import Kind, Versions
from engine.errors import UsageError
from engine.project import Project, load_project
from engine.worker.take_out import Done, Wanted, do
from ltx_tui.children.dataset import take

A, B, C = Key("a.mp4", 0), Key("a.mp4", 1), Key("b.mp4")
TEXTS = {A: "one", B: "two", C: "three"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    rows = [{"media_path": key.name, "caption": text} for key, text in TEXTS.items()]
    (tmp_path / "dataset.json").write_text(json.dumps(rows))
    (tmp_path / "project.toml").write_text(
        '[dataset]\npath = "dataset.json"\n\n[clips]\n"a.mp4" = "96x32x17"\n"b.mp4" = "32x32x9"\n'
    )
    project = load_project(tmp_path / "project.toml")
    database = CaptionDatabase(project.state_dir)
    for key, text in TEXTS.items():
        Marks(database).set(key, "reviewed", text)
        Versions(database).note(key, Kind.AUTO, f"first {text}")
        Versions(database).note(key, Kind.EDITED, text)
    database.close()
    return project


def past(project: Project) -> dict[str, tuple[str, list[str]]]:
    """Return the mark and the versions of each row that there is, by its caption."""
    database = CaptionDatabase(project.state_dir)
    marks, versions, found = Marks(database), Versions(database), {}
    counts: dict[str, int] = {}
    for row in json.loads(project.dataset_path.read_text()):
        name, text = row["media_path"], row["caption"]
        key = Key(name, counts.get(name, 0))
        counts[name] = key.nth + 1
        found[text] = (marks.state(key, text), [one.text for one in versions.of(key)])
    database.close()
    return found


def out(project: Project, *keys: Key) -> Done:
    done = do(Wanted(project=project, keys=keys))
    assert done.fault is None
    return done


def back(project: Project, *names: str) -> Done:
    done = do(Wanted(project=project, names=names, is_back=True))
    assert done.fault is None
    return done


WHOLE = {text: ("reviewed", [text, f"first {text}"]) for text in TEXTS.values()}


@pytest.mark.parametrize("gone", [(A,), (B,), (C,), (A, B), (A, C), (A, B, C)])
def test_a_row_has_its_mark_and_versions_again(project: Project, gone: tuple[Key, ...]) -> None:
    was = project.dataset_path.read_bytes()
    done = out(project, *gone)
    assert (done.keys, done.by_hand) == (gone, len(gone))
    left = {text: WHOLE[text] for key, text in TEXTS.items() if key not in gone}
    assert past(project) == left
    assert back(project).by_hand == len(gone)
    assert past(project) == WHOLE
    if len(gone) < len(TEXTS):
        assert project.dataset_path.read_bytes() == was
    assert load_project(project.root / "project.toml").clips == project.clips


def test_rows_of_one_name_that_go_and_come_one_by_one(project: Project) -> None:
    out(project, A)
    assert past(project) == {"two": WHOLE["two"], "three": WHOLE["three"]}
    out(project, A)  # which is what was the second
    assert past(project) == {"three": WHOLE["three"]}
    assert [key.name for key in back(project).keys] == ["a.mp4"]
    assert past(project) == {"two": WHOLE["two"], "three": WHOLE["three"]}
    back(project)
    assert past(project) == WHOLE
    out(project, B)
    out(project, A)
    assert back(project, "a.mp4").rows == (0, 1)
    assert past(project) == WHOLE


def test_a_draft_that_waits_keeps_its_row(project: Project) -> None:
    was = project.dataset_path.read_bytes()
    database, session = CaptionDatabase(project.state_dir), Session(project.state_dir)
    draft = Draft(key=B, base="two", text="typed", typed=1.0)
    DraftJournal(database, session).put([draft])
    done = do(Wanted(project=project, names=("a.mp4",)))
    assert done.fault is not None
    assert "caption of a.mp4 is not saved yet" in done.fault.message
    assert project.dataset_path.read_bytes() == was
    # That of a row which stays goes by its name as ever.
    out(project, A)
    assert [one.key for one in DraftJournal(database, session).drafts()] == [A]
    back(project)
    assert [one.key for one in DraftJournal(database, session).drafts()] == [B]
    database.close()


def test_a_project_without_captions_gets_no_database(project: Project) -> None:
    (project.state_dir / "captions.db").unlink()
    out(project, A)
    back(project)
    assert not (project.state_dir / "captions.db").exists()
    assert (project.state_dir / ".gitignore").read_text() == "*\n"


def test_the_child_does_it(project: Project) -> None:
    done = asyncio.run(take(Wanted(project=project, keys=(C,))))
    assert (done.keys, done.rows, done.by_hand) == ((C,), (2,), 1)
    assert "three" not in past(project)
    done = asyncio.run(take(Wanted(project=project, is_back=True)))
    assert done.keys == (C,)
    assert past(project) == WHOLE
    with pytest.raises(UsageError, match="no row was taken out"):
        asyncio.run(take(Wanted(project=project, is_back=True)))
