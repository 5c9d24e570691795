"""A caption that was changed here and elsewhere: both are kept until the user decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.dataset.versions import Kind
from engine.project import Project
from ltx_tui.commands.registry import commands
from ltx_tui.screens.conflict import ConflictScreen
from tests.tui.captioning import (
    CAPTIONS,
    SECTIONED,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot

MINE = SECTIONED.replace("A red", "xA red")
THEIRS = SECTIONED.replace("red fox", "red vixen")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


async def clash(editing: Editing, theirs: str | None = THEIRS) -> ConflictScreen:
    """Change a caption on both sides, and open the screen."""
    await editing.save()
    await editing.press("x")
    editing.change_outside(0, theirs)
    await editing.save()
    assert editing.doc.clash is not None
    await editing.press("ctrl+g")
    await editing.until(lambda: isinstance(editing.app.screen, ConflictScreen))
    await editing.pilot.pause()
    screen = editing.app.screen
    assert isinstance(screen, ConflictScreen)
    return screen


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_both_sides_are_seen(project: Project, size: tuple[int, int]) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing)
        await editing.still()
        text = editing.screen_text
        assert "clip-0.mp4 was edited here, and it was also changed in" in text
        assert "[VISUAL]: xA red fox" in text
        assert "[VISUAL]: A red vixen" in text
        assert "[-xA-]{+A+} red [-fox-]{+vixen+}" in text
        assert_snapshot(editing.app, f"conflict-{size[0]}x{size[1]}")

    edit_captions(project, steps, size=size)


def test_until_it_is_decided_neither_is_lost(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing)
        await editing.press("escape")
        await editing.still()
        assert "it was changed in the dataset file as well: ctrl+g" in editing.screen_text
        assert "⚠ conflict" in editing.screen_text
        await editing.press("y")
        await editing.save()
        assert editing.dataset()[0] == THEIRS
        assert editing.doc.text == SECTIONED.replace("A red", "xyA red")

    edit_captions(project, steps)


def test_mine_is_kept(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing)
        await editing.press("m")
        assert not isinstance(editing.app.screen, ConflictScreen)
        await editing.until(lambda: editing.dataset()[0] == MINE)
        kinds = [one.kind for one in await editing.captions.versions(editing.doc.key)]
        assert kinds[:2] == [Kind.EDITED, Kind.AUTO]
        assert (await editing.captions.versions(editing.doc.key))[1].text == THEIRS

    edit_captions(project, steps)


def test_theirs_is_taken_and_mine_can_be_had_back(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing)
        await editing.press("t")
        await editing.until(lambda: editing.doc.text == THEIRS)
        await editing.until(lambda: "A red vixen" in editing.screen_text)
        await editing.save()
        assert editing.dataset()[0] == THEIRS
        versions = await editing.captions.versions(editing.doc.key)
        assert (Kind.SET_ASIDE, MINE) in [(one.kind, one.text) for one in versions]
        await editing.press("ctrl+z")
        assert editing.doc.text == MINE
        await editing.save()
        assert editing.dataset()[0] == MINE

    edit_captions(project, steps)


def test_both_are_edited_together(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing)
        await editing.press("b")
        both = f"{MINE}\n\n{THEIRS}"
        await editing.until(lambda: editing.doc.text == both)
        await editing.save()
        assert editing.dataset()[0] == THEIRS
        await editing.until(lambda: "✎ draft, both texts" in editing.screen_text)
        await editing.press("z")
        await editing.save()
        assert "z" in editing.dataset()[0]
        assert "xA red" in editing.dataset()[0]

    edit_captions(project, steps)


def test_a_row_that_is_gone_is_added_again_or_left_out(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing, None)
        await editing.still()
        assert "its row is gone from the dataset file" in editing.screen_text
        assert "no row: m adds it again" in editing.screen_text
        await editing.press("escape")
        await editing.press("ctrl+g", "m")
        await editing.until(lambda: MINE in editing.dataset())
        assert len(editing.dataset()) == len(CAPTIONS)

    edit_captions(project, steps)


def test_a_row_that_is_gone_stays_so(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await clash(editing, None)
        await editing.press("t")
        await editing.until(lambda: editing.doc.clash is None)
        await editing.save()
        assert editing.dataset() == list(CAPTIONS[1:])
        assert editing.captions.conflicts == []
        newest = (await editing.captions.versions(editing.doc.key))[0]
        assert (newest.kind, newest.text) == (Kind.SET_ASIDE, MINE)

    edit_captions(project, steps)


def test_the_same_change_on_both_sides_is_no_conflict(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.save()
        await editing.press("x")
        editing.change_outside(0, MINE)
        await editing.save()
        assert editing.doc.clash is None
        assert editing.doc.is_saved

    edit_captions(project, steps)


def test_all_commands_are_bound(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        screen: Any = await clash(editing)
        done: list[str] = []
        keys = [(one.method, key) for one in commands("conflict") for key in one.keys]
        for method, _ in keys:
            setattr(screen, method, lambda method=method: done.append(method))
        for _, key in keys:
            await editing.press(key)
        assert done == [method for method, _ in keys]

    edit_captions(project, steps)
