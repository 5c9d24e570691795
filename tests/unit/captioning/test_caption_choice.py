"""Which clips a caption job takes: single rows of one file, and what a person wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.client import Engine
from engine.dataset.caption_db import Key
from engine.dataset.caption_marks import Marks
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.name_keys import numbered_name
from engine.dataset.windows import END_COLUMN
from engine.errors import EnvironmentFaultError
from engine.project import Project
from engine.worker.caption_job import choose_clips
from tests.unit.captioning.conftest import CaptionDatabaseOf, put, run

GIVEN = {"a.mp4": "by a tool", "b.mp4": "typed", "c.mp4": "looked at", "d.mp4": "", "e.mp4": "old"}


@pytest.fixture
def clips(project: Project, clip: Path) -> Project:
    """Captions of a tool, edited, reviewed, none, and one with a draft that is not saved."""
    put(project.root, clip, *GIVEN)
    given = [{"media_path": name, "caption": text} for name, text in GIVEN.items()]
    project.dataset_path.write_text(json.dumps(given))
    with CaptionDatabaseOf(project) as database:
        marks = Marks(database)
        marks.set(Key("b.mp4"), "edited", "typed")
        marks.set(Key("c.mp4"), "reviewed", "looked at")
        journal = DraftJournal(database, Session(project.state_dir))
        journal.put([Draft(key=Key("e.mp4"), base="old", text="being typed", typed=1.0)])
    return project


def chosen(project: Project, source: Path | None = None, **asked: object) -> list[str]:
    spec = Engine(project).captioning(source, **asked)  # type: ignore[arg-type]
    return sorted(one.name for one in choose_clips(spec).clips)


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_a_person_wrote_is_left_alone_where_it_is_to_be_kept(
    clips: Project, is_folder: bool
) -> None:
    source = clips.root if is_folder else None
    assert chosen(clips, source) == ["d.mp4"]
    assert chosen(clips, source, override=True) == list(GIVEN)
    assert chosen(clips, source, override=True, keep_edited=True) == ["a.mp4", "d.mp4"]
    assert chosen(clips, source, keep_edited=True) == ["d.mp4"]
    some = {"override": True, "keep_edited": True, "only": ("a.mp4", "b.mp4")}
    assert chosen(clips, source, **some) == ["a.mp4"]


def test_a_mark_is_for_one_text_so_that_another_is_no_persons(clips: Project) -> None:
    rows = json.loads(clips.dataset_path.read_text())
    rows[1]["caption"] = "changed by a tool"
    clips.dataset_path.write_text(json.dumps(rows))
    assert chosen(clips, override=True, keep_edited=True) == ["a.mp4", "b.mp4", "d.mp4"]


def test_where_nobody_knows_what_a_person_wrote_nothing_is_captioned(clips: Project) -> None:
    (clips.state_dir / "captions.db").write_bytes(b"no database")
    with pytest.raises(EnvironmentFaultError, match=r"captions\.db"):
        chosen(clips, override=True, keep_edited=True)


def test_one_row_of_a_file_that_has_several(project: Project, clip: Path) -> None:
    put(project.root, clip, "a.mp4", "b.mp4")
    names = ["a.mp4", "b.mp4", "a.mp4"]
    project.dataset_path.write_text(json.dumps([{"media_path": name} for name in names]))
    assert numbered_name(Key("a.mp4", 1)) == "a.mp4 #2"
    assert chosen(project, only=("a.mp4",)) == ["a.mp4", "a.mp4 #2"]
    assert chosen(project, only=("a.mp4 #1",)) == ["a.mp4"]
    assert chosen(project, project.root, only=("a.mp4 #2", "b.mp4")) == ["a.mp4 #2", "b.mp4"]
    run(project, Engine(project).captioning(only=("a.mp4 #2",)))
    done = [row.get("caption", "") for row in json.loads(project.dataset_path.read_text())]
    assert [bool(text) for text in done] == [False, False, True]


def test_a_window_is_captioned_by_the_name_of_its_row(project: Project, clip: Path) -> None:
    put(project.root, clip, "a.mp4")
    rows = [{"media_path": "a.mp4"}, {"media_path": "a.mp4", END_COLUMN: 0.2}]
    project.dataset_path.write_text(json.dumps(rows))
    assert chosen(project) == ["a.mp4", "a.mp4 @ 0-0.2 s"]
    assert chosen(project, only=("a.mp4 @ 0-0.2 s",)) == ["a.mp4 @ 0-0.2 s"]
    assert chosen(project, only=("a.mp4",)) == ["a.mp4"]


def test_an_instruction_goes_with_the_job(project: Project) -> None:
    engine = Engine(project)
    assert engine.captioning().project == project
    asked = engine.captioning(instruction="Be short.").project
    assert asked.captions.instruction == "Be short."
    assert engine.project.captions.instruction == ""
    assert engine.captioning(instruction="").project == project
