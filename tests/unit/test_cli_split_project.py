"""`ltx-tui split-scenes` in a project: its settings, its folder, rows in its dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.project import Project, load_project
from tests.scene_videos import make_shots
from tests.unit.test_cli_split_scenes import QUICK, names, run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "lora"
    root.mkdir()
    (root / "project.toml").write_text(
        '[scenes]\noutput_dir = "cut"\nfilter_shorter_than = "34"\npreset = "ultrafast"\n'
    )
    (root / "dataset.json").write_text(
        '[{"caption": "mine", "media_path": "cut/film-Scene-001.mp4"}]'
    )
    make_shots(root / "film.mp4")
    return load_project(root / "project.toml")


def captions(project: Project) -> dict[str, str]:
    rows = json.loads(project.dataset_path.read_text())
    return {row["media_path"]: row["caption"] for row in rows}


def test_the_project_says_where_and_how(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    said = run("film.mp4", "--add-to-dataset", "--jobs", 1)
    assert "4 scenes, 2 kept, 2 written" in said.stdout
    assert names(project.root / "cut") == ["film-Scene-001.mp4", "film-Scene-002.mp4"]
    assert "dataset.json: 1 row added, 1 there already" in said.stdout
    assert captions(project) == {"cut/film-Scene-001.mp4": "mine", "cut/film-Scene-002.mp4": ""}
    again = run("film.mp4", "--add-to-dataset", "--jobs", 1, "--json")
    last = json.loads(again.stdout.splitlines()[-1])
    assert (last["tell"], last["names"], last["there"]) == ("rows", [], 2)


def test_an_option_wins_and_a_threshold_is_of_its_detector(project: Project) -> None:
    assert project.file is not None
    text = project.file.read_text()
    project.file.write_text(text + "threshold = 200.0\n")
    film, out = project.root / "film.mp4", project.root / "out"
    assert ": 1 scene," in run(film, out, "--dry-run").stdout
    plain = run(film, out, "--dry-run", "--detector", "hash", "--filter-shorter-than", "").stdout
    assert ": 4 scenes," in plain
    some = run(film, out, "--dry-run", "--threshold", 27, "--filter-shorter-than", "50").stdout
    assert ": 4 scenes, 1 kept" in some
    assert "does not suit" in run(film, out, "--threshold", 999, code=2).stderr


def test_rows_of_pieces_that_are_gone_are_named(project: Project) -> None:
    film, out = project.root / "film.mp4", project.root / "cut"
    run(film, out, *QUICK, "--add-to-dataset", "--filter-shorter-than", "")
    assert len(captions(project)) == 4
    said = run(film, out, *QUICK, "--add-to-dataset", "--max-scenes", 3).stderr
    assert "rows of it name pieces that are gone: cut/film-Scene-003.mp4" in said
    assert len(captions(project)) == 4


def test_rows_need_a_project_and_pieces(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = project.root / "film.mp4"
    said = run(film, tmp_path / "out", "--add-to-dataset", code=2).stderr
    assert "--add-to-dataset goes with" in said
    said = run(film, project.root / "cut", "--add-to-dataset", "--dry-run", code=2).stderr
    assert "leave --dry-run out" in said
    monkeypatch.chdir(tmp_path)
    assert "no folder for the pieces" in run(film, code=2).stderr
