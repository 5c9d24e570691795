"""`ltx-tui take-out`: rows out of the dataset, and back into it, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from ltx_tui.cli.main import cli

ROWS = "media_path;caption\r\na.mp4;one\r\nclips/b.mp4;two\r\na.mp4;three\r\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "set.csv").write_bytes(ROWS.encode())
    (tmp_path / "project.toml").write_text('[dataset]\npath = "set.csv"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["take-out", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_rows_go_and_come_back(root: Path) -> None:
    database = CaptionDatabase(root / ".ltx-tui")
    Marks(database).set(Key("clips/b.mp4"), "reviewed", "two")
    database.close()
    said = run("clips/b.mp4", "a.mp4 #2").stdout
    assert said.splitlines() == [
        "2 rows taken out of set.csv: clips/b.mp4, a.mp4; 1 caption edited or reviewed by hand",
        "ltx-tui take-out --give-back gives back what was taken out last",
    ]
    assert (root / "set.csv").read_bytes() == b"media_path;caption\r\na.mp4;one\r\n"
    said = run("--give-back").stdout
    assert said.startswith("2 rows given back to set.csv: clips/b.mp4, a.mp4; 1 caption edited")
    assert (root / "set.csv").read_bytes() == ROWS.encode()


def test_all_rows_of_a_name_go_and_are_told_as_json(root: Path, tmp_path: Path) -> None:
    told = json.loads(run("--project", str(root), "--json", "a.mp4").stdout)
    assert (told["keys"], told["rows"]) == ([["a.mp4", 0], ["a.mp4", 1]], [0, 2])
    assert (told["by_hand"], told["fault"]) == (0, None)
    (root / "set.csv").write_text("media_path;caption\r\na.mp4;mine\r\n")
    told = json.loads(run("--give-back", "--json", "a.mp4").stdout)
    assert (told["keys"], told["rows"], told["there"]) == ([["a.mp4", 0]], [0], ["a.mp4"])
    said = run("--give-back", "a.mp4")
    assert "0 rows given back to set.csv" in said.stdout
    assert "warning: not given back, for there is such a row: a.mp4" in said.stderr


def test_what_makes_no_sense_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no clip is named" in run(code=2).stderr
    said = run("clips/c.mp4", "a.mp4", code=2).stderr
    assert "set.csv: no row is called clips/c.mp4" in said
    assert "did you mean clips/b.mp4?" in said
    assert "no row was taken out that could be given back" in run("--give-back", code=2).stderr
    assert "no such file" in run("--project", "nowhere", "a.mp4", code=2).stderr
    assert (root / "set.csv").read_bytes() == ROWS.encode()
    (root / "set.csv").write_text('media_path;caption\na.mp4;"open\n')
    assert "never closed" in run("a.mp4", code=2).stderr
    monkeypatch.chdir(root.parent)
    assert "no dataset is given" in run("a.mp4", code=2).stderr
