"""The first start: from a pipe, on paths of all kinds, in projects that are broken somewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from textual.pilot import Pilot

from engine.overview.file import FILE
from engine.project import Project, load_project
from ltx_tui.app import Workbench
from ltx_tui.cli.main import cli
from tests.tui.conftest import ready, run_app, shown


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the program without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "ltx_tui", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "TERM"},
        timeout=60,
        check=False,
    )


def test_without_a_terminal_there_is_help(tmp_path: Path) -> None:
    done = called(tmp_path)
    assert done.returncode == 0
    assert "ltx-tui [PROJECT]" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_project_without_a_terminal_is_refused(project: Project) -> None:
    for path in (str(project.root), "dataset.json", "project.toml", "."):
        done = called(project.root, path)
        assert done.returncode == 2, path
        assert "the workbench needs a terminal" in done.stderr
        assert "ltx-tui --help" in done.stderr
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/folder", "there is no file or folder 'no/such/folder'"),
        ("project.tml", "there is no file or folder 'project.tml'"),
        ("statu", "did you mean 'status'?"),
        ("zzz", "there is no command 'zzz'"),
    ],
)
def test_what_is_neither_command_nor_path_is_refused(name: str, said: str) -> None:
    assert isinstance(cli, click.Group)
    with pytest.raises(click.UsageError) as caught:
        cli.resolve_command(click.Context(cli), [name])
    assert said in caught.value.message


def test_a_path_opens_the_workbench_and_a_command_stays_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(cli, click.Group)
    monkeypatch.chdir(project.root)
    (project.root / "status").mkdir()
    for path in (str(project.root), ".", "dataset.json"):
        name, command, rest = cli.resolve_command(click.Context(cli), [path, "--no-mouse"])
        assert (name, rest) == ("workbench", [path, "--no-mouse"])
        assert command is not None
        assert command.hidden
    assert cli.resolve_command(click.Context(cli), ["status"])[0] == "status"


async def lines(pilot: Pilot[Any], *words: str) -> str:
    """Wait until words are on the screen; return all of it in one line."""
    for _ in range(400):
        text = " ".join(" ".join(shown(pilot.app)).split())
        if all(one in text for one in words):
            return text
        await pilot.pause(0.05)
    raise AssertionError(f"{words} never came:\n" + "\n".join(shown(pilot.app)))


def begun(project: Project, *words: str) -> str:
    """Return what the workbench shows of a project once some words are there."""
    app, texts = Workbench(project.root, project), []

    async def steps(pilot: Pilot[Any]) -> None:
        texts.append(await lines(pilot, *words))

    run_app(app, steps)
    return texts[0]


def test_a_dataset_that_is_missing_is_told_with_the_way_out(project: Project) -> None:
    (project.root / "dataset.json").unlink()
    text = begun(project, "cannot be read: No such file or directory", "f5 tries again")
    assert "dataset.path in the settings, f2" in text


def test_a_dataset_that_is_damaged_is_told_with_its_line(project: Project) -> None:
    (project.root / "dataset.json").write_text('[{"caption": "x", "media_path": ', "utf-8")
    begun(project, "line 1, character", "mend the JSON there", "f5 tries again")


def test_an_overview_that_is_damaged_is_made_again(project: Project) -> None:
    for name in (FILE, "workbench.json"):
        (project.state_dir / name).parent.mkdir(exist_ok=True)
        (project.state_dir / name).write_bytes(os.urandom(3000))
    begun(project, "6 clips", "clip-5.mp4")


def test_drafts_that_cannot_be_kept_stop_editing_and_nothing_else(project: Project) -> None:
    project.state_dir.mkdir(exist_ok=True)
    (project.state_dir / "captions.db").write_bytes(os.urandom(3000))
    app = Workbench(project.root, project)

    async def steps(pilot: Pilot[Any]) -> None:
        await lines(pilot, "6 clips", "clip-5.mp4")
        screen = await ready(pilot)
        await pilot.press("e", *"typed")
        await lines(pilot, "nothing can be edited", "drafts of captions cannot be kept")
        assert screen.editor is not None
        assert screen.editor.doc is not None
        assert screen.editor.doc.text == "A rabbit."

    run_app(app, steps)


def test_a_folder_that_nothing_can_be_written_to_is_told(project: Project) -> None:
    if project.state_dir.exists():
        shutil.rmtree(project.state_dir)
    project.state_dir.touch()  # whoever runs the tests may write anywhere
    begun(load_project(project.root / "project.toml"), "make its folder writable")
