"""Captioning from the workbench with a real worker and a real client, against a local server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.captioners.keys import VARIABLES
from engine.overview.types import CaptionState
from engine.project import Project, load_project
from engine.suspicion.file import read_scores
from ltx_tui.app import Workbench
from ltx_tui.clips import scores
from ltx_tui.screens.captioner_dialog import CaptionerDialog
from tests.caption_server import FOUR, CaptionServer
from tests.small_set import write_clip
from tests.tui.captioning import Editing
from tests.tui.conftest import SMALL, run_app, screen_of
from tests.workers import end_worker

SHORT = "In one short line, please."
KEY = "sk-never-to-be-written-down"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    for name in ("OPENAI_BASE_URL", *(one for group in VARIABLES.values() for one in group)):
        monkeypatch.delenv(name, raising=False)
    # One that is set and deleted at the end, so that what is typed does not outlive the test.
    monkeypatch.setenv("OPENAI_API_KEY", "")
    one = CaptionServer()

    def answer(number: int, body: dict[str, Any]) -> tuple[int, str]:
        is_short = SHORT in json.dumps(body["messages"])
        return 200, f"A grating, {number}." if is_short else FOUR.format(n=number)

    one.answer = answer
    yield one
    one.close()


@pytest.fixture
def project(tmp_path: Path, server: CaptionServer) -> Iterator[Project]:
    root = tmp_path / "gratings"
    root.mkdir()
    write_clip(root / "a.mp4", size=(64, 64), count=9)
    shutil.copy(root / "a.mp4", root / "b.mp4")
    shutil.copy(root / "a.mp4", root / "c.mp4")
    rows = [{"media_path": f"{name}.mp4", "caption": ""} for name in "abc"]
    (root / "dataset.json").write_text(json.dumps(rows), "utf-8")
    (root / "project.toml").write_text(
        '[dataset]\npath = "dataset.json"\n[video]\nbuckets = "64x64x9"\n[captions]\n'
        f'captioner = "openai"\nmodel = "toy"\nbase_url = "{server.url}"\nnum_workers = 1\n',
        "utf-8",
    )
    made = load_project(root / "project.toml")
    yield made
    end_worker(made)


class Whole(Editing):
    """The workbench, and what its user does."""

    async def until(self, done: Any) -> None:
        for _ in range(1200):
            if done():
                return
            await self.pilot.pause(0.05)
        raise AssertionError(f"it never came to be so:\n{self.screen_text}\n{self.toasts}")

    async def dialog(self, *keys: str) -> None:
        """Press keys that open a dialog, and wait until it knows that it can begin."""
        await self.press(*keys)
        await self.until(lambda: isinstance(self.app.screen, CaptionerDialog))
        await self.until(lambda: "✓ it can begin" in self.screen_text)

    def caption(self, row: int) -> str:
        return self.store.get(row).caption

    def now(self) -> list[str]:
        rows = json.loads(self._project.dataset_path.read_text("utf-8"))
        return [row.get("caption", "") for row in rows]


@pytest.mark.slow
def test_from_marked_clips_to_a_caption_that_was_asked_for_again(
    project: Project, server: CaptionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "AFTER", 0.2)

    async def steps(pilot: Pilot[Any]) -> None:
        bench = Whole(pilot, project)
        await bench.until(lambda: screen_of(bench.app).editor is not None)
        await bench.until(lambda: bench.editor.doc is not None and not bench.store.is_loading)

        # Two are marked, and captioned; a key is given that nobody sees.
        await bench.dialog("space", "space", "c")
        assert "2 clips without a caption" in bench.screen_text
        await bench.press("f3", *KEY, "enter")
        await bench.until(lambda: bench.caption(0) and bench.caption(1))
        assert bench.store.get(0).caption_state is CaptionState.AUTO
        assert bench.caption(2) == ""
        assert len(server.calls) == 2
        assert server.keys[-1] == f"Bearer {KEY}"
        await bench.until(lambda: bench.store.get(0).suspicion is not None)

        # The first is rejected: it has no caption again.
        await bench.press("A", "g", "e")
        await bench.until(lambda: bench.clip == "a.mp4" and "A grating drifts" in bench.doc.text)
        rejected = bench.doc.text
        await bench.press("f3")
        await bench.until(lambda: bench.now()[0] == "")
        await bench.until(lambda: bench.store.get(0).caption_state is CaptionState.NONE)

        # It is asked about again, in other words.
        await bench.dialog("ctrl+l")
        await bench.press(*SHORT, "enter")
        await bench.until(lambda: bench.doc.text == "A grating, 3.")
        assert bench.now()[0] == "A grating, 3."
        kinds = {one.text: one.kind.value for one in await bench.captions.versions(bench.doc.key)}
        assert kinds[rejected] == "rejected"
        assert kinds["A grating, 3."] == "auto"
        assert bench.doc.clash is None

        # All that is left has a caption in the end.
        await bench.press("escape")
        await bench.dialog("C")
        assert "1 clip without a caption" in bench.screen_text
        await bench.press("enter")
        await bench.until(lambda: "number 4" in bench.caption(2))
        assert len(server.calls) == 4
        found = read_scores(project)
        assert found is not None
        await bench.press("ctrl+q")

    run_app(Workbench(project.root, project), steps, size=SMALL)
    assert load_project(project.root / "project.toml").captions == project.captions
    files = [one for one in project.root.rglob("*") if one.is_file()]
    assert not any(KEY.encode() in one.read_bytes() for one in files)
