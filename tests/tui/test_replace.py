"""Find and replace: what is seen before is what is done, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from engine.dataset.replace_text import MOST_CHANGES, Change, Found, Query
from engine.errors import UsageError
from engine.project import Project
from ltx_tui.children import captions as caption_children
from ltx_tui.commands.registry import commands
from ltx_tui.screens import replace as replace_module
from ltx_tui.screens.replace import ReplaceScreen
from tests.tui.captioning import (
    CAPTIONS,
    NAMES,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)
    monkeypatch.setattr(replace_module, "_AFTER", 0.01)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


async def look_for(
    editing: Editing, find: str, replacement: str = "", *, marked: bool = True
) -> ReplaceScreen:
    """Open the screen, type, and wait for what is found; the list has the focus."""
    if marked:
        editing.store.mark(NAMES)
    await editing.press("ctrl+f")
    screen = editing.app.screen
    assert isinstance(screen, ReplaceScreen)
    screen.query_one("#find", Input).value = find
    screen.query_one("#replace", Input).value = replacement
    await editing.press("enter", "enter")
    await editing.until(lambda: screen._list.has_focus and screen._is_current)
    await editing.pilot.pause()
    return screen


def changes(editing: Editing) -> list[str]:
    return [line for line in editing.lines if line.startswith((" [✓]", " [ ]"))]


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_every_change_is_seen_before(project: Project, size: tuple[int, int]) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        await editing.press("j", "space")
        await editing.still()
        assert "f8 in 6 marked captions" in editing.screen_text
        assert "3 of 4 changes chosen in 3 captions" in editing.screen_text
        lines = changes(editing)
        assert "A [-red-]{+blue+} car drives by." in lines[1]
        assert [line[:4] for line in lines] == [" [✓]", " [ ]", " [✓]", " [✓]"]
        assert_snapshot(editing.app, f"replace-{size[0]}x{size[1]}")

    edit_captions(project, steps, size=size)


def test_what_is_chosen_is_replaced_and_each_undone_by_itself(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        await editing.press("down", "down", "up", "k", "j", "space", "enter")
        await editing.until(lambda: any("replaced in 2 captions" in t for t in editing.toasts))
        await editing.until(lambda: "blue fox" in editing.dataset()[0])
        assert editing.dataset()[1] == CAPTIONS[1]
        assert editing.dataset()[3] == "Two blue birds; a blue sky."
        await editing.press("ctrl+z")
        assert editing.doc.text == CAPTIONS[0]
        await editing.go_to("clip-3.mp4")
        await editing.press("ctrl+z")
        assert editing.doc.text == CAPTIONS[3]

    edit_captions(project, steps)


def test_all_and_none_are_chosen(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        await editing.press("A")
        await editing.pilot.pause()
        assert [line[:4] for line in changes(editing)] == [" [ ]"] * 4
        await editing.press("enter")
        await editing.until(lambda: editing.toasts == ["no change is chosen"])
        await editing.press("a")
        await editing.pilot.pause()
        assert [line[:4] for line in changes(editing)] == [" [✓]"] * 4

    edit_captions(project, steps)


def test_case_matters_or_not(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "FOG", "Mist")
        assert len(changes(editing)) == 1
        await editing.press("f7")
        await editing.until(lambda: "nothing found" in editing.screen_text)
        assert "case matters" in editing.screen_text
        await editing.press("f7")
        await editing.until(lambda: len(changes(editing)) == 1)

    edit_captions(project, steps)


def test_regular_expressions_with_groups(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, r"(a|two) red (\w+)", r"\1 \2 in red")
        assert changes(editing) == []
        await editing.press("f6")
        await editing.until(lambda: len(changes(editing)) == 4)
        assert "regular expression" in editing.screen_text
        assert "[-A red car-]{+A car in red+}" in editing.screen_text
        await editing.press("enter")
        await editing.until(lambda: "A car in red" in editing.dataset()[1])

    edit_captions(project, steps)


@pytest.mark.parametrize(
    ("find", "words"), [("(", "the expression makes no sense"), ("(a+)+$b", "takes too long")]
)
def test_an_expression_without_sense_or_end_is_explained(
    project: Project, monkeypatch: pytest.MonkeyPatch, find: str, words: str
) -> None:
    monkeypatch.setattr(caption_children, "SEARCH_SECONDS", 0.1 if find != "(" else 10)

    async def steps(editing: Editing) -> None:
        await editing.type_over("a" * 60)
        await editing.press("ctrl+f", "f6", *find)
        await editing.until(lambda: words in editing.screen_text)
        await editing.press("enter", "enter", "enter")
        await editing.until(lambda: editing.toasts == ["no change is chosen"])

    edit_captions(project, steps)


def test_in_this_caption_or_in_the_marked_ones(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue", marked=False)
        assert "f8 in this caption" in editing.screen_text
        assert len(changes(editing)) == 1
        await editing.press("f8")
        await editing.until(lambda: editing.toasts == ["no clips are marked"])
        await editing.press("escape")
        await look_for(editing, "red", "blue")
        assert len(changes(editing)) == 4
        await editing.press("f8")
        await editing.until(lambda: len(changes(editing)) == 1)
        assert "f8 in this caption" in editing.screen_text

    edit_captions(project, steps)


def test_escape_replaces_nothing(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        await editing.press("escape")
        assert not isinstance(editing.app.screen, ReplaceScreen)
        await editing.save()
        assert editing.dataset() == list(CAPTIONS)

    edit_captions(project, steps)


def test_what_changed_meanwhile_is_left_alone(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        editing.change_outside(1, "Another red car.")
        await editing.captions.save()
        await editing.press("enter")
        await editing.until(lambda: editing.toasts)
        assert editing.toasts[-1] == (
            "replaced in 2 captions; ctrl+z undoes it in each; "
            "1 caption changed meanwhile and left alone"
        )
        await editing.save()
        assert editing.dataset()[1] == "Another red car."

    edit_captions(project, steps)


def test_only_so_many_changes_are_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    async def many(*_: object) -> Found:
        change = Change(text=0, start=11, old="A", new="The")
        return Found(changes=(change,) * MOST_CHANGES, is_cut=True)

    monkeypatch.setattr(replace_module, "find_changes", many)

    async def steps(editing: Editing) -> None:
        await look_for(editing, "A", "The")
        assert editing.toasts[0] == "only the first 20,000 are shown"
        assert "20,000 of 20,000 changes chosen" in editing.screen_text

    edit_captions(project, steps)


def test_a_fault_is_drawn_without_control_characters(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Found:
        raise UsageError("not\x1b today", remedy="tomorrow")

    monkeypatch.setattr(replace_module, "find_changes", fail)

    async def steps(editing: Editing) -> None:
        await look_for(editing, "red")
        assert "not\\x1b today — tomorrow" in editing.screen_text

    edit_captions(project, steps)


def test_what_is_typed_is_not_taken_for_a_command(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("ctrl+f", *"jA k", "enter", *"a A", "tab")
        screen = editing.app.screen
        assert isinstance(screen, ReplaceScreen)
        assert screen._wanted == Query(find="jA k", replace="a A")

    edit_captions(project, steps)


def test_nothing_is_replaced_while_it_is_searched(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(editing: Editing) -> None:
        await look_for(editing, "red", "blue")
        monkeypatch.setattr(replace_module, "_AFTER", 60)
        await editing.press("f7", "enter")
        await editing.until(lambda: editing.toasts == ["still searching"])
        assert editing.doc.text == CAPTIONS[0]

    edit_captions(project, steps)


def test_all_commands_are_bound_where_the_list_has_the_focus(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        screen: Any = await look_for(editing, "red", "blue")
        done: list[str] = []
        keys = [(one.method, key) for one in commands("replace") for key in one.keys]
        for method, _ in keys:
            setattr(screen, method, lambda method=method: done.append(method))
        for _, key in keys:
            await editing.press(key)
        assert done == [method for method, _ in keys]

    edit_captions(project, steps)
