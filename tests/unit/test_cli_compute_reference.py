"""`ltx-tui compute-reference`: the whole command with its child process, on small clips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.dataset.write_cells import Cell, write_cells
from engine.errors import DatasetError
from engine.media.probe import probe
from engine.precompute.pairs import pair_notes
from engine.project import write_project
from ltx_tui.cli.main import cli
from tests.media_clips import grey, make_video

COMMAND = "compute-reference"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two clips and a dataset of them, as the current one."""
    for name in ("a.mp4", "b.mov"):
        make_video(tmp_path / name, [grey(k) for k in range(9)])
    dataset(tmp_path, {"media_path": "a.mp4"}, {"media_path": "b.mov"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dataset(folder: Path, *rows: Mapping[str, object]) -> None:
    (folder / "data.json").write_text(json.dumps([{"caption": "x", **row} for row in rows]))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, (COMMAND, *arguments))


def rows(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "data.json").read_text())


def events(result: Result, kind: str) -> list[dict[str, object]]:
    told = [json.loads(line) for line in result.stdout.splitlines()]
    return [one for one in told if one["event"] == kind]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*_reference.*")}


def test_the_dataset_gains_a_column_and_loses_nothing(folder: Path) -> None:
    text = 'note;media_path;caption\r\n"a;b";a.mp4;=1+1\r\nlast;b.mov;"two\nlines"\r\n'
    (folder / "data.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    result = call("data.csv")
    assert result.exit_code == 0, result.output
    assert "2 written" in result.stdout
    wanted = (
        'note;media_path;caption;reference_path\r\n"a;b";a.mp4;=1+1;a_reference.mp4\r\n'
        'last;b.mov;"two\nlines";"b_reference.mov"\r\n'
    )
    assert (folder / "data.csv").read_bytes() == b"\xef\xbb\xbf" + wanted.encode()
    for name in ("a.mp4", "b.mov"):
        target = folder / name.replace(".", "_reference.")
        assert pair_notes(probe(target), probe(folder / name)) == ()


def test_one_failure_never_loses_the_others(folder: Path) -> None:
    (folder / "bad.mp4").write_bytes(b"no video")
    dataset(folder, *({"media_path": name} for name in ("bad.mp4", "a.mp4", "gone.mp4", "b.mov")))
    result = call("data.json", "--batch-size", "1")
    assert result.exit_code == 1, result.output
    assert "2 written" in result.stdout
    assert "bad.mp4 (row 1)" in result.stdout
    assert "gone.mp4 (row 3)" in result.stdout
    assert [row.get("reference_path") for row in rows(folder)] == [
        None, "a_reference.mp4", None, "b_reference.mov",
    ]  # fmt: skip


def test_what_is_there_and_unchanged_is_left(folder: Path) -> None:
    assert call("data.json").exit_code == 0
    before, text = stamps(folder), (folder / "data.json").read_bytes()
    again = call("data.json", "--json")
    (end,) = events(again, "job-done")
    assert (end["done"], end["fresh"]) == (0, 2)
    assert (stamps(folder), (folder / "data.json").read_bytes()) == (before, text)
    make_video(folder / "a.mp4", [grey(k) for k in range(12)])
    (done,) = events(call("data.json", "--json"), "clip-done")
    assert (done["clip"], done["detail"]) == ("a.mp4", "12 frames")
    assert len(events(call("data.json", "--json", "--low", "20"), "clip-done")) == 2
    assert len(events(call("data.json", "--json", "--low", "20"), "clip-done")) == 0
    assert len(events(call("data.json", "--json", "--low", "20", "--override"), "clip-done")) == 2


def test_references_from_elsewhere_stay(folder: Path) -> None:
    make_video(folder / "depth.mp4", [grey(k) for k in range(9)])
    dataset(folder, {"media_path": "a.mp4", "reference_path": "depth.mp4"}, {"media_path": "b.mov"})
    # Another tool's file under our name: one that fits, and then one that does not.
    make_video(folder / "b_reference.mov", [grey(k) for k in range(9)])
    before = stamps(folder)
    result = call("data.json", "--json")
    assert result.exit_code == 0, result.output
    assert [row["reference_path"] for row in rows(folder)] == ["depth.mp4", "b_reference.mov"]
    assert stamps(folder) == before
    make_video(folder / "b_reference.mov", [grey(k) for k in range(5)])
    failed = call("data.json")
    assert failed.exit_code == 1
    assert "no reference of this clip" in failed.stdout
    assert "--override" in failed.stdout
    assert call("data.json", "--override").exit_code == 0
    assert [row["reference_path"] for row in rows(folder)] == [
        "a_reference.mp4", "b_reference.mov",
    ]  # fmt: skip
    assert probe(folder / "b_reference.mov").frames == 9


def test_a_file_that_is_gone_is_made_again(folder: Path) -> None:
    assert call("data.json").exit_code == 0
    (folder / "a_reference.mp4").unlink()
    (done,) = events(call("data.json", "--json"), "clip-done")
    assert done["output"] == "a_reference.mp4"


def test_rows_of_one_clip_share_its_reference(folder: Path) -> None:
    dataset(folder, {"media_path": "a.mp4"}, {"media_path": "a.mp4"}, {"media_path": "./b.mov"})
    assert len(events(call("data.json", "--json"), "clip-done")) == 2
    assert [row["reference_path"] for row in rows(folder)] == [
        "a_reference.mp4", "a_reference.mp4", "./b_reference.mov",
    ]  # fmt: skip


def test_a_folder_without_a_dataset_gets_one(tmp_path: Path) -> None:
    clips = tmp_path / "clips" / "deep"
    clips.mkdir(parents=True)
    make_video(clips / "a.mp4", [grey(k) for k in range(3)])
    result = call(str(tmp_path / "clips"), "-o", str(tmp_path / "clips" / "data.json"))
    assert result.exit_code == 0, result.output
    assert rows(tmp_path / "clips") == [
        {
            "caption": "",
            "media_path": "deep/a.mp4",
            "reference_path": "deep/a_reference.mp4",
        }
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert call(str(empty)).exit_code == 2


def test_only_the_clips_of_the_folder_that_is_named(folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("c.mp4", "d.mp4"):
        make_video(folder / "sub" / name, [grey(k) for k in range(3)])
    dataset(folder, {"media_path": "a.mp4"}, {"media_path": "sub/c.mp4"})
    result = call("sub", "-o", "data.json")
    assert result.exit_code == 0, result.output
    assert "1 file of the folder in no row" in result.stdout
    assert [row.get("reference_path") for row in rows(folder)] == [None, "sub/c_reference.mp4"]


def test_the_column_of_the_project_or_of_the_conventions_is_used(folder: Path) -> None:
    dataset(folder, {"media_path": "a.mp4", "ref_media_path": None})
    assert call("data.json").exit_code == 0
    assert rows(folder)[0]["ref_media_path"] == "a_reference.mp4"
    write_project(folder / "project.toml", {"dataset.path": "data.json"})
    result = call("--override")
    assert result.exit_code == 0, result.output
    assert 'set dataset.reference_column = "ref_media_path"' in result.stdout


def test_a_function_of_ones_own_is_found_in_the_current_folder(folder: Path) -> None:
    (folder / "ltx_mine.py").write_text(
        "def dark(frames):\n    if frames.mean() > 0:\n        return frames // 2\n"
        "def fails(frames):\n    raise RuntimeError('no weights')\n"
    )
    assert call("data.json", "--condition", "ltx_mine:dark").exit_code == 0
    failed = call("data.json", "--condition", "ltx_mine:fails")
    assert failed.exit_code == 1
    assert "RuntimeError: no weights" in failed.stdout
    for name, said in (("ltx_mine:drak", "did you mean dark?"), ("depth", "module:function")):
        wrong = call("data.json", "--condition", name)
        assert wrong.exit_code == 2
        assert said in wrong.stderr


def test_a_clip_that_kills_the_program_is_given_up_alone(folder: Path) -> None:
    (folder / "ltx_deadly.py").write_text(
        "import os\n"
        "def kill(frames):\n"
        "    if frames.shape[1] == 32:\n        os._exit(11)\n"
        "    return frames\n"
    )
    make_video(folder / "deadly.mp4", [grey(k, 64, 32) for k in range(3)])
    dataset(folder, *({"media_path": name} for name in ("a.mp4", "deadly.mp4", "b.mov")))
    result = call("data.json", "--condition", "ltx_deadly:kill")
    assert result.exit_code == 1, result.output
    assert "the program that makes references died of it" in result.stdout
    assert [row.get("reference_path") for row in rows(folder)] == [
        "a_reference.mp4", None, "b_reference.mov",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.json",), "no such file or folder"),
        (("data.json", "-o", "other.json"), "the dataset that is read"),
        (("data.json", "--low", "300"), "make no sense"),
        (("a.mp4",), "is no dataset format"),
        ((".", "-o", "list.txt"), "is no dataset"),
        (("data.json", "--batch-size", "0"), "--batch-size"),
    ],
)
def test_usage_errors_say_what_to_do(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_cells_that_were_changed_meanwhile_are_left(folder: Path) -> None:
    path = folder / "data.json"
    cells = [
        Cell(media="a.mp4", nth=0, column="reference_path", value="a_reference.mp4"),
        Cell(media="b.mov", nth=0, column="reference_path", value="b_reference.mov"),
        Cell(media="gone.mp4", nth=0, column="reference_path", value="x"),
    ]
    dataset(
        folder, {"media_path": "b.mov", "reference_path": "theirs.mp4"}, {"media_path": "a.mp4"}
    )
    assert write_cells(path, cells) == [cells[1], cells[2]]
    assert [row["reference_path"] for row in rows(folder)] == ["theirs.mp4", "a_reference.mp4"]
    path.chmod(0o444)
    with pytest.raises(DatasetError, match="read-only"):
        write_cells(path, [Cell(media="a.mp4", nth=0, column="new", value="1")])
