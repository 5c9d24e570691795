"""The workbench with captions that are really written, for tests of the editor and its screens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.dataset.caption_db import Key
from engine.dataset.write_captions import Answer, Request, write
from engine.overview.file import FILE, write_overview
from engine.overview.types import CaptionState
from engine.project import Project, load_project, update_project
from ltx_tui.app import Workbench
from ltx_tui.captions.docs import Doc
from ltx_tui.captions.editing import Captions
from ltx_tui.children.token_counts import TokenCount, TokenCounts
from ltx_tui.clips.store import Store
from ltx_tui.widgets import caption_pane
from ltx_tui.widgets.caption_editor import CaptionEditor
from tests.tui.conftest import SMALL, make_project, ready, run_app, shown, still
from tests.tui.rows import make_overview, make_row

SECTIONED = (
    "[VISUAL]: A red fox trots across snow, low winter sun, shallow depth of field; the camera "
    "follows slowly at its height.\n[SPEECH]: None\n[SOUNDS]: Light wind. Snow crunching under "
    "paws.\n[TEXT]: None"
)
CAPTIONS = (SECTIONED, "A red car drives by.", "", "Two red birds; a red sky.", "A stream.", "Fog.")
NAMES = tuple(f"clip-{number}.mp4" for number in range(len(CAPTIONS)))


class Editing:
    """A workbench that runs, with the caption in hand.

    Attributes:
        pilot: Presses the keys.
    """

    def __init__(self, pilot: Pilot[Any], project: Project) -> None:
        self.pilot = pilot
        self.app: Workbench = pilot.app  # type: ignore[assignment]
        self._project = project

    @property
    def editor(self) -> CaptionEditor:
        editor = self.app.query_one(CaptionEditor)
        assert isinstance(editor, CaptionEditor)
        return editor

    @property
    def captions(self) -> Captions:
        return self.editor.captions

    @property
    def store(self) -> Store:
        store = self.editor._store
        assert isinstance(store, Store)
        return store

    @property
    def doc(self) -> Doc:
        assert self.editor.doc is not None
        return self.editor.doc

    @property
    def clip(self) -> str:
        return self.doc.key.name

    @property
    def toasts(self) -> list[str]:
        return [one.message for one in self.app._notifications]

    @property
    def lines(self) -> list[str]:
        return shown(self.app)

    @property
    def screen_text(self) -> str:
        return "\n".join(self.lines)

    def dataset(self) -> list[str]:
        """Return the captions that the dataset file has."""
        return captions_of(self._project)

    def change_outside(self, number: int, caption: str | None) -> None:
        """Change a caption in the dataset file, or remove its row, as another program does."""
        path = self._project.dataset_path
        rows = json.loads(path.read_text("utf-8"))
        if caption is None:
            del rows[number]
        else:
            rows[number]["caption"] = caption
        path.write_text(json.dumps(rows, indent=1), "utf-8")
        self.captions._has_to_look = True

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until something is so."""
        for _ in range(1000):
            if done():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"it never came to be so:\n{self.screen_text}\n{self.toasts}")

    async def save(self) -> None:
        """Save now rather than when the typing rests."""
        self.editor.collect()
        await self.captions.save()
        await self.pilot.pause()

    async def still(self) -> None:
        await still(self.pilot)

    async def type_over(self, caption: str) -> None:
        """Put another caption in the place of the one in hand, as one who types it does."""
        self.editor.collect()
        self.captions.restore(self.doc, caption, is_version=False)
        await self.pilot.pause()

    async def go_to(self, clip: str) -> None:
        key = Key(clip)
        await self.editor.show(*key)
        self.editor.post_message(CaptionEditor.Moved(clip))
        await self.pilot.pause()


Steps = Callable[[Editing], Awaitable[None]]


def caption_project(root: Path, captions: Sequence[str] = CAPTIONS, trigger: str = "") -> Project:
    """Return a project with these captions, and clips that were looked at before."""
    project = make_project(root, captions)
    if trigger:
        update_project(root / "project.toml", {"text.trigger": trigger})
        project = load_project(root / "project.toml")
    rows = [
        make_row(
            number,
            name=f"clip-{number}.mp4",
            caption=caption,
            caption_state=CaptionState.AUTO if caption.strip() else CaptionState.NONE,
        )
        for number, caption in enumerate(captions)
    ]
    write_overview(project.state_dir / FILE, make_overview(rows))
    return project


def captions_of(project: Project) -> list[str]:
    """Return the captions that the dataset file has."""
    return [row["caption"] for row in json.loads(project.dataset_path.read_text("utf-8"))]


def keep_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no processes, and do not wait: captions are written by a thread, words counted."""

    async def load(_store: Store) -> None:
        return None

    async def write_here(request: Request) -> Answer:
        return await asyncio.to_thread(write, request)

    async def count(_counts: TokenCounts, text: str) -> TokenCount:
        return TokenCount(len(text.split()), exact=True)

    monkeypatch.setattr(Store, "load", load)
    monkeypatch.setattr("ltx_tui.captions.editing.write_captions", write_here)
    monkeypatch.setattr(TokenCounts, "count", count)
    monkeypatch.setattr(caption_pane, "_STATUS_EVERY", 0.05)
    monkeypatch.setattr(caption_pane, "_COUNT_AFTER", 0.02)


def edit_captions(
    project: Project, steps: Steps, *, size: tuple[int, int] = SMALL, pane: str = "caption"
) -> None:
    """Open the workbench, go to a pane unless it is empty, and do the steps."""

    async def run(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        editing = Editing(pilot, project)
        await editing.until(lambda: editing.editor.doc is not None)
        if pane:
            screen.show_pane(pane)
            await pilot.pause()
        await steps(editing)

    run_app(Workbench(project.root, project), run, size=size)
