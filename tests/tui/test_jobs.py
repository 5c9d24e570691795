"""The pane of jobs and memory, and the line that other panes show of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from engine import events as ev
from engine.errors import EnvironmentFaultError
from engine.project import Project
from engine.worker.spec import Fault
from ltx_tui.app import Workbench
from ltx_tui.drawing.signs import ASCII, UNICODE, Signs
from ltx_tui.widgets.jobs import JobLine, Jobs
from ltx_tui.worker.watch import Worker
from tests.tui import fake_worker as fake
from tests.tui.conftest import SMALL, WIDE, alone, assert_snapshot, run_app, shown
from tests.tui.fake_worker import Stand

Before = Callable[[Stand], None]


def nothing(_stand: Stand) -> None:
    """Leave the watcher as it is."""


def see(
    project: Project,
    before: Before,
    *,
    size: tuple[int, int] = SMALL,
    width: int = 0,
    how: Signs = UNICODE,
    name: str = "",
    keys: tuple[str, ...] = (),
) -> tuple[list[str], Stand, list[str]]:
    """Return the lines that are shown, then what was told; the watcher; the clips gone to."""
    result: list[tuple[list[str], Stand]] = []
    went: list[str] = []

    async def inside(pilot: Pilot[Any]) -> None:
        jobs = pilot.app.query_one(Jobs)
        if width:
            jobs.styles.width = width
        await pilot.pause()
        jobs.board.focus()
        for key in keys:
            await pilot.press(key)
            await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        if name:
            assert_snapshot(pilot.app, name)
        lines = shown(pilot.app)
        if width:
            lines = [line[:width].rstrip() for line in lines]
        lines += [one.message for one in pilot.app._notifications]
        result.append((lines, jobs._watcher.test_stand))  # type: ignore[attr-defined]

    class App(Workbench):
        def on_jobs_show_clip(self, event: Jobs.ShowClip) -> None:
            went.append(event.name)

    async def run() -> None:
        stand = Stand(project)
        stand.watcher.test_stand = stand  # type: ignore[attr-defined]
        before(stand)
        app = alone(JobLine(stand.watcher, how=how), Jobs(stand.watcher, how=how), project=project)
        app.__class__ = App
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await inside(pilot)

    asyncio.run(run())
    lines, stand = result[0]
    return lines, stand, went


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_shows_an_encode_in_the_middle(project: Project, size: tuple[int, int]) -> None:
    lines, _, _ = see(project, fake.at_work, size=size, name=f"jobs-encode-{size[0]}x{size[1]}")
    text = "\n".join(lines)
    for words in (
        " latents 412/1,248 ",
        "33 %  1.9 clips/s  eta 7 min 20 s",
        "worker process 4711 · the work goes on when you leave",
        "now clips/scene-0412.mp4 · one-shot · cuda:0",
        "guard  clips/scene-0398.mp4: stepped down to stream 16",
        "✗ 1 clip failed · r tries again · enter goes to the clip",
        "latents: cut short after 62 of 137 frames",
        "→ export it again, or take it out of the dataset",
        "✓ conditions     nothing to do, 1,248 fresh",
        "○ audio latents  137 to do, 996 fresh",
        "GPU0  46.0 of 139.8 GiB used, 42.0 GiB ours  97 % busy",
        "used (line)  ours (filled)  limit 139.3 GiB (dashed)",
        "memory  21.0 of 128.0 GiB used",
    ):
        assert words in text, words


@pytest.mark.parametrize("width", [38, 40, 50, 59, 60, 72, 99])
def test_fits_whatever_the_width(project: Project, width: int) -> None:
    lines, _, _ = see(project, fake.at_work, size=WIDE, width=width)
    body = [line for line in lines[1:] if line]
    # Nothing is cut in the middle of a word: all words are ones that the wide pane has. Only
    # names are shortened.
    known = "\n".join(line for line in lines if "…" not in line)
    wide = "\n".join(see(project, fake.at_work, size=WIDE)[0])
    vocabulary = set(re.findall(r"[a-z]{3,}", wide))
    assert set(re.findall(r"[a-z]{3,}", known)) <= vocabulary
    assert any("412/1,248" in line for line in body)
    assert any("clips/s" in line for line in body)
    assert any(re.match(r"GPU0  46.0(/| of )139.8 GiB used, 42.0( GiB)? ours", x) for x in body)


def test_draws_in_plain_characters_where_it_must(project: Project) -> None:
    lines, _, _ = see(project, fake.at_work, how=ASCII)
    text = "\n".join(lines)
    assert "> latents" in text
    assert "##########" in text
    assert not any("\u2800" <= letter <= "\u28ff" for letter in text)
    assert "********" in text


def none_yet(stand: Stand) -> None:
    stand.watcher.worker = Worker(state="none")


def broken(stand: Stand) -> None:
    stand.watcher.worker = Worker(
        state="fault", text="the worker is of ltx-tui 9.9 (protocol 7)", remedy="stop it first"
    )


def interrupted(stand: Stand) -> None:
    stand.watcher.worker = Worker(state="none", text="the worker ended unexpectedly")
    stand.watcher.jobs = (fake.job(7, done=412),)
    stand.watcher.interrupted = True


def paused(stand: Stand) -> None:
    stand.take(fake.snapshot(fake.job(7, "paused", done=412), fake.job(8, "queued")))


def elsewhere(stand: Stand) -> None:
    stand.watcher.worker = Worker(state="none")
    stand.watcher.jobs = (fake.job(7),)


def stopped_as_a_whole(stand: Stand) -> None:
    fault = Fault(kind="ModelError", message="no such file", remedy="check the path")
    stand.take(fake.snapshot(fake.job(7, "failed", ended=9.0, fault=fault)))


def scanning(stand: Stand) -> None:
    stand.take(fake.snapshot(fake.job(7), active=7))
    stand.happen(ev.Scanning(done=120, total=1248))


def waiting(stand: Stand) -> None:
    fake.at_work(stand)
    stand.happen(
        ev.Guard(
            stage="latents",
            clip="clips/scene-0412.mp4",
            row=412,
            device="cuda:0",
            rung="",
            text="waits for 4.0 GiB that python (process 99) holds",
            waiting=True,
        )
    )


def loading(stand: Stand) -> None:
    stand.take(fake.snapshot(fake.job(7), active=7))
    stand.happen(
        fake.started(), ev.ModelLoading(stage="latents", model="video VAE", device="cuda:0")
    )


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (nothing, ("looking for a worker", "memory is shown while a worker runs")),
        (none_yet, ("no worker runs", "no job yet · R runs", "P shows first")),
        (broken, ("✗ the worker is of ltx-tui 9.9", "→ stop it first")),
        (
            interrupted,
            ("ended unexpectedly", "job 7 interrupted after 412 outputs · p goes on with it"),
        ),
        (paused, ("job 7 paused after 412 outputs · p goes on", "job 8 queued · begins soon")),
        (elsewhere, ("job 7 running in the foreground of another process",)),
        (stopped_as_a_whole, ("✗ job 7 failed no such file", "→ check the path")),
        (scanning, ("▶ looking at the media 120/1,248",)),
        (waiting, ("⚠ waits: waits for 4.0 GiB",)),
        (loading, ("▶ latents loading video VAE on cuda:0",)),
        (
            lambda stand: stand.take(fake.snapshot(fake.ended(6))),
            ("✓ job 6 done: 3 written · 9 fresh already · 42 s",),
        ),
        (
            lambda stand: stand.take(
                fake.snapshot(fake.ended(6, failures=(fake.failed(3),), cancelled=True))
            ),
            ("⚠ job 6 stopped: 3 written", "1 clip failed", "scene-0003.mp4"),
        ),
        (
            lambda stand: stand.take(
                fake.snapshot(
                    fake.ended(
                        6,
                        failures=(
                            ev.ClipFailed(stage="plan", clip="a", row=0, reason="too short"),
                        ),
                    )
                )
            ),
            ("✗ 1 clip blocked", "too short"),
        ),
    ],
)
def test_says_how_things_stand(project: Project, before: Before, words: tuple[str, ...]) -> None:
    lines, _, _ = see(project, before)
    text = re.sub(" +", " ", "\n".join(lines))
    for one in words:
        assert one in text, one


def test_a_hostile_name_is_shown_as_escapes(project: Project) -> None:
    def before(stand: Stand) -> None:
        fake.at_work(stand)
        stand.happen(
            ev.ClipFailed(stage="latents", clip="a\x1b[31m.mp4", row=1, reason="bad\x07[red]")
        )

    text = "\n".join(see(project, before)[0])
    assert "a\\x1b[31m.mp4" in text
    assert "bad\\x07[red]" in text


def test_empty_pane_at_both_sizes(project: Project) -> None:
    see(project, none_yet, name="jobs-empty-80x24")
    see(project, none_yet, size=WIDE, name="jobs-empty-120x40")


# Commands


def test_pauses_what_runs_and_goes_on_with_what_is_paused(project: Project) -> None:
    lines, stand, _ = see(project, fake.at_work, keys=("p",))
    assert ("pause", 7) in stand.engine.asked
    assert any("pauses after the clips in hand" in line for line in lines)
    lines, stand, _ = see(project, paused, keys=("p",))
    assert stand.engine.asked == []
    assert any("no job runs or is paused" in line for line in lines)

    def alone_paused(stand: Stand) -> None:
        stand.take(fake.snapshot(fake.job(7, "paused")))

    lines, stand, _ = see(project, alone_paused, keys=("p",))
    assert ("resume", 7) in stand.engine.asked
    lines, stand, _ = see(project, interrupted, keys=("p",))
    assert stand.watcher._must_start


def test_cancels_and_the_second_time_at_once(project: Project) -> None:
    lines, stand, _ = see(project, fake.at_work, keys=("c", "c"))
    assert [one for one in stand.engine.asked if one[0] == "cancel"] == [("cancel", 7)] * 2
    text = " ".join(lines)
    assert "stops after the clips in hand; cancel again to stop at once" in text
    assert "job 7 stops at once" in text


def test_a_job_of_another_process_is_left_alone(project: Project) -> None:
    for key in ("p", "c"):
        lines, stand, _ = see(project, elsewhere, keys=(key,))
        assert stand.engine.asked == []
        assert any("press Ctrl-C there" in line for line in lines)


def test_tries_again(project: Project) -> None:
    lines, stand, _ = see(project, fake.at_work, keys=("r",))
    assert ("retry", 0, ()) in stand.engine.asked
    assert any("job 9 tries what failed again" in line for line in lines)

    def refused(stand: Stand) -> None:
        fake.at_work(stand)
        fake.refusing(stand)

    lines, _, _ = see(project, refused, keys=("r",))
    assert any("no clip failed" in line for line in lines)


def test_moves_between_failed_clips_and_goes_to_one(project: Project) -> None:
    def before(stand: Stand) -> None:
        fake.at_work(stand)
        stand.happen(*(fake.failed(number) for number in range(100, 104)))

    _, _, went = see(project, before, keys=("enter", "j", "enter", "j", "k", "k", "enter"))
    # The latest failure comes first.
    assert went == [f"clips/scene-0{number}.mp4" for number in (103, 102, 103)]


def test_without_failures_the_keys_scroll(project: Project) -> None:
    def before(stand: Stand) -> None:
        fake.at_work(stand)
        stand.watcher.progress.failures.clear()
        stand.happen(fake.stepped(399), fake.stepped(400))

    lines, _, went = see(project, before, size=(80, 16), keys=("j", "j", "enter"))
    assert went == []
    assert "worker process" not in lines[1]
    lines, _, _ = see(project, before, size=(80, 16), keys=("j", "j", "k", "k"))
    assert "worker process" in lines[1]


# What changes


def test_takes_in_what_happens_and_shows_it(project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        stand.take(fake.snapshot(fake.job(7), active=7))
        stand.happen(fake.started(), fake.opened(), fake.begun(1))
        await pilot.pause(0.4)
        assert any("0/1,248" in line for line in shown(pilot.app))
        stand.clock.now += 60
        stand.happen(fake.done(1), fake.begun(2))
        await pilot.pause(0.4)
        text = "\n".join(shown(pilot.app))
        assert "1/1,248" in text
        assert "scene-0002" in text
        assert "scene-0001" not in text
        stand.clock.now += 60
        stand.take(fake.changed(fake.ended(7)))
        await pilot.pause(0.4)
        assert any("job 7 done" in line for line in shown(pilot.app))

    stand = Stand(project)
    run_app(alone(Jobs(stand.watcher, how=UNICODE), project=project), steps)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (none_yet, ""),
        (broken, "✗ the worker is of ltx-tui 9.9 (protocol 7)"),
        (interrupted, "○ job 7 interrupted"),
        (paused, "○ job 8 queued"),
        (scanning, "▶ looking at the media 120/1,248"),
        (waiting, "⚠ waits: waits for 4.0 GiB that python (process 99) holds"),
        (loading, "▶ latents: loading video VAE"),
        (lambda stand: stand.take(fake.snapshot(fake.ended(6))), ""),
    ],
)
def test_the_line_says_how_things_stand(project: Project, before: Before, words: str) -> None:
    lines, _, _ = see(project, before)
    assert lines[0].strip() == words


def test_the_fault_of_a_worker_of_another_version_is_told(project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        stand.engine.fault = EnvironmentFaultError("of another version", remedy="stop it")
        stand.watcher.start()
        for _ in range(50):
            await pilot.pause(0.02)
            if any("of another version" in line for line in shown(pilot.app)):
                break
        text = "\n".join(shown(pilot.app))
        assert "✗ of another version" in text
        assert "→ stop it" in text
        await stand.watcher.stop()

    stand = Stand(project)
    run_app(alone(Jobs(stand.watcher, how=UNICODE), project=project), steps)
