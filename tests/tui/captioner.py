"""The workbench with a captioner that is made up, and a worker that is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from engine import events as ev
from engine.precompute.layout import CAPTIONS
from engine.project import Project, update_project
from engine.worker.captioner_types import Ready
from engine.worker.spec import JobInfo
from ltx_tui.app import Workbench
from ltx_tui.screens.captioner_dialog import CaptionerDialog
from ltx_tui.worker.watch import Watcher
from tests.tui import fake_worker as fake
from tests.tui.captioning import Editing
from tests.tui.conftest import SMALL, ready, run_app, screen_of

READY = Ready(model="toy", at_once=4)
URL = "http://127.0.0.1:8000/v1"


class Bench(Editing):
    """A workbench that runs, and its made-up worker."""

    def __init__(self, pilot: Pilot[Any], project: Project, stand: fake.Stand) -> None:
        super().__init__(pilot, project)
        self.stand = stand

    @property
    def dialog(self) -> CaptionerDialog:
        screen = self.app.screen
        assert isinstance(screen, CaptionerDialog), screen
        return screen

    @property
    def asked(self) -> dict[str, Any]:
        """What the only job is to do."""
        [what] = [one[1] for one in self.stand.engine.asked if one[0] == "start"]
        assert isinstance(what, dict)
        return what

    async def open(self, *keys: str) -> str:
        """Press keys that open a dialog; return what is seen once it knows the captioner."""
        await self.press(*keys)
        await self.until(lambda: isinstance(self.app.screen, CaptionerDialog))
        dialog = self.dialog
        await self.until(lambda: dialog._ready is not None or dialog._fault is not None)
        await self.still()
        return self.screen_text

    async def begin(self) -> dict[str, Any]:
        """Press enter, and return what the worker was asked."""
        await self.press("enter")
        await self.until(lambda: self.stand.engine.asked)
        return self.asked


Steps = Callable[[Bench], Awaitable[None]]


def use_captioner(project: Project, **values: object) -> Project:
    """Return the project with a server of its own as captioner."""
    assert project.file is not None
    usual = {"captioner": "openai", "model": "toy", "base_url": URL}
    named = {f"captions.{name}": value for name, value in (usual | values).items()}
    return update_project(project.file, named)


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Ready | Exception) -> None:
    """Have every look at the captioner find this."""

    async def check(_project: Project) -> Ready:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("ltx_tui.screens.captioner_dialog.check", check)


def caption_with(
    project: Project, steps: Steps, *, pane: str = "clips", size: tuple[int, int] = SMALL
) -> None:
    """Open the workbench of a project whose worker is made up, and do the steps."""
    app = Workbench(project.root, project)
    stands: list[fake.Stand] = []
    make = app.get_default_screen

    def get_default_screen() -> Any:
        screen: Any = make()
        stands.append(fake.Stand(project))
        screen.desk._watcher = stands[0].watcher
        return screen

    app.get_default_screen = get_default_screen  # type: ignore[method-assign]

    async def run(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        bench = Bench(pilot, project, stands[0])
        screen.show_pane(pane)
        await pilot.pause()
        await steps(bench)

    run_app(app, run, size=size)


# What a caption job tells


def captions_job(state: str = "running", **more: Any) -> JobInfo:
    return msgspec.structs.replace(fake.job(7, state, **more), kind="caption", stages=())


def begun(clips: int, fresh: int = 0) -> tuple[ev.AnyEvent, ...]:
    count = ev.StageCount(stage=CAPTIONS, to_do=clips, fresh=fresh, blocked=0, skipped=0)
    return (
        ev.JobStarted(stages=(count,)),
        ev.StageStarted(stage=CAPTIONS, total=clips, load_seconds=0.1),
    )


def started(number: int, call: int = 1) -> ev.ClipStarted:
    clip = f"clip-{number}.mp4"
    return ev.ClipStarted(stage=CAPTIONS, clip=clip, row=number, device=f"call {call}")


def done(number: int) -> ev.ClipDone:
    clip = f"clip-{number}.mp4"
    return ev.ClipDone(stage=CAPTIONS, clip=clip, row=number, output="dataset.json", seconds=1.0)


def failed(number: int) -> ev.ClipFailed:
    return ev.ClipFailed(
        stage=CAPTIONS,
        clip=f"clip-{number}.mp4",
        row=number,
        reason="the server answered 500",
        remedy="try again later",
    )


def watcher_of(bench: Bench) -> Watcher:
    return screen_of(bench.app).desk.watcher
