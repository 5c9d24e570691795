"""The caption editor: what it shows, what it keeps, and what it never loses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.dataset.drafts import Draft
from engine.errors import EnvironmentFaultError
from engine.project import Project, load_project
from ltx_tui.captions import editing as captions_module
from ltx_tui.captions.shelf import Shelf
from ltx_tui.children.token_counts import TokenCount, TokenCounts
from tests.tui.captioning import (
    CAPTIONS,
    SECTIONED,
    Editing,
    caption_project,
    captions_of,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_quiet(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora", trigger="FOXTOK")


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_shows_sections_trigger_and_count(project: Project, size: tuple[int, int]) -> None:
    async def steps(editing: Editing) -> None:
        await editing.until(lambda: "/1,024" in editing.screen_text)
        await editing.still()
        text = editing.screen_text
        assert "◌ auto · 33/1,024 tokens · saved ✓" in text
        assert "FOXTOK" in text
        assert "VISUAL  A red fox trots" in text
        assert_snapshot(editing.app, f"caption-{size[0]}x{size[1]}")

    edit_captions(project, steps, size=size)


def test_the_count_is_of_the_prompt_with_its_trigger(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def count(_counts: TokenCounts, text: str) -> TokenCount:
        asked.append(text)
        return TokenCount(2000, exact=True)

    monkeypatch.setattr(TokenCounts, "count", count)

    async def steps(editing: Editing) -> None:
        await editing.until(lambda: "2,000/1,024 tokens ⚠ cut off" in editing.screen_text)
        await editing.press("x")
        await editing.until(lambda: asked[-1] == "FOXTOK " + SECTIONED.replace("A red", "xA red"))

    edit_captions(project, steps)


def test_trouble_of_the_tokenizer_is_told_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(_counts: TokenCounts, text: str) -> TokenCount:
        return TokenCount(len(text), exact=False, problem="no tokenizer\x1b there")

    monkeypatch.setattr(TokenCounts, "count", count)

    async def steps(editing: Editing) -> None:
        await editing.until(lambda: editing.toasts)
        await editing.press("x")
        await editing.until(lambda: "≈123/1,024" in editing.screen_text or "≈" in editing.lines[11])
        await editing.press("f8")
        await editing.until(lambda: "≈27/1,024" in editing.screen_text)
        assert editing.toasts == ["no tokenizer\\x1b there"]

    edit_captions(project, steps)


# Typing


def test_what_is_typed_is_a_draft_at_once_and_in_the_file_soon(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        row = editing.store.get(0)
        await editing.press(*"Hm ")
        await editing.until(lambda: editing.store.get(0).caption_state == "draft")
        assert row.caption != editing.store.get(0).caption
        shelf = editing.captions._thread.shelf
        assert shelf is not None
        assert [one.text for one in shelf.journal.drafts()] == [editing.doc.text]
        assert editing.dataset()[0] == SECTIONED
        await editing.save()
        assert editing.dataset() == [SECTIONED.replace("A red", "Hm A red"), *CAPTIONS[1:]]
        assert shelf.journal.drafts() == []
        assert editing.store.get(0).caption_state == "edited"
        await editing.until(lambda: "saved ✓" in editing.screen_text)
        assert "edited just now" in editing.screen_text

    edit_captions(project, steps)


def test_the_file_is_written_without_being_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_module, "KEEP_AFTER", 0.01)
    monkeypatch.setattr(captions_module.Captions.save_soon, "__defaults__", (0.02,))

    async def steps(editing: Editing) -> None:
        await editing.press("x")
        await editing.until(lambda: "]: xA red" in editing.dataset()[0])

    edit_captions(project, steps)


def test_leaving_saves_what_was_typed_in_the_last_moment(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x", "f8", "y")
        await editing.until(lambda: editing.doc.text.startswith("yA"))
        await editing.press("ctrl+q")

    edit_captions(project, steps)
    assert captions_of(project)[:2] == [
        SECTIONED.replace("A red", "xA red"),
        "yA red car drives by.",
    ]


def test_a_draft_that_was_left_is_taken_up_and_written(project: Project) -> None:
    async def crash(editing: Editing) -> None:
        await editing.press("x")
        await editing.captions.keep()
        shelf = editing.captions._thread.shelf
        assert shelf is not None
        shelf.session._file.close()  # as if the process were gone: its lock is
        editing.captions._thread.shelf = None

    async def look(editing: Editing) -> None:
        assert "xA red fox" in editing.screen_text
        await editing.until(lambda: "]: xA red" in editing.dataset()[0])
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED

    edit_captions(project, crash)
    assert "xA red" not in project.dataset_path.read_text("utf-8")
    edit_captions(project, look)


def held_up(drafts: Callable[[], list[Draft]]) -> list[str]:
    """Hold up the loop, as a terminal does that takes no output, until there are drafts."""
    for _ in range(2000):
        if found := drafts():
            return [one.text for one in found]
        time.sleep(0.005)
    return []


def test_a_draft_is_kept_though_the_loop_is_held_up(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        shelf = editing.captions._thread.shelf
        assert shelf is not None
        await editing.press("x")
        assert held_up(shelf.journal.drafts) == [editing.doc.text]
        # Undo is kept as soon as it goes on.
        await editing.until(lambda: shelf.journal.history(editing.doc.key))

    edit_captions(project, steps)


def test_undo_reaches_over_clips_and_sessions(project: Project) -> None:
    async def first(editing: Editing) -> None:
        await editing.press("x")
        await editing.press("f8", "y", "f7")
        assert editing.clip == "clip-0.mp4"
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED
        await editing.press("ctrl+y")
        assert "xA red" in editing.doc.text

    async def second(editing: Editing) -> None:
        await editing.go_to("clip-0.mp4")
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED
        await editing.press("f8", "ctrl+z")
        assert editing.doc.text == CAPTIONS[1]
        await editing.press("ctrl+y")
        assert editing.doc.text == "y" + CAPTIONS[1]

    edit_captions(project, first)
    edit_captions(project, second)


def test_what_was_saved_is_there_though_the_list_is_of_before(project: Project) -> None:
    async def first(editing: Editing) -> None:
        await editing.press("x")
        await editing.save()

    async def second(editing: Editing) -> None:
        assert editing.doc.text == SECTIONED.replace("A red", "xA red")
        await editing.press("y")
        await editing.save()
        assert editing.captions.conflicts == []
        assert editing.dataset()[0] == SECTIONED.replace("A red", "yxA red")

    edit_captions(project, first)
    edit_captions(project, second)


def test_a_caption_that_another_program_changed_in_between_is_as_it_left_it(
    project: Project,
) -> None:
    async def first(editing: Editing) -> None:
        await editing.press("x")
        await editing.save()
        editing.change_outside(0, "Theirs.")

    async def second(editing: Editing) -> None:
        await editing.until(lambda: editing.doc.text == "Theirs.")
        await editing.press("ctrl+z")
        assert editing.doc.text == SECTIONED.replace("A red", "xA red")

    edit_captions(project, first)
    edit_captions(project, second)


def test_control_characters_are_seen_and_stay(tmp_path: Path) -> None:
    caption = "bell\x07 and\x1b[31m red\u202e"
    project = caption_project(tmp_path / "p", [caption])

    async def steps(editing: Editing) -> None:
        assert "bell␇ and␛[31m red" in editing.screen_text
        assert "\u202e" not in editing.screen_text
        await editing.press("x")
        await editing.save()
        assert editing.dataset() == ["x" + caption]

    edit_captions(project, steps)


def test_what_is_pasted_has_no_control_characters(project: Project) -> None:
    from textual import events

    async def steps(editing: Editing) -> None:
        await editing.go_to("clip-5.mp4")
        editing.app.focused.post_message(events.Paste("a\x1b[2Jb\r\n"))  # type: ignore[union-attr]
        await editing.until(lambda: editing.doc.text == "a[2Jb\nFog.")

    edit_captions(project, steps)


# Sections


def test_an_empty_caption_gets_sections_where_others_have_them(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.go_to("clip-2.mp4")
        assert "SOUNDS" in editing.screen_text
        await editing.press(*"Sea", "down", "down", *"Waves")
        assert editing.doc.text == "[VISUAL]: Sea\n[SOUNDS]: Waves"

    edit_captions(project, steps)


def test_an_empty_caption_is_plain_where_others_are(tmp_path: Path) -> None:
    project = caption_project(tmp_path / "p", ["", "A stream."])

    async def steps(editing: Editing) -> None:
        assert "SOUNDS" not in editing.screen_text
        await editing.press(*"Sea")
        assert editing.doc.text == "Sea"

    edit_captions(project, steps)


def test_a_section_that_is_there_twice_is_shown_as_plain_text(tmp_path: Path) -> None:
    project = caption_project(tmp_path / "p", ["[TEXT]: one\n[TEXT]: two"])

    async def steps(editing: Editing) -> None:
        await editing.still()
        assert "a section is there twice: shown as plain text" in editing.screen_text
        await editing.press("x")
        assert editing.doc.text == "x[TEXT]: one\n[TEXT]: two"

    edit_captions(project, steps)


# Around it


def test_without_a_place_for_drafts_nothing_can_be_typed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_shelf: Shelf, _folder: Path) -> None:
        raise EnvironmentFaultError("it is read-only", remedy="make it writable")

    monkeypatch.setattr(Shelf, "__init__", fail)

    async def steps(editing: Editing) -> None:
        await editing.still()
        assert "⚠ nothing can be edited: it is read-only" in editing.screen_text
        await editing.press("x")
        assert editing.doc.text == SECTIONED
        await editing.press("ctrl+f", "ctrl+r")
        assert "nothing can be edited" in editing.toasts

    edit_captions(project, steps)


def test_keys_that_come_in_one_go_are_for_the_caption_that_they_find(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        area = editing.app.focused
        assert area is not None
        from textual import events

        for key, letter in [("a", "a"), ("f8", None), ("b", "b")]:
            area.post_message(events.Key(key, letter))
        await editing.until(lambda: editing.clip == "clip-1.mp4" and editing.doc.text[0] == "b")
        assert editing.captions.text_of(editing.captions.key_of(0)).startswith("[VISUAL]: aA")

    edit_captions(project, steps)


def test_another_project_file_keeps_what_was_typed(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("x")
        path = project.root / "project.toml"
        path.write_text(path.read_text("utf-8").replace("FOXTOK", "HARETOK"), "utf-8")
        editing.app.use_project(load_project(path))
        await editing.until(lambda: "HARETOK" in editing.screen_text)
        await editing.until(lambda: "xA red" in editing.screen_text)

    edit_captions(project, steps)
