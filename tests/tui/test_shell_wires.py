"""What passes between the panes of the workbench, and the commands that are about all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.project import Project, update_project
from ltx_tui.app import Workbench
from ltx_tui.program import find_project_of
from ltx_tui.screens.plan import PlanScreen
from ltx_tui.widgets.buckets import Buckets
from ltx_tui.widgets.jobs import Jobs
from ltx_tui.widgets.topbar import TopBar
from tests.tui import fake_worker as fake
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    make_bench,
    ready,
    run_app,
    screen_of,
    shown,
    still,
)


@pytest.fixture
def stand(project: Project) -> fake.Stand:
    """Return a worker that does what the test says."""
    return fake.Stand(project)


def watched(project: Project, stand: fake.Stand) -> Workbench:
    """Return the workbench of a project whose worker is made up."""
    app = make_bench(project)
    make = app.get_default_screen

    def get_default_screen() -> Any:
        screen = make()
        screen.desk._watcher = stand.watcher  # type: ignore[attr-defined]
        return screen

    app.get_default_screen = get_default_screen  # type: ignore[method-assign]
    return app


async def settle(pilot: Pilot[Any], done: Callable[[], object]) -> None:
    """Wait until something is so."""
    for _ in range(500):
        if done():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to be so")


# Clips and the panes beside them


def test_the_clip_under_the_cursor_is_in_all_panes(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("j", "j", "j")
        await settle(pilot, lambda: screen.details.clip == "scene-0003.mp4")
        editor = screen.editor
        assert editor is not None
        await settle(pilot, lambda: editor.doc and editor.doc.key.name == "scene-0003.mp4")
        await still(pilot)
        assert "Clip 3: a red car drives by" in "\n".join(shown(bench))

    run_app(bench, steps, size=WIDE)


def test_the_editor_takes_the_list_along(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("e")
        assert screen.pane == "caption"
        await pilot.press("f8", "f8")
        await settle(pilot, lambda: screen.clips.clip == "scene-0002.mp4")
        await pilot.press("escape")
        assert screen.pane == "clips"
        assert screen.details.clip == "scene-0002.mp4"

    run_app(bench, steps)


def test_what_is_typed_is_in_the_list_at_once(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("e", *"Hello ")
        store = screen.desk.store
        await settle(pilot, lambda: store.get(0).caption.startswith("Hello Clip 0"))
        assert store.get(0).caption_state == "draft"

    run_app(bench, steps)


def test_marks_of_review_come_and_go(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        store = screen.desk.store
        store.mark(["scene-0000.mp4", "scene-0002.mp4"])
        await pilot.press("r")
        await settle(pilot, lambda: store.get(0).caption_state == "reviewed")
        assert store.get(2).caption_state == "reviewed"
        await pilot.press("r")
        await settle(pilot, lambda: store.get(0).caption_state != "reviewed")
        assert store.get(2).caption_state != "reviewed"

    run_app(bench, steps)


def test_what_is_shown_is_said_on_the_frame_and_beside_the_tabs(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("slash", *"state:stale", "enter")
        await settle(pilot, lambda: "2 of 12 · /state:stale" in "\n".join(shown(bench)))
        assert "2 of 12 · /state:stale" in shown(bench)[1]
        await pilot.resize_terminal(*WIDE)
        await still(pilot)
        assert any("2 of 12 · /state:stale" in line for line in shown(bench)[2:])

    run_app(bench, steps)


def test_a_bucket_shows_its_clips(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        assert screen.buckets is not None
        screen.buckets.post_message(Buckets.ShowClips("bucket:544x960x121"))
        await settle(pilot, lambda: len(screen.desk.store.shown) == 4)
        assert screen.pane == "clips"

    run_app(bench, steps)


def test_a_failed_clip_is_gone_to_past_the_filter(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        screen.desk.store.set_filter("state:stale")
        assert screen.jobs is not None
        screen.jobs.post_message(Jobs.ShowClip("scene-0007.mp4"))
        await settle(pilot, lambda: screen.clips.clip == "scene-0007.mp4")
        assert screen.pane == "clips"
        screen.jobs.post_message(Jobs.ShowClip("gone.mp4"))
        await settle(pilot, lambda: any("any more" in one.message for one in bench._notifications))

    run_app(bench, steps)


def test_marked_clips_get_a_bucket_of_their_own(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("b")
        await settle(pilot, lambda: bench.screen is not screen)
        await pilot.press("escape")
        await settle(pilot, lambda: bench.screen is screen)

    run_app(bench, steps)
    assert "[clips]" not in (project.root / "project.toml").read_text("utf-8")


# Settings


def test_another_trigger_is_in_the_editor(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        before = screen.editor
        update_project(project.root / "project.toml", {"text.trigger": "BUNNYTOK"})
        await pilot.press("f5")
        await settle(pilot, lambda: screen.editor is not before)
        await pilot.press("2")
        await settle(pilot, lambda: "BUNNYTOK" in "\n".join(shown(bench)))
        assert screen.desk.captions.project.text.trigger == "BUNNYTOK"

    run_app(bench, steps)


def test_a_dataset_that_was_named_stays(project: Project) -> None:
    other = project.root / "other.json"
    other.write_bytes(project.dataset_path.read_bytes())
    found = find_project_of(other)
    assert found is not None
    bench = Workbench(other, found)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        update_project(project.root / "project.toml", {"video.seed": 7})
        await pilot.press("f5")
        await settle(pilot, lambda: screen.desk.project.video.seed == 7)
        assert screen.desk.project.dataset_path == other
        assert screen.desk.store.project.dataset_path == other
        reading = [one for one in bench.workers if one.group == "desk"]
        await bench.workers.wait_for_complete(reading)

    run_app(bench, steps)


def test_a_project_file_that_is_wrong_is_told_of(bench: Workbench, project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        (project.root / "project.toml").write_text("[video]\nbuckts = 1\n", "utf-8")
        await pilot.press("f5")
        while not any("unknown key" in one.message for one in bench._notifications):
            await pilot.pause(0.02)
        assert screen.desk.project.video.buckets == "960x544x49"

    run_app(bench, steps)


# Jobs


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_a_job_is_in_view_everywhere(
    project: Project, quiet: None, stand: fake.Stand, size: tuple[int, int]
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        fake.at_work(stand)
        await settle(pilot, lambda: "running" in shown(app)[0])
        await still(pilot)
        assert any("latents" in line and "%" in line for line in shown(app))
        assert_snapshot(app, f"workbench-encode-{size[0]}x{size[1]}")

    run_app(app, steps, size=size)


def test_the_line_about_the_job_is_there_while_there_is_one(
    project: Project, quiet: None, stand: fake.Stand
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        assert screen.job_line is not None
        assert not screen.job_line.display
        fake.at_work(stand)
        await settle(pilot, lambda: screen.job_line and screen.job_line.display)
        for pane in "2341":
            await pilot.press("escape", pane)
            assert screen.job_line.display
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert not screen.job_line.display

    run_app(app, steps)


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("workbench.pause", "pause"),
        ("workbench.cancel", "cancel"),
        ("workbench.retry", "retry"),
        ("jobs.pause", "pause"),
    ],
)
def test_commands_about_jobs_reach_the_worker(
    project: Project, quiet: None, stand: fake.Stand, command: str, asked: str
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        fake.at_work(stand)
        await app.run_command(command)
        await settle(pilot, lambda: stand.engine.asked)
        assert stand.engine.asked[0][0] == asked

    run_app(app, steps)


def test_running_without_models_says_what_is_missing(
    project: Project, quiet: None, stand: fake.Stand
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        for key in ("R", "x"):
            await pilot.press(key)
            await settle(
                pilot,
                lambda: any(
                    "set models.checkpoint in the settings (f2)" in n.message
                    for n in app._notifications
                ),
            )
            app.clear_notifications()
        assert stand.engine.asked == []

    run_app(app, steps)


def test_the_plan_opens_over_the_workbench(
    project: Project, quiet: None, stand: fake.Stand
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("P")
        assert isinstance(app.screen, PlanScreen)
        app.screen.dismiss(True)
        await settle(pilot, lambda: app.screen is screen and screen.pane == "jobs")

    run_app(app, steps)


def test_leaving_while_a_job_runs_says_that_it_goes_on(
    project: Project, quiet: None, stand: fake.Stand
) -> None:
    app = watched(project, stand)

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        fake.at_work(stand)
        await pilot.press("ctrl+q")

    run_app(app, steps)
    assert "the work goes on" in app.farewell
    assert ("close",) in stand.engine.asked or stand.watcher._engine is None


def test_the_first_line_leaves_out_whole_parts(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        bar = screen.query_one(TopBar)
        bar.show(
            problems=3,
            worker=("●", "running"),
            memory="GPU0 61.2/139.8 GiB",
            history="▂▃▅▆▆▇",
            note="looking at clips 1/2",
        )
        await pilot.pause()
        line = shown(bench)[0]
        assert "⚠ 3 problems" in line
        assert "● running" in line
        assert "GPU0 61.2/139.8 GiB" in line
        assert "▂▃▅" not in line
        await pilot.resize_terminal(*WIDE)
        await still(pilot)
        assert "looking at clips 1/2" in shown(bench)[0]
        assert "▂▃▅▆▆▇" in shown(bench)[0]

    run_app(bench, steps)


def test_screens_know_their_workbench(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("f2")
        assert screen_of(bench) is screen

    run_app(bench, steps)


def test_how_far_the_media_are_looked_at_is_told_twice_a_second(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        bar, store = screen.query_one(TopBar), screen.desk.store
        screen._told = 0.0
        store.scanned = (5, 12)
        store._tell(frozenset())
        assert bar.standing.note == "looking at clips 5/12"
        store.scanned = (6, 12)
        store._tell(frozenset())
        assert bar.standing.note == "looking at clips 5/12"
        store.scanned = None
        store._tell(None)
        assert bar.standing.note == ""

    run_app(bench, steps)
