"""Scoring beside the workbench: when the child is started, and what becomes of what it finds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.errors import EnvironmentFaultError
from engine.events import ClipStarted, JobDone
from engine.overview.file import table_of
from engine.overview.types import CaptionState
from engine.project import Project
from engine.suspicion.file import basis_of, write_stored
from engine.worker.score_types import STAGE, Scored, Wanted
from engine.worker.spec import Fault
from ltx_tui.children import clips as clip_child
from ltx_tui.clips import scores
from ltx_tui.clips.scores import Scoring
from ltx_tui.clips.store import Store
from ltx_tui.desk import Desk
from tests.tui.conftest import make_project
from tests.tui.rows import make_overview, rows_in, store_of
from tests.tui.suspects import COPY, SPEECH, stored


class FakeChild:
    """Stands in for the child process: tells what it is given, and remembers what it was asked."""

    asked: ClassVar[list[Wanted]]
    script: Callable[[Project], Iterator[Any]]

    def __init__(self, module: str, wanted: Wanted, events: Any) -> None:
        assert module == "engine.worker.score_captions"
        type(self).asked.append(wanted)
        self._project = wanted.project
        self.is_ended = False

    async def events(self) -> AsyncGenerator[Any]:
        for event in type(self).script(self._project):
            await asyncio.sleep(0)
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> type[FakeChild]:
    FakeChild.asked = []
    FakeChild.script = staticmethod(writing({1: (0.9, (SPEECH,))}))
    monkeypatch.setattr(clip_child, "ClipChild", FakeChild)
    monkeypatch.setattr(scores, "AFTER", 0.01)
    return FakeChild


def writing(*found: dict[int, Any]) -> Callable[[Project], Iterator[Any]]:
    """Return a script that writes scores of six clips, one after the other."""

    def script(project: Project) -> Iterator[Any]:
        names = [f"scene-{row:04}.mp4" for row in range(6)]
        for number, one in enumerate(found):
            is_whole = number == len(found) - 1
            write_stored(project, stored(names, one, basis_of(project), is_whole=is_whole))
            yield Scored(rows=6, is_whole=is_whole)
        yield JobDone(done=6, fresh=0, failures=(), skipped=0, set_aside=0, seconds=0.1)

    return script


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - whatever it is
            await asyncio.sleep(0.005)


def scoring(project: Project, steps: Callable[[Store, Scoring], Any]) -> None:
    async def run() -> None:
        store = store_of(6, project=project)
        one = Scoring(store)
        await one.load()
        try:
            await one.begin()
            await steps(store, one)
        finally:
            await one.close()

    asyncio.run(run())


def test_what_was_never_scored_is_scored_at_once(project: Project, child: Any) -> None:
    async def steps(store: Store, one: Scoring) -> None:
        await until(lambda: store.table.scores)
        assert store.get(1).doubts == (SPEECH,)
        assert child.asked[0].first == tuple(range(6))

    scoring(project, steps)
    assert len(child.asked) == 1


def test_what_is_up_to_date_is_shown_and_not_scored_again(project: Project, child: Any) -> None:
    list(writing({2: (0.5, (COPY,))})(project))

    async def steps(store: Store, one: Scoring) -> None:
        assert store.get(2).doubts == (COPY,)
        await asyncio.sleep(0.05)
        assert child.asked == []

    scoring(project, steps)


@pytest.mark.parametrize("how", ["dataset", "not whole", "damaged"])
def test_what_is_out_of_date_is_shown_and_scored_again(
    project: Project, child: Any, how: str
) -> None:
    writes = ({}, {}) if how == "not whole" else ({},)
    script = writing(*writes)(project)
    next(script)
    if how == "dataset":
        project.dataset_path.write_text(project.dataset_path.read_text() + "\n")
    elif how == "damaged":
        (project.state_dir / "suspicion.msgpack").write_bytes(b"\x90")

    async def steps(store: Store, one: Scoring) -> None:
        assert (store.table.scores is None) == (how == "damaged")
        await until(lambda: store.get(1).doubts)

    scoring(project, steps)
    assert len(child.asked) == 1


def test_a_changed_caption_is_scored_after_a_while_and_a_mark_is_not(
    project: Project, child: Any
) -> None:
    list(writing({})(project))

    async def steps(store: Store, one: Scoring) -> None:
        store.update_row("scene-0001.mp4", caption_state=CaptionState.REVIEWED)
        await asyncio.sleep(0.05)
        assert child.asked == []
        store.update_row("scene-0001.mp4", caption="Something else.")
        store.update_row("scene-0002.mp4", caption="Something else, too.")
        assert child.asked == []
        await until(lambda: store.get(1).doubts)
        assert len(child.asked) == 1
        store.update_row("scene-0002.mp4", caption="Something else again.")
        await until(lambda: len(child.asked) == 2)

    scoring(project, steps)


def test_captions_that_change_while_clips_are_listened_to_are_scored_before_that_ends(
    project: Project, child: Any
) -> None:
    def endless(one: Project) -> Iterator[Any]:
        names = [f"scene-{row:04}.mp4" for row in range(6)]
        write_stored(one, stored(names, {}, basis_of(one), is_whole=False))
        yield Scored(rows=6, is_whole=False)
        while True:
            yield ClipStarted(stage=STAGE, clip="scene-0003.mp4", row=3)

    child.script = staticmethod(endless)

    async def steps(store: Store, one: Scoring) -> None:
        await until(lambda: store.table.scores)
        child.script = staticmethod(writing({1: (0.9, (SPEECH,))}))
        store.update_row("scene-0001.mp4", caption="Something else.")
        await until(lambda: store.get(1).doubts)
        assert len(child.asked) == 2

    scoring(project, steps)


def test_the_clips_come_first(project: Project, child: Any) -> None:
    async def steps(store: Store, one: Scoring) -> None:
        await until(lambda: len(child.asked) == 1)
        await until(lambda: store.table.scores)
        store.is_loading = True
        store.take(table_of(make_overview(6)))
        await asyncio.sleep(0.1)
        assert len(child.asked) == 1
        store.is_loading = False
        await until(lambda: len(child.asked) == 2)

    scoring(project, steps)


@pytest.mark.parametrize("how", ["fault", "empty"])
def test_without_clips_nothing_is_scored(project: Project, child: Any, how: str) -> None:
    async def run() -> None:
        store = store_of(6 if how == "fault" else 0, project=project)
        if how == "fault":
            store.fault = Fault(kind="DatasetError", message="no dataset")
        one = Scoring(store)
        await one.begin()
        await asyncio.sleep(0.05)
        await one.close()

    asyncio.run(run())
    assert child.asked == []


def test_a_fault_is_kept_until_the_next_time(project: Project, child: Any) -> None:
    fault = EnvironmentFaultError("the disk is full", remedy="make space")
    child.script = staticmethod(lambda _project: iter([fault]))

    async def steps(store: Store, one: Scoring) -> None:
        await until(lambda: store.scoring_fault)
        child.script = staticmethod(writing({1: (0.9, (SPEECH,))}))
        store.update_row("scene-0001.mp4", caption="Something else.")
        await until(lambda: store.get(1).doubts)
        assert store.scoring_fault is None

    scoring(project, steps)


def test_the_real_child_scores_the_dataset_and_what_is_typed_later(tmp_path: Path) -> None:
    project = make_project(tmp_path / "real", ("A dog.", "I'm sorry, I can't.", ""))

    async def run() -> None:
        desk = Desk(project)
        try:
            beginning = asyncio.create_task(desk.begin())
            await until(lambda: desk.store.table.scores)
            await beginning
            found = {row.name: [one.kind for one in row.doubts] for row in rows_in(desk.store)}
            assert found == {"clip-0.mp4": [], "clip-1.mp4": ["refusal"], "clip-2.mp4": ["empty"]}
            rows = json.loads(project.dataset_path.read_text())
            rows[1]["caption"] = "A cat sleeps."
            project.dataset_path.write_text(json.dumps(rows))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(scores, "AFTER", 0.05)
                desk.scoring._pause = 0.05
                await desk.store.load()
                await until(lambda: not desk.store.get(1).doubts)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await desk.close()

    asyncio.run(run())
