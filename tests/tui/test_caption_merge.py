"""The dataset file while others write it, or when it cannot be written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.dataset.caption_db import Key
from engine.dataset.write_captions import Answer
from engine.project import Project
from ltx_tui.captions import editing as captions_module
from tests.tui.captioning import SECTIONED, Editing, caption_project, edit_captions, keep_quiet
from tests.tui.rows import make_row, store_of


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora", trigger="FOXTOK")


def test_a_change_outside_is_shown_and_merged(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.save()
        await editing.press("f8", "x")
        editing.change_outside(0, "[VISUAL]: Theirs.")
        editing.change_outside(3, "Theirs too.")
        await editing.save()
        assert editing.dataset()[:4] == [
            "[VISUAL]: Theirs.",
            "xA red car drives by.",
            "",
            "Theirs too.",
        ]
        assert editing.store.get(3).caption == "Theirs too."
        await editing.until(lambda: "merged 2 captions changed" in editing.screen_text)
        await editing.press("f7")
        assert editing.doc.text == "[VISUAL]: Theirs."
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


def test_a_file_that_cannot_be_written_is_told_and_drafts_are_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_request: object) -> Answer:
        return Answer(problem="the disk is full", remedy="make room")

    async def steps(editing: Editing) -> None:
        monkeypatch.setattr("ltx_tui.captions.editing.write_captions", fail)
        await editing.press("x")
        await editing.save()
        await editing.until(lambda: "make room" in " ".join(editing.lines))
        await editing.still()
        assert "⚠ not saved: the disk is full" in editing.screen_text
        keep_quiet(monkeypatch)
        await editing.save()
        await editing.until(lambda: "not saved" not in editing.screen_text)
        assert "]: xA red" in editing.dataset()[0]

    edit_captions(project, steps)


def test_two_workbenches_share_a_caption(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x")
        await editing.save()
        other = captions_module.Captions(project, editing.store)
        await other.start()
        doc = await other.open(editing.doc.key)
        assert doc.text == editing.doc.text
        other.edit(doc, doc.text + " more")
        await other.save()
        await other.close()
        editing.captions._has_to_look = True
        await editing.save()
        assert editing.doc.text.endswith(" more")

    edit_captions(project, steps)


def test_the_file_is_looked_at_from_time_to_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_module, "LOOK_EVERY", 0.02)

    async def steps(editing: Editing) -> None:
        await editing.save()
        editing.change_outside(0, "Theirs: " + SECTIONED)
        editing.captions._has_to_look = False
        await editing.until(lambda: "Theirs:" in editing.screen_text)

    edit_captions(project, steps)


def test_what_comes_in_before_the_cursor_does_not_push_it_along(tmp_path: Path) -> None:
    project = caption_project(tmp_path / "p", ["A stream."])

    async def steps(editing: Editing) -> None:
        await editing.save()
        editing.change_outside(0, "Theirs: A stream.")
        await editing.save()
        await editing.press("e", "x")
        await editing.until(lambda: editing.doc.text == "xTheirs: A stream.")

    edit_captions(project, steps, pane="clips")


def test_a_file_that_is_half_written_is_looked_at_again_before_it_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(editing: Editing) -> None:
        await editing.save()
        whole = project.dataset_path.read_text("utf-8")
        project.dataset_path.write_text(whole[:40], "utf-8")
        editing.captions._has_to_look = True
        await editing.save()
        assert editing.captions.problem is None
        await editing.save()
        assert editing.captions.problem is not None
        await editing.until(lambda: "⚠ not saved" in editing.screen_text)
        project.dataset_path.write_text(whole, "utf-8")
        await editing.save()
        assert editing.captions.problem is None

    edit_captions(project, steps)


def test_many_captions_are_let_go_when_they_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltx_tui.captions import book as caption_book

    monkeypatch.setattr(caption_book, "_MOST_DOCS", 3)
    monkeypatch.setattr(caption_book, "_FORGET_EVERY", 2)
    many = caption_project(tmp_path / "many", [f"Caption {number}." for number in range(12)])

    async def steps(editing: Editing) -> None:
        keys = [editing.captions.key_of(index) for index in range(12)]
        texts = {key: (editing.captions.text_of(key), "New.") for key in keys}
        assert await editing.captions.replace(texts) == 12
        await editing.captions.save()
        assert editing.dataset() == ["New."] * 12
        assert list(editing.captions._docs) == [keys[0], *keys[-3:]]  # the first is in the editor
        assert editing.doc is editing.captions.in_hand(keys[0])
        doc = await editing.captions.open(keys[1])
        assert editing.captions.undo(doc)
        assert doc.text == "Caption 1."

    edit_captions(many, steps)


def test_rows_of_one_name_are_told_apart_by_their_number(tmp_path: Path) -> None:
    project = Project.defaults(tmp_path)
    store = store_of([make_row(at, name=name) for at, name in enumerate(("a", "b", "a", "a"))])

    async def run() -> None:
        captions = captions_module.Captions(project, store)
        keys = [captions.key_of(index) for index in range(4)]
        assert keys == [Key("a"), Key("b"), Key("a", 1), Key("a", 2)]
        assert [captions.index_of(key) for key in keys] == [0, 1, 2, 3]
        # Rows may be gone that somebody still has the key of.
        for gone in (Key("a", 3), Key("b", 1), Key("c")):
            assert captions.index_of(gone) is None
            with pytest.raises(KeyError):
                captions.text_of(gone)
        await captions.close()

    asyncio.run(run())
