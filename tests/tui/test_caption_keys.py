"""Every command of the caption editor, by its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.captions import status as caption_status
from ltx_tui.commands.registry import commands
from ltx_tui.drawing.signs import ASCII
from ltx_tui.screens.conflict import ConflictScreen
from ltx_tui.screens.replace import ReplaceScreen
from ltx_tui.screens.versions import VersionsScreen
from ltx_tui.screens.workbench import WorkbenchScreen
from ltx_tui.terminal import external
from ltx_tui.widgets.caption_area import SectionRow
from tests.tui.captioning import (
    CAPTIONS,
    SECTIONED,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)

KEYS = [(one.method, key) for one in commands("caption") for key in one.keys]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


def test_no_key_is_taken_by_the_text(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        done: list[str] = []
        editor: Any = editing.editor
        for method, _ in KEYS:
            setattr(editor, method, lambda method=method: done.append(method))
        for _, key in KEYS:
            await editing.press(key)
        assert done == [method for method, _ in KEYS]
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


# From clip to clip


def test_escape_goes_back_to_the_clips_and_saves(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x", "escape")
        screen: Any = editing.app.screen
        assert screen.pane == "clips"
        await editing.press("j")  # not for the text
        assert screen.clips.clip == "clip-1.mp4"
        await editing.until(lambda: "]: xA red" in editing.dataset()[0])
        assert "j" not in editing.dataset()[1]

    edit_captions(project, steps)


@pytest.mark.parametrize(("on", "back"), [("ctrl+down", "ctrl+up"), ("f8", "f7")])
def test_next_and_previous(project: Project, on: str, back: str) -> None:
    async def steps(editing: Editing) -> None:
        screen: Any = editing.app.screen
        await editing.press(on, on)
        await editing.until(lambda: editing.clip == screen.clips.clip == "clip-2.mp4")
        await editing.press(back)
        await editing.until(lambda: editing.clip == screen.clips.clip == "clip-1.mp4")
        await editing.press(back, back)
        await editing.until(lambda: editing.toasts == ["this is the first one"])
        await editing.go_to("clip-5.mp4")
        await editing.press(on)
        await editing.until(lambda: editing.toasts[-1] == "this is the last one")

    edit_captions(project, steps)


def test_only_clips_that_are_shown_are_gone_through(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        editing.store.set_filter("text:red")
        await editing.press("f8", "f8")
        await editing.until(lambda: editing.clip == "clip-3.mp4")

    edit_captions(project, steps)


def test_reviewed_and_on_to_the_next_to_review(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.captions.review([editing.captions.key_of(1)], reviewed=True)
        await editing.press("ctrl+n")
        await editing.until(lambda: editing.clip == "clip-2.mp4")
        states = [editing.store.get(index).caption_state for index in range(3)]
        assert states == ["reviewed", "reviewed", "none"]
        await editing.press("alt+down")
        await editing.until(lambda: editing.clip == "clip-3.mp4")
        assert editing.store.get(2).caption_state == "none"
        await editing.press("alt+up", "alt+up")
        await editing.until(lambda: editing.toasts == ["this is the first one"])
        assert editing.clip == "clip-2.mp4"

    edit_captions(project, steps)


def test_the_mark_of_review_comes_and_goes_and_falls_with_a_change(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+r")
        await editing.until(lambda: "✓ reviewed" in editing.screen_text)
        assert editing.store.get(0).caption_state == "reviewed"
        await editing.press("ctrl+r")
        await editing.until(lambda: "◌ auto" in editing.screen_text)
        await editing.press("ctrl+r", "x")
        await editing.save()
        assert editing.store.get(0).caption_state == "edited"
        await editing.go_to("clip-2.mp4")
        await editing.press("ctrl+r")
        await editing.until(lambda: any("nothing to review" in one for one in editing.toasts))

    edit_captions(project, steps)


def test_what_is_reviewed_before_it_is_saved_stays_reviewed(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x", "ctrl+r")
        await editing.until(lambda: editing.captions.mark(editing.doc.key, editing.doc.text))
        await editing.save()
        await editing.until(lambda: editing.store.get(0).caption_state == "reviewed")

    edit_captions(project, steps)


# The text


def test_undo_and_redo(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+z", "ctrl+y")
        await editing.until(lambda: editing.toasts == ["nothing to undo", "nothing to redo"])
        await editing.press(*"Old ", "ctrl+z")
        assert editing.doc.text == SECTIONED
        assert "VISUAL  A red fox" in editing.screen_text
        await editing.press("ctrl+y")
        assert editing.doc.text.startswith("[VISUAL]: Old A red")
        assert "VISUAL  Old A red fox" in editing.screen_text

    edit_captions(project, steps)


def test_undo_goes_to_the_section_that_it_changes(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("down", "down", *"No ", "ctrl+t", "up", "ctrl+z")
        row = editing.editor._focused
        assert isinstance(row, SectionRow)
        assert (row.section, row.is_folded) == ("SPEECH", False)
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


def test_sections_or_plain_text(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("f6")
        assert "[VISUAL]: A red fox" in editing.screen_text
        await editing.press("x")
        assert editing.doc.text == "x" + SECTIONED
        await editing.press("ctrl+z", "f8", "f7")
        assert "[VISUAL]: A red fox" in editing.screen_text
        await editing.press("f6")
        assert "VISUAL  A red fox" in editing.screen_text
        await editing.press("y")
        assert editing.doc.text == SECTIONED.replace("A red", "yA red")

    edit_captions(project, steps)


def test_a_section_is_folded_to_its_first_words(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+t")
        await editing.still()
        line = next(line for line in editing.lines if line.startswith("VISUAL"))
        assert line.startswith("VISUAL  ▸ A red fox trots")
        assert line.endswith("…")
        await editing.press("x")  # not for what is folded
        assert editing.doc.text == SECTIONED
        await editing.press("enter", "ctrl+t", "ctrl+t", "x")
        assert editing.doc.text == SECTIONED.replace("A red", "xA red")

    edit_captions(project, steps)


def test_arrows_lead_over_folded_sections(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("down", "down", "ctrl+t", "down")  # the first has two lines
        row = editing.editor._focused
        assert row is not None
        assert row.section == "SOUNDS"
        await editing.press("up", "up", "up")
        row = editing.editor._focused
        assert row is not None
        assert row.section == "VISUAL"

    edit_captions(project, steps)


def test_a_terminal_without_the_signs_gets_plain_ones(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_status, "signs", lambda: ASCII)

    async def steps(editing: Editing) -> None:
        await editing.press("x")
        await editing.save()
        await editing.press("down", "down", "ctrl+t")
        words = "* edited just now - 32/1,024 tokens - saved +"
        await editing.until(lambda: words in editing.lines)
        assert "SPEECH  > None" in editing.lines
        await editing.press("f9")
        await editing.still()
        assert "now - [VISUAL]" in editing.screen_text

    edit_captions(project, steps)


# The user's own editor


def test_the_users_editor_makes_one_step(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(_app: Workbench, file: Path) -> None:
        assert file.read_text("utf-8") == SECTIONED.replace("A red", "xA red")
        assert file.stat().st_mode & 0o077 == 0
        file.write_text("[VISUAL]: Another.\n", "utf-8")

    monkeypatch.setattr(external, "edit", edit)

    async def steps(editing: Editing) -> None:
        await editing.press("x", "ctrl+e")
        assert editing.doc.text == "[VISUAL]: Another."
        assert "VISUAL  Another." in editing.screen_text
        await editing.press("ctrl+z")
        assert "xA red" in editing.doc.text
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


@pytest.mark.parametrize(
    "fault", [UsageError("no editor is known", remedy="set EDITOR in the environment"), None]
)
def test_an_editor_that_fails_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, fault: UsageError | None
) -> None:
    def edit(_app: Workbench, file: Path) -> None:
        if fault is not None:
            raise fault
        file.unlink()

    monkeypatch.setattr(external, "edit", edit)

    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+e")
        words = "set EDITOR" if fault is not None else "left no file"
        await editing.until(lambda: any(words in one for one in editing.toasts))
        assert editing.doc.text == SECTIONED

    edit_captions(project, steps)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"EDITOR": "no-such-editor-anywhere"}, "is not there"),
        ({"VISUAL": "vi '"}, "makes no sense"),
    ],
)
def test_an_editor_that_is_not_there_is_explained(environ: Mapping[str, str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        external.editor(environ)


def test_which_editor_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"EDITOR": "cat", "VISUAL": "env -u X cat"}
    assert external.editor(environ) == ["env", "-u", "X", "cat"]
    assert external.editor({"EDITOR": "cat", "VISUAL": " "}) == ["cat"]
    monkeypatch.setattr("shutil.which", lambda name: name if name == "vi" else None)
    assert external.editor({}) == ["vi"]
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(UsageError, match="no editor is known"):
        external.editor({})


# Other screens


@pytest.mark.parametrize(("key", "screen"), [("ctrl+f", ReplaceScreen), ("f9", VersionsScreen)])
def test_other_screens_open_and_close(project: Project, key: str, screen: type) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press(key)
        assert isinstance(editing.app.screen, screen)
        await editing.press("escape", "x")
        assert editing.doc.text == SECTIONED.replace("A red", "xA red")

    edit_captions(project, steps)


def test_a_conflict_elsewhere_is_gone_to(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+g")
        await editing.until(lambda: editing.toasts == ["there is no conflict"])
        await editing.press("x")
        editing.change_outside(0, "Theirs.")
        await editing.save()
        await editing.press("f8")
        await editing.until(
            lambda: "1 other caption changed here and outside: ctrl+g" in editing.screen_text
        )
        await editing.press("ctrl+g")
        await editing.until(lambda: isinstance(editing.app.screen, ConflictScreen))
        await editing.press("escape")
        assert editing.clip == "clip-0.mp4"
        assert editing.dataset() == ["Theirs.", *CAPTIONS[1:]]

    edit_captions(project, steps)


# At the start


def test_the_caption_gets_the_focus_that_was_asked_for_before_it_was_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = WorkbenchScreen._complete

    async def asked_before(screen: WorkbenchScreen) -> None:
        screen.show_pane("caption")
        await asyncio.sleep(0.05)
        assert screen.focused is not None  # the details have it
        await complete(screen)

    monkeypatch.setattr(WorkbenchScreen, "_complete", asked_before)

    async def steps(editing: Editing) -> None:
        await editing.until(lambda: editing.editor.has_focus_within)
        await editing.press("x")
        assert editing.doc.text == SECTIONED.replace("A red", "xA red")

    edit_captions(project, steps, pane="")
