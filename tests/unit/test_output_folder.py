"""The outputs of a folder, looked at together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.files.identity import stat_identity
from engine.precompute.output_folder import OutputFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "latents"
    for name in ("a.pt", "sub/b.pt", "sub/deep/c.pt", "other.txt", ".hidden.pt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "folder.pt").mkdir()
    return root


def test_all_files_with_the_suffix_are_found_at_any_depth(folder: Path) -> None:
    found = OutputFolder(folder, ".pt")
    assert sorted(found) == [".hidden.pt", "a.pt", "sub/b.pt", "sub/deep/c.pt"]
    for name in found:
        assert found.look(name) == stat_identity(folder / name)


def test_what_is_no_file_is_not_there(folder: Path) -> None:
    found = OutputFolder(folder, ".pt")
    for name in ("folder.pt", "nothing.pt", "sub", "a.pt/b.pt", "x" * 300 + ".pt", "\0.pt"):
        assert found.look(name) is None


def test_linked_folders_are_no_orphans_but_their_outputs_are_seen(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.pt").write_text("d")
    (folder / "link").symlink_to(elsewhere)
    found = OutputFolder(folder, ".pt")
    assert "link/d.pt" not in set(found)
    assert found.look("link/d.pt") == stat_identity(elsewhere / "d.pt")


def test_a_broken_link_is_no_output(folder: Path) -> None:
    (folder / "gone.pt").symlink_to(folder / "nowhere.pt")
    found = OutputFolder(folder, ".pt")
    assert "gone.pt" not in set(found)
    assert found.look("gone.pt") is None


def test_names_that_are_no_utf8_are_found(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.pt")
    (folder / name).write_text("x")
    assert OutputFolder(folder, ".pt").look(name) == stat_identity(folder / name)


def test_no_folder_no_outputs(tmp_path: Path) -> None:
    found = OutputFolder(tmp_path / "none", ".pt")
    assert list(found) == []
    assert found.look("a.pt") is None
