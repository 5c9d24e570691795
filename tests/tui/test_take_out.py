"""Clips taken out of the dataset from the clip list, and given back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.manifest import load_manifest
from engine.dataset.name_keys import name_keys
from engine.dataset.versions import Versions
from engine.errors import DatasetError
from engine.overview.file import table_of
from engine.overview.types import CaptionState
from engine.project import Project
from engine.worker import take_out
from engine.worker.spec import Fault
from engine.worker.take_out import Done, Wanted
from ltx_tui.children import dataset as dataset_child
from ltx_tui.clips.store import Store
from ltx_tui.screens.confirm import Confirm
from ltx_tui.widgets.caption_editor import CaptionEditor
from tests.tui.captioning import (
    CAPTIONS,
    NAMES,
    Editing,
    caption_project,
    edit_captions,
    keep_quiet,
)
from tests.tui.conftest import SMALL, WIDE, assert_snapshot, screen_of
from tests.tui.rows import make_overview, make_row


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return caption_project(tmp_path / "bunny-lora")


@pytest.fixture(autouse=True)
def asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """Do what is asked of the child in a thread; read the dataset again as often as wanted."""
    keep_quiet(monkeypatch)
    seen: list[Wanted] = []

    async def load(store: Store) -> None:
        if not store.is_loading and seen:
            store.take(table_of(make_overview(rows_of(project))))

    async def take(wanted: Wanted) -> Done:
        seen.append(wanted)
        done = await asyncio.to_thread(take_out.do, wanted)
        if done.fault is not None:
            raise done.fault.to_error()
        return done

    monkeypatch.setattr(Store, "load", load)
    monkeypatch.setattr(dataset_child, "take", take)
    return seen


def rows_of(project: Project) -> list[Any]:
    known, rows = (
        KnownCaptions.readable(project.state_dir),
        load_manifest(project.dataset_path).rows,
    )
    found = []
    for number, key in enumerate(name_keys(rows, "media_path")):
        text, state = known.look_up(key, str(rows[number]["caption"]))
        found.append(
            make_row(number, name=key.name, caption=text, caption_state=CaptionState(state))
        )
    return found


def names(project: Project) -> list[str]:
    return [row["media_path"] for row in json.loads(project.dataset_path.read_text())]


def without(*gone: int) -> list[str]:
    return [name for number, name in enumerate(NAMES) if number not in gone]


def cursor(editing: Editing) -> str:
    return screen_of(editing.app).clips.clip


async def until_done(editing: Editing) -> None:
    await editing.until(lambda: not screen_of(editing.app)._is_taking)
    await editing.still()


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_the_question_looks_as_before(project: Project, size: tuple[int, int]) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("r", "space", "space", "j", "space", "d")
        await editing.still()
        assert_snapshot(editing.app, f"take-out-{size[0]}x{size[1]}")
        assert "3 rows go out of dataset.json" in editing.screen_text
        await editing.press("escape")
        assert names(project) == list(NAMES)

    edit_captions(project, steps, size=size, pane="clips")


@pytest.mark.parametrize("key", ["d", "delete"])
def test_the_clip_in_hand_goes_and_comes_back(project: Project, key: str) -> None:
    was = project.dataset_path.read_bytes()

    async def steps(editing: Editing) -> None:
        await editing.press("j", "r", key)
        await editing.until(lambda: isinstance(editing.app.screen, Confirm))
        await editing.still()
        assert f"Take {NAMES[1]} out of dataset.json" in editing.screen_text
        assert "its caption was edited or reviewed by a person" in editing.screen_text
        await editing.press("enter")
        await until_done(editing)
        assert names(project) == without(1)
        assert "taken out of dataset.json: 1 row; U gives it back" in editing.toasts[-1]
        # The cursor and the other panes are on the clip that follows.
        assert cursor(editing) == NAMES[2]
        await editing.until(lambda: editing.clip == NAMES[2])
        assert NAMES[1] not in editing.screen_text
        await editing.press("U")
        await until_done(editing)
        assert f"given back to dataset.json: 1 row ({NAMES[1]})" in editing.toasts[-1]
        assert project.dataset_path.read_bytes() == was
        assert cursor(editing) == NAMES[1]
        assert editing.store.get(1).caption_state is CaptionState.REVIEWED
        await editing.press("U")
        await until_done(editing)
        assert "no row was taken out that could be given back" in editing.toasts[-1]

    edit_captions(project, steps, pane="clips")


def test_marked_clips_go_and_the_cursor_stays_near(project: Project, asked: list[Wanted]) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("end", "space", "k", "space", "home", "space", "end")
        assert cursor(editing) == NAMES[5]
        await editing.press("slash", *"name:clip-5", "enter", "d")
        await editing.still()
        assert "2 rows are not shown by the filter" in editing.screen_text
        await editing.press("enter")
        await until_done(editing)
        assert asked[-1].keys == tuple(Key(NAMES[number]) for number in (0, 4, 5))
        assert names(project) == without(0, 4, 5)
        assert not editing.store.marked
        await editing.press("escape")
        assert cursor(editing) in without(0, 4, 5)
        await editing.press("a", "d", "enter")
        await until_done(editing)
        assert names(project) == []
        await editing.press("U")
        await until_done(editing)
        assert names(project) == without(0, 4, 5)
        await editing.press("U")
        await until_done(editing)
        assert names(project) == list(NAMES)

    edit_captions(project, steps, pane="clips")


def test_what_was_typed_is_saved_first_and_is_among_the_versions(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.go_to(NAMES[4])
        editing.captions.restore(editing.doc, "A river.", is_version=False)
        await editing.press("escape", "d", "enter")
        await until_done(editing)
        assert names(project) == without(4)
        await editing.press("U")
        await until_done(editing)
        assert editing.dataset()[4] == "A river."
        assert editing.store.get(4).caption_state is CaptionState.EDITED
        versions = [one.text for one in await editing.captions.versions(Key(NAMES[4]))]
        assert versions == ["A river.", CAPTIONS[4]]

    edit_captions(project, steps)
    database = CaptionDatabase(project.state_dir)
    assert len(Versions(database).of(Key(NAMES[4]))) == 2
    database.close()


def test_a_caption_that_cannot_be_saved_keeps_its_row(
    project: Project, asked: list[Wanted]
) -> None:
    async def steps(editing: Editing) -> None:
        await editing.go_to(NAMES[1])
        await editing.type_over("Mine.")
        editing.change_outside(1, "Theirs.")
        await editing.save()
        await editing.press("escape", "d", "enter")
        await until_done(editing)
        assert f"the caption of {NAMES[1]} is not in the dataset yet" in editing.toasts[-1]
        assert not asked
        assert names(project) == list(NAMES)
        assert editing.doc.text == "Mine."

    edit_captions(project, steps)


def test_nothing_is_changed_while_the_dataset_cannot_be_read(
    project: Project, asked: list[Wanted]
) -> None:
    async def steps(editing: Editing) -> None:
        error = DatasetError("line 3, character 1: Expecting value", file=project.dataset_path)
        editing.store.fault = Fault.of(error)
        for key in ("d", "U"):
            await editing.press(key)
            await editing.still()
            assert "the dataset cannot be read" in editing.toasts[-1]
            assert "line 3, character 1" in editing.toasts[-1]
            assert not isinstance(editing.app.screen, Confirm)
        # It may be broken between two looks at it.
        editing.store.fault = None
        project.dataset_path.write_text("[{")
        await editing.press("d", "enter")
        await until_done(editing)
        assert len(asked) == 1
        assert "mend the JSON there" in editing.toasts[-1]
        assert project.dataset_path.read_text() == "[{"
        assert not isinstance(editing.app.focused, CaptionEditor)

    edit_captions(project, steps, pane="clips")


def test_a_row_that_came_back_by_itself_is_told(project: Project) -> None:
    async def steps(editing: Editing) -> None:
        await editing.press("space", "space", "d", "enter")
        await until_done(editing)
        rows = json.loads(project.dataset_path.read_text())
        project.dataset_path.write_text(
            json.dumps([{"media_path": NAMES[1], "caption": "By hand."}, *rows])
        )
        await editing.press("U")
        await until_done(editing)
        assert f"there is such a row: {NAMES[1]}" in editing.toasts[-1]
        assert sorted(names(project)) == sorted(NAMES)
        assert "By hand." in editing.dataset()

    edit_captions(project, steps, pane="clips")
