"""The child that writes captions: nothing of anybody else's is lost, nothing of ours unsaid."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import engine.dataset.manifest
from engine.dataset import write_captions
from engine.dataset.write_captions import Answer, Clash, Edit, Outside, Request, to_json, write

ROWS = [
    {"media_path": "a.mp4", "caption": "one", "note": 1},
    {"media_path": "b.mp4", "caption": "two"},
    {"media_path": "a.mp4", "caption": "three"},
]


def dataset(folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(ROWS if rows is None else rows, indent=1))
    return path


def captions(path: Path) -> list[Any]:
    return [row.get("caption") for row in json.loads(path.read_text())]


def ask(path: Path, *edits: Edit, session: str = "one", **columns: str) -> Answer:
    return write(
        Request(
            dataset=str(path),
            video_column=columns.get("video", ""),
            caption_column=columns.get("caption", ""),
            seen=str(path.parent / f"{session}.seen"),
            edits=edits,
        )
    )


def edit(name: str, base: str, text: str, nth: int = 0, add: bool = False) -> Edit:
    return Edit(name=name, nth=nth, base=base, text=text, add=add)


def test_an_edit_changes_its_cell_alone(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    before = path.read_text()
    answer = ask(path, edit("a.mp4", "three", "new\nline", nth=1))
    assert answer.problem == ""
    assert answer.saved == (("a.mp4", 1),)
    assert answer.rows == 3
    assert path.read_text() == before.replace("three", "new\\nline")


def test_the_child_answers_as_the_function_does(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    request = Request(
        dataset=str(path),
        video_column="",
        caption_column="",
        seen=str(tmp_path / "seen"),
        edits=(edit("b.mp4", "two", "half \ud83d pair"),),
    )
    child = [sys.executable, "-P", "-m", "engine.dataset.write_captions"]
    done = subprocess.run(child, input=to_json(request), capture_output=True, check=True)
    answer = msgspec.convert(json.loads(done.stdout), Answer)
    assert answer.saved == (("b.mp4", 0),)
    assert captions(path)[1] == "half \ud83d pair"


def test_a_caption_changed_on_both_sides_is_left_and_the_others_are_written(
    tmp_path: Path,
) -> None:
    path = dataset(tmp_path)
    answer = ask(path, edit("a.mp4", "ONE", "mine"), edit("b.mp4", "two", "mine too"))
    assert answer.saved == (("b.mp4", 0),)
    assert answer.clashes == (Clash(name="a.mp4", nth=0, theirs="one"),)
    assert captions(path) == ["one", "mine too", "three"]


def test_a_row_that_is_gone_is_told_and_added_when_asked(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    answer = ask(path, edit("gone.mp4", "was", "mine"))
    assert answer.clashes == (Clash(name="gone.mp4", nth=0, theirs="", is_gone=True),)
    answer = ask(path, edit("gone.mp4", "was", "mine", add=True))
    assert answer.saved == (("gone.mp4", 0),)
    assert json.loads(path.read_text())[-1] == {"media_path": "gone.mp4", "caption": "mine"}


def test_what_is_there_already_counts_as_saved_and_is_not_written(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    before = path.stat().st_mtime_ns
    assert ask(path, edit("a.mp4", "old base", "one")).saved == (("a.mp4", 0),)
    assert path.stat().st_mtime_ns == before


def test_changes_of_others_are_told_once_and_ours_never(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    assert ask(path).outside == ()
    rows = json.loads(path.read_text())
    rows[1]["caption"], rows[2]["caption"] = "theirs", "theirs too"
    dataset(tmp_path, rows)
    answer = ask(path, edit("a.mp4", "one", "mine"))
    assert answer.outside == (Outside("b.mp4", 0, "theirs"), Outside("a.mp4", 1, "theirs too"))
    assert answer.changed == 2
    assert captions(path) == ["mine", "theirs", "theirs too"]
    assert ask(path).changed == 0
    # Another session that has seen nothing of it yet is told of ours.
    assert ask(path, session="two").changed == 0
    ask(path, edit("b.mp4", "theirs", "again"))
    assert ask(path, session="two").outside == (Outside("b.mp4", 0, "again"),)


def test_a_change_in_the_last_moment_is_merged_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dataset(tmp_path)
    ask(path)
    real = engine.dataset.manifest.atomic_path
    rows = json.loads(path.read_text())
    rows[0]["caption"], rows[2]["caption"] = "theirs", "theirs too"
    late = [rows]

    def racing(target: Path) -> Any:
        if late:
            dataset(tmp_path, late.pop())
        return real(target)

    monkeypatch.setattr(engine.dataset.manifest, "atomic_path", racing)
    answer = ask(path, edit("a.mp4", "one", "mine"), edit("b.mp4", "two", "mine too"))
    assert answer.saved == (("b.mp4", 0),)
    assert answer.clashes == (Clash(name="a.mp4", nth=0, theirs="theirs"),)
    assert answer.outside == (Outside("a.mp4", 1, "theirs too"),)
    assert captions(path) == ["theirs", "mine too", "theirs too"]


def test_a_dataset_without_the_column_gets_it(tmp_path: Path) -> None:
    path = dataset(tmp_path, [{"video": "a.mp4"}, {"video": "b.mp4"}])
    assert ask(path, edit("b.mp4", "", "mine")).saved == (("b.mp4", 0),)
    assert json.loads(path.read_text()) == [
        {"video": "a.mp4"},
        {"video": "b.mp4", "caption": "mine"},
    ]
    table = tmp_path / "dataset.csv"
    table.write_text("clip,x\na.mp4,1\n")
    answer = ask(table, edit("a.mp4", "", "mine"), video="clip", caption="text", session="csv")
    assert answer.saved == (("a.mp4", 0),)
    with table.open() as file:
        assert list(csv.DictReader(file)) == [{"clip": "a.mp4", "x": "1", "text": "mine"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "line 1"), ('[{"other": "a"}]', "no column of media paths")],
)
def test_a_file_that_cannot_be_used_is_explained(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(text)
    answer = ask(path, edit("a.mp4", "", "mine"))
    assert problem in answer.problem
    assert answer.remedy
    assert answer.saved == ()
    assert path.read_text() == text


def test_a_missing_and_a_read_only_file_are_explained(tmp_path: Path) -> None:
    assert "cannot be read" in ask(tmp_path / "none.json").problem
    path = dataset(tmp_path)
    path.chmod(0o444)
    answer = ask(path, edit("a.mp4", "one", "mine"))
    assert "read-only" in answer.problem
    assert "drafts" in answer.remedy
    assert captions(path)[0] == "one"


def test_names_with_control_characters_are_found_by_what_is_shown(tmp_path: Path) -> None:
    path = dataset(tmp_path, [{"video": "a\x1b.mp4", "caption": "one"}])
    assert ask(path, edit("a\\x1b.mp4", "one", "mine")).saved == (("a\\x1b.mp4", 0),)
    assert captions(path) == ["mine"]


def test_what_is_written_after_our_rename_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dataset(tmp_path)
    real = write_captions.stamp

    def late(of: Path) -> tuple[int, int, int]:
        if "mine" in of.read_text():
            of.write_text(of.read_text().replace("two", "theirs"))
        return real(of)

    monkeypatch.setattr(write_captions, "stamp", late)
    assert ask(path, edit("a.mp4", "one", "mine")).stamp == (0, 0, 0)


def test_a_dataset_without_rows_takes_the_first(tmp_path: Path) -> None:
    path = dataset(tmp_path, [])
    assert ask(path).problem == ""
    answer = ask(path, edit("a.mp4", "", "new", add=True))
    assert (answer.problem, answer.saved) == ("", (("a.mp4", 0),))
    assert json.loads(path.read_text()) == [{"media_path": "a.mp4", "caption": "new"}]
