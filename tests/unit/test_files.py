"""Writes that are whole or not there, paths that stay inside, text that cannot drive a terminal."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LtxError
from engine.files.safe import atomic_path, atomic_write, inside, remove_partial_files
from engine.text import listed, plural, visible


def test_a_write_replaces_the_file_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.json"
    atomic_write(file, b"one")
    file.chmod(0o640)
    atomic_write(file, b"two")
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")

    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        # What a trainer globs never matches what is being written.
        assert not list(tmp_path.glob("**/*.pt"))
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"), atomic_path(file) as part:
        fail(part)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(b"old")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"new"


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    keep = [tmp_path / "a.pt", tmp_path / "b.part", tmp_path / ".hidden"]
    for path in keep:
        path.touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".a.pt.q8_1.part").touch()
    remove_partial_files(tmp_path)
    remove_partial_files(tmp_path / "absent")
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(keep)


@pytest.mark.parametrize("path", ["../a.pt", "a/../../b.pt", "/etc/a.pt", ""])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(LtxError, match="leaves its folder"):
        inside(tmp_path, path)


def test_a_path_inside_is_joined(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.pt") == tmp_path / "a" / "b.pt"


@given(st.text())
def test_visible_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202e\u2066\u2069")


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_escapes_are_shown() -> None:
    assert visible("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert visible("a\nb", keep="\n") == "a\nb"
    assert visible("ünïcödé 兔子 🐇") == "ünïcödé 兔子 🐇"


def test_counts_and_lists_read_well() -> None:
    assert plural(1, "clip") == "1 clip"
    assert plural(1204, "clip") == "1,204 clips"
    assert plural(2, "clip has", "clips have") == "2 clips have"
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdef")) == "a, b, c and 3 more"
