"""What a job and a plan look like: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import io
import json
import re

import msgspec
import pytest

from engine import events as ev
from engine.precompute.plan_types import Plan
from engine.progress import Progress
from engine.project import Project
from ltx_tui.cli.bars import hand_lines, stage_table
from ltx_tui.cli.console import duration, size
from ltx_tui.cli.live import LiveView
from ltx_tui.cli.output import JsonView, LineView
from ltx_tui.cli.plan_view import print_plan
from ltx_tui.cli.progress import rate_words
from ltx_tui.cli.summary import failure_lines
from tests.terminal.screen import Screen
from tests.unit import cli_fakes as fakes


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def play(view: LineView | LiveView | JsonView, events: list[ev.AnyEvent]) -> None:
    for event in events:
        view.show(event)
    view.close()


def test_json_is_one_event_a_line_and_nothing_else() -> None:
    out, err = io.StringIO(), fakes.console()
    events = fakes.job()
    play(JsonView(out, err), events)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines[:3]] == ["scanning", "scanning", "job-started"]
    decoded = [msgspec.json.decode(x, type=ev.AnyEvent) for x in out.getvalue().splitlines()]
    assert decoded == events
    assert "1 clip failed" in fakes.written(err)


def test_pipe_lines_are_few_and_name_what_matters() -> None:
    console = fakes.console(10_000, terminal=False)
    clock = Clock()
    view = LineView(console, Progress(clock))
    events = fakes.job(1000)
    for event in events:
        clock.now += 0.05
        view.show(event)
    text = fakes.written(console)
    lines = text.splitlines()
    assert 20 < len(lines) < 90
    assert "looked at 1,000 media files" in lines
    assert "conditions: loading a [bold]model on cpu" in lines
    assert "conditions: 1,000/1,000 done in 4.2 s" in lines
    assert "latents: 1,000/1,000 done in 4.2 s, 1 failed" in lines
    assert "audio latents: nothing to do, 9 fresh" in lines
    assert "! warning: a.mp4: caption cut to 1,024 tokens" in lines
    assert "conditions: 50/1,000, 5%, 10 clips/s, 1 min 35 s left" in lines
    assert "\x1b" not in text
    assert r"failed: b\x1b[2Jad.mp4 (latents): cut short after 62 of 137 frames" in lines
    assert lines[-1] == (
        "! done, but not all: 1,999 written · 11 fresh already · 1 clip failed · 1 skipped · "
        "1 output set aside · 1 min 02 s"
    )


def test_slow_clips_get_a_line_each() -> None:
    console = fakes.console(terminal=False)
    clock = Clock()
    view = LineView(console, Progress(clock))
    for event in fakes.job(3, fail=False):
        clock.now += 12
        view.show(event)
    lines = fakes.written(console).splitlines()
    assert "latents: 1/3, 33%, 24.0 s/clip, 48 s left" in lines
    assert lines[-1].startswith("✓ done: 6 written")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal_rows_fit_and_say_where_each_stage_stands(width: int) -> None:
    console = fakes.console(width)
    clock = Clock()
    progress = Progress(clock)
    events = fakes.job(1248)
    for event in events[: len(events) // 2 + 700]:
        clock.now += 0.3
        progress.take(event)
    console.print(stage_table(console, progress))
    lines = fakes.written(console).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("✓ conditions")
    assert "done in 4.2 s" in lines[0]
    assert lines[1].startswith("→ latents")
    if width >= 80:
        assert "28%" in lines[1]
        assert "1.7 clips/s" in lines[1]
        assert "min" in lines[1]
    assert "nothing to do, 9 fresh" in lines[2]


def test_live_view_ends_with_the_bars_the_failures_and_the_figures() -> None:
    console = fakes.console()
    play(LiveView(console), fakes.job())
    text = fakes.written(console)
    assert "failed: b\\x1b[2Jad.mp4" in text
    assert "\n! done, but not all: 7 written" in text
    assert text.endswith("1 min 02 s\n")
    # No mode of the terminal was changed, so there is none to bring back.
    assert "\x1b[?" not in text


def test_stages_that_never_ran_say_why() -> None:
    for cancelled, sign, words in ((True, "!", "stopped"), (False, "✓", "put back")):
        console, progress = fakes.console(), Progress()
        events = fakes.job(fail=False, cancelled=cancelled)
        for event in (events[2], events[-1]):
            progress.take(event)
        console.print(stage_table(console, progress))
        line = fakes.written(console).splitlines()[1]
        assert line.startswith(f"{sign} latents")
        assert line.rstrip().endswith(words)


def test_bars_differ_in_shape_and_not_in_colour_alone() -> None:
    console, progress = fakes.console(), Progress()
    for event in fakes.job(4)[:8]:
        progress.take(event)
    console.print(stage_table(console, progress))
    assert "━━━───────────" in fakes.written(console)


def test_live_view_shows_notes_and_hints_until_it_closes() -> None:
    console = fakes.console()
    view = LiveView(console, hint="Ctrl-C stops")
    view.show(fakes.job()[2])
    view.note("stopping after this clip")
    shown = fakes.written(console)
    assert "stopping after this clip" in shown
    assert "Ctrl-C stops" in shown
    view.close()
    screen = Screen()
    screen.feed(fakes.written(console))
    assert [line for line in screen.lines if "stop" in line] == []
    assert "waiting" in screen.lines[0]
    view.note("detached")
    assert fakes.written(console).endswith("detached\n")


def guard(text: str, *, waiting: bool = False) -> ev.Guard:
    return ev.Guard(
        stage="latents",
        clip="a\x1b[2J.mp4",
        row=0,
        device="cuda:1",
        rung="" if waiting else "stream 16",
        text=text,
        waiting=waiting,
    )


def test_guard_is_told_above_the_bars_and_waiting_under_them() -> None:
    console = fakes.console(100)
    view = LiveView(console)
    clip = "a\x1b[2J.mp4"
    for event in (
        fakes.job()[2],
        ev.StageStarted(stage="latents", total=4, load_seconds=0.1),
        ev.ClipStarted(stage="latents", clip=clip, row=0, device="cuda:1", rung="one-shot"),
    ):
        view.show(event)
    view.show(guard("waits for memory that others hold: 3 GiB", waiting=True))
    view.tick()
    screen = Screen(100)
    screen.feed(fakes.written(console))
    assert screen.lines[-3:-1] == [
        "  cuda:1  a\\x1b[2J.mp4  one-shot",
        "  waits for memory that others hold: 3 GiB",
    ]
    view.show(guard("stepped down to stream 16 (31.2 GiB, 9.4 GiB free)"))
    view.tick()
    screen = Screen(100)
    screen.feed(fakes.written(console))
    assert screen.lines[0].startswith(
        "memory guard, cuda:1: a\\x1b[2J.mp4: stepped down to stream 16"
    )
    assert "conditions" in screen.lines[1]
    assert screen.lines[-2] == "  cuda:1  a\\x1b[2J.mp4  stream 16"


def test_guard_gets_a_line_in_a_pipe() -> None:
    console = fakes.console(200, terminal=False)
    play(LineView(console), [guard("stepped down to stream 16")])
    words = "memory guard, cuda:1: a\\x1b[2J.mp4: stepped down to stream 16\n"
    assert fakes.written(console) == words


@pytest.mark.parametrize("width", [40, 80, 120])
def test_several_devices_get_a_line_each_that_fits(width: int) -> None:
    console, progress = fakes.console(width), Progress()
    for number in range(6):
        name = f"{'long/' * 12}scene-{number}.mp4"
        progress.take(
            ev.ClipStarted(
                stage="latents", clip=name, row=number, device=f"cuda:{number}", rung="stream 16"
            )
        )
    lines = [line.plain for line in hand_lines(console, progress)]
    assert len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("  cuda:0  ")
    assert lines[0].endswith("scene-0.mp4  stream 16")
    assert lines[-1] == "  and 2 more devices"


def standing_of(events: list[ev.AnyEvent]) -> ev.Standing:
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress.standing()


def test_who_comes_later_is_told_where_the_job_stands() -> None:
    console = fakes.console(200, terminal=False)
    events = fakes.job(4)[:-3]
    view = LineView(console)
    view.show(standing_of([*events, guard("stepped down to stream 16")]))
    lines = fakes.written(console).splitlines()
    assert lines[0] == "conditions: 4/4 done in 4.2 s"
    assert lines[1].startswith("latents: 4/4 100%")
    assert lines[2] == "audio latents: nothing to do, 9 fresh"
    assert lines[3].startswith(r"failed: b\x1b[2Jad.mp4 (latents): cut short")
    assert lines[4].startswith("memory guard, cuda:1: ")
    # A client that fell behind is told again where things stand, but of no failure twice.
    view.show(standing_of(events))
    assert fakes.written(console).count("failed:") == 1


def test_standing_puts_the_bars_where_they_belong() -> None:
    console = fakes.console()
    view = LiveView(console)
    many = [fakes.failure(f"{n}.mp4", n) for n in range(9)]
    view.show(standing_of([*fakes.job(40)[:90], *many]))
    view.tick()
    screen = Screen()
    screen.feed(fakes.written(console))
    assert [line[:15] for line in screen.lines[:5]] == [f"✗ failed: {n}.mp4" for n in range(4, 9)]
    assert screen.lines[5] == "… and 4 more failed"
    assert re.search(r"^✓ conditions +━+ 40/40 done in 4.2 s", screen.lines[6])


def test_job_that_went_on_says_what_was_done_before() -> None:
    console = fakes.console(200, terminal=False)
    count = ev.StageCount(
        stage="latents", to_do=30, fresh=1, blocked=0, skipped=0, done=8, failed=2
    )
    play(LineView(console), [ev.JobStarted(stages=(count,))])
    assert fakes.written(console) == "latents: 30 to do, 10 done before, 1 fresh\n"


def test_cancelled_job_says_how_to_go_on() -> None:
    console = fakes.console(200, terminal=False)
    play(LineView(console), fakes.job(fail=False, cancelled=True))
    last = fakes.written(console).splitlines()[-1]
    assert last.startswith("! stopped:")
    assert last.endswith("the same command goes on")


def test_failures_with_one_reason_are_one_block() -> None:
    failures = [fakes.failure(f"{n}.mp4", n) for n in range(9)]
    lines = failure_lines(failures)
    assert lines == [
        "  0.mp4 (row 1), 1.mp4 (row 2), 2.mp4 (row 3), 3.mp4 (row 4), 4.mp4 (row 5) and 4 more",
        "    latents: cut short after 62 of 137 frames",
        "    → cut it again",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_plan_says_counts_reasons_orphans_buckets_warnings(width: int, tmp_path: object) -> None:
    console = fakes.console(width)
    project = Project.defaults(fakes.Path("/p/bunny"))
    print_plan(console, fakes.plan(), project)
    text = fakes.written(console)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert all(len(line) <= width for line in text.splitlines())
    assert lines[0] == "bunny · dataset.json · 7 clips"
    assert "stage fresh missing stale put back blocked skipped" in lines
    assert "reference latents 1 1 2 1 1 1" in lines
    assert "2 caption edited [all stages]" in lines
    assert "clip-2[red].mp4, clip-3[red].mp4" in lines
    assert "→ use 9 frames" in lines
    assert "latents/old/take.pt" in lines
    assert "→ a run moves them to /p/bunny/.ltx-tui/orphans" in lines
    assert any(line.startswith("960x544x121 ████████████████████████ 812 clips") for line in lines)
    assert any(line.endswith("8,160 tokens") for line in lines)
    assert "! audio starts 0.48 s late: clip-0[red].mp4" in lines
    assert "encode 6 outputs and put 2 outputs back and move 1 orphan away" in " ".join(lines)


def test_fresh_plan_says_that_there_is_nothing_to_do() -> None:
    console = fakes.console()
    print_plan(console, fakes.plan(fresh=True), Project.defaults(fakes.Path("/p/bunny")))
    assert "✓ Nothing to do: everything is fresh." in fakes.written(console)


def test_empty_plan_says_so() -> None:
    console = fakes.console()
    empty = Plan(stages=(), items=(), orphans=(), clips=(), buckets={}, warnings=())
    print_plan(console, empty, Project.defaults(fakes.Path("/p/bunny")))
    assert "The dataset has no rows." in fakes.written(console)


def test_figures_have_units() -> None:
    assert [duration(s) for s in (0.04, 9.94, 9.96, 61, 3600, 11_000)] == [
        "0.0 s",
        "9.9 s",
        "10 s",
        "1 min 01 s",
        "1 h 00 min",
        "3 h 03 min",
    ]
    assert [size(n) for n in (0, 1023, 1024, 1.5 * 2**30, 2**42)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 GiB",
        "4.0 TiB",
    ]
    assert [rate_words(r) for r in (0, 0.08, 0.96, 33)] == [
        "",
        "12.5 s/clip",
        "1.0 clips/s",
        "33 clips/s",
    ]
