"""The versions of a caption: what is kept, what restoring changes, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll

from engine.dataset.versions import Kind
from engine.errors import EnvironmentFaultError
from engine.project import Project
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.status import ago
from ltx_tui.commands.registry import commands
from ltx_tui.screens.versions import VersionsScreen
from tests.tui.captioning import (
    CAPTIONS,
    SECTIONED,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot

BLUE = SECTIONED.replace("A red fox trots across", "A blue fox runs over")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


async def history(editing: Editing) -> VersionsScreen:
    """Make three versions, the last by another program, and look at them."""
    await editing.save()
    await editing.type_over(BLUE)
    await editing.save()
    editing.change_outside(0, SECTIONED.replace("red fox", "red vixen"))
    await editing.save()
    return await look(editing)


async def look(editing: Editing) -> VersionsScreen:
    await editing.press("f9")
    screen = editing.app.screen
    assert isinstance(screen, VersionsScreen)
    await editing.pilot.pause()
    return screen


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_versions_and_what_restoring_changes(project: Project, size: tuple[int, int]) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        await editing.press("j")
        if size == WIDE:  # there is room for two beside each other
            await editing.press("d")
        await editing.still()
        kinds = [line.split()[2] for line in editing.lines[1:4]]
        assert kinds == ["outside", "edited", "auto"]
        assert "now · [VISUAL]: A red vixen" in editing.lines[1]
        assert "3 versions · what restoring it would change" in editing.screen_text
        assert "A [-red vixen trots across-]{+blue fox runs over+} snow" in " ".join(
            line.strip() for line in editing.lines
        )
        assert_snapshot(editing.app, f"versions-{size[0]}x{size[1]}")

    edit_captions(project, steps, size=size)


@pytest.mark.parametrize(
    ("keys", "text"), [(("j",), BLUE), (("down", "j", "k", "j"), SECTIONED), (("j", "up"), "")]
)
def test_the_chosen_version_is_restored_and_that_is_undone(
    project: Project, keys: tuple[str, ...], text: str
) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        now = editing.doc.text
        await editing.press(*keys, "enter")
        assert not isinstance(editing.app.screen, VersionsScreen)
        assert editing.doc.text == (text or now)
        if not text:
            assert editing.toasts == []
            return
        assert editing.toasts[-1].endswith("version is back; ctrl+z undoes it")
        await editing.save()
        assert editing.dataset()[0] == text
        newest = (await editing.captions.versions(editing.doc.key))[0]
        assert (newest.kind, newest.text) == (Kind.RESTORED, text)
        await editing.press("ctrl+z")
        assert editing.doc.text == now

    edit_captions(project, steps)


@pytest.mark.parametrize("key", ["escape", "f9"])
def test_going_back_restores_nothing(project: Project, key: str) -> None:
    async def steps(editing: Editing) -> None:
        await history(editing)
        now = editing.doc.text
        await editing.press("j", key)
        assert not isinstance(editing.app.screen, VersionsScreen)
        assert editing.doc.text == now

    edit_captions(project, steps)


def test_a_long_difference_is_scrolled(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.save()
        await editing.type_over("\n".join(f"line {number}" for number in range(60)))
        await editing.save()
        screen = await look(editing)
        text = screen.query_one("#difference", VerticalScroll)
        page = text.size.height
        for down, up in (("ctrl+d", "ctrl+u"), ("pagedown", "pageup")):
            await editing.press(down)
            assert text.scroll_offset.y == page
            await editing.press(up)
            assert text.scroll_offset.y == 0
        await editing.press("pagedown", "j")
        assert text.scroll_offset.y == 0

    edit_captions(project, steps)


def test_what_was_just_typed_becomes_a_version(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x")
        screen = await look(editing)
        await editing.until(lambda: len(screen._list.versions) == 2)
        newest = screen._list.versions[0]
        assert (newest.kind, newest.text) == (Kind.EDITED, editing.doc.text)
        await editing.press("j")
        editing.change_outside(0, BLUE)
        await editing.captions.save()
        await editing.until(lambda: len(screen._list.versions) == 3)
        # The one that was chosen still is.
        assert screen._chosen is not None
        assert screen._chosen.text == SECTIONED

    edit_captions(project, steps)


def test_a_caption_without_versions(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.go_to("clip-5.mp4")
        await look(editing)
        assert "no versions yet" in editing.screen_text
        assert "Fog." in editing.screen_text
        await editing.press("j", "enter")
        assert editing.doc.text == CAPTIONS[5]

    edit_captions(project, steps)


def test_control_characters_of_a_version_are_seen(tmp_path: Path) -> None:
    project = caption_project(tmp_path / "p", ["\x1b[2J old"])

    async def steps(editing: Editing) -> None:
        await editing.type_over("new")
        await editing.save()
        await look(editing)
        await editing.press("j")
        await editing.still()
        assert "\\x1b[2J old" in editing.lines[2]
        assert "\x1b" not in editing.screen_text

    edit_captions(project, steps)


def test_versions_that_cannot_be_read_are_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_captions: Captions, _key: object) -> None:
        raise EnvironmentFaultError("damaged\x1b", remedy="move it away")

    monkeypatch.setattr(Captions, "versions", fail)

    async def steps(editing: Editing) -> None:
        await look(editing)
        assert "damaged\\x1b" in editing.toasts[0]

    edit_captions(project, steps)


def test_all_commands_are_bound(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        screen: Any = await history(editing)
        done: list[str] = []
        keys = [(one.method, key) for one in commands("versions") for key in one.keys]
        for method, _ in keys:
            setattr(screen, method, lambda method=method: done.append(method))
        for _, key in keys:
            await editing.press(key)
        assert done == [method for method, _ in keys]

    edit_captions(project, steps)


def test_how_long_ago() -> None:
    words = [ago(seconds) for seconds in (3, 59.9, 60, 3599, 3600, 86399, 86400, 200000)]
    assert words == [
        "just now",
        "just now",
        "1 min ago",
        "59 min ago",
        "1 h ago",
        "23 h ago",
        "1 day ago",
        "2 days ago",
    ]
