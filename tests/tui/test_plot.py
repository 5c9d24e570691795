"""The plot of memory: what is drawn where, in dots and in plain characters."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook
from engine.project import Project
from ltx_tui.drawing.plot import Level, Levels, across, columns, draw
from ltx_tui.drawing.signs import ASCII, UNICODE, Signs, bar
from ltx_tui.widgets.jobs import Jobs
from ltx_tui.widgets.memory_plot import MemoryPlot, devices
from tests.tui import fake_worker as fake
from tests.tui.conftest import alone, run_app
from tests.tui.fake_worker import GIB, Stand
from tests.tui.rows import make_row, store_of

LEVELS = st.builds(Level, st.integers(0, 200), st.none() | st.integers(0, 200))


def text(history: list[Level | None], levels: Levels, width: int, height: int, how: Signs) -> str:
    rows = draw(history, levels, width, height, how)
    return "\n".join("".join(letter for letter, _ in row) for row in rows)


def test_plain_characters_show_line_area_dashes_and_dots() -> None:
    history = [Level(20, 10), Level(60, 40), Level(60, 40), None, Level(100, 0)]
    drawn = text(history, Levels(total=100, limit=80, forecast=40), 8, 6, ASCII)
    assert drawn.split("\n") == [
        "    *   ",
        "--  --  ",
        " **     ",
        ".*. . . ",
        "*##     ",
        "###     ",
    ]


def test_dots_have_four_rows_a_character() -> None:
    assert text([Level(100)] * 2, Levels(total=100), 1, 1, UNICODE) == "⠉"
    assert text([Level(0)] * 2, Levels(total=100), 1, 1, UNICODE) == "⣀"
    assert text([Level(100, 100)] * 2, Levels(total=100), 1, 1, UNICODE) == "⣿"
    assert text([Level(0), Level(100)], Levels(total=100), 1, 1, UNICODE) == "⡸"


@given(
    st.lists(st.none() | LEVELS, max_size=30),
    st.builds(
        Levels, total=st.integers(0, 100), limit=st.integers(0, 300), forecast=st.integers(0, 300)
    ),
    st.integers(1, 20),
    st.integers(1, 6),
    st.sampled_from([ASCII, UNICODE]),
)
def test_a_plot_has_its_size_whatever_is_drawn(
    history: list[Level | None], levels: Levels, width: int, height: int, how: Signs
) -> None:
    rows = draw(history[: width * across(how)], levels, width, height, how)
    assert len(rows) == height
    assert {len(row) for row in rows} == {width}
    assert all(len(letter) == 1 for row in rows for letter, _ in row)


def test_steps_of_time_are_fixed_and_complete() -> None:
    samples = [(float(second), Level(second)) for second in range(100, 161)]
    assert columns(samples, 4, 40.0) == [Level(129), Level(139), Level(149), Level(159)]
    # A step that is not over is left out; characters of two steps move on by two.
    assert columns(samples[:-1], 4, 40.0) == [Level(119), Level(129), Level(139), Level(149)]
    assert columns(samples[:55], 4, 40.0, 2) == [Level(109), Level(119), Level(129), Level(139)]
    assert columns([], 3, 40.0) == [None] * 3


@given(st.lists(st.floats(0, 1e4), max_size=60), st.integers(1, 50), st.integers(1, 2))
def test_a_sample_more_within_a_step_changes_nothing(
    times: list[float], count: int, together: int
) -> None:
    samples = [(time, Level(5)) for time in sorted(times)]
    before = columns(samples, count, 100.0, together)
    if samples:
        samples.append(samples[-1])
    assert columns(samples, count, 100.0, together) == before
    assert len(before) == count


@given(st.integers(0, 60), st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_bar_fills_its_width_and_shows_the_least(width: int, part: int, whole: int) -> None:
    full, rest = bar(width, part, whole, ASCII)
    assert len(full + rest) == width
    assert bool(full) == bool(part and width and whole) or not whole


def test_devices_are_the_first_gpu_the_host_and_the_others(project: Project) -> None:
    async def run() -> None:
        stand = Stand(project)
        assert list(devices(stand.watcher, 5)) == []
        stand.take(fake.telemetry(fake.memory(1.0, gpus=3)))
        found = list(devices(stand.watcher, 5 * GIB))
        assert [one.name for one in found] == ["GPU0", "memory", "GPU1", "GPU2"]
        assert found[0].levels.forecast == 5 * GIB
        assert found[1].levels.forecast == 0
        assert found[0].levels.limit == found[0].levels.total - GIB // 2
        assert found[1].levels.limit == 126 * GIB
        small = msgspec.structs.replace(project.memory, limit=22.0)
        stand.watcher.use(msgspec.structs.replace(project, memory=small))
        assert next(iter(devices(stand.watcher, 0))).levels.limit == 22 * GIB
        stand.take(fake.telemetry(fake.memory(2.0, gpus=0)))
        (host,) = devices(stand.watcher, 5 * GIB)
        assert (host.name, host.levels.limit, host.levels.forecast) == (
            "memory",
            22 * GIB,
            5 * GIB,
        )

    asyncio.run(run())


def test_a_gpu_that_tells_nothing_is_named_with_the_reason(project: Project) -> None:
    async def run() -> None:
        stand = Stand(project)
        sample = fake.memory(1.0)
        lost = msgspec.structs.replace(sample.gpus[0], used=None, fault="fell off the bus")
        stand.take(fake.telemetry(msgspec.structs.replace(sample, gpus=(lost,))))
        found = next(iter(devices(stand.watcher, 0)))
        assert (found.now, found.fault) == (None, "fell off the bus")

    asyncio.run(run())


@pytest.mark.parametrize("height", range(1, 30))
def test_every_height_is_filled_as_far_as_it_goes(project: Project, height: int) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        fake.at_work(stand)
        stand.take(fake.telemetry(fake.memory(1_700.0, gpus=2)))
        for width in (38, 80):
            items = pilot.app.query_one(MemoryPlot).lines_of(width, height)
            assert len(items) <= height
            assert max(item.text.cell_len for item in items) <= width
            assert items[0].text.plain.startswith("GPU0")

    stand = Stand(project)
    run_app(alone(MemoryPlot(stand.watcher, how=UNICODE), project=project), steps)


def test_the_forecast_is_that_of_the_bucket_in_hand(project: Project) -> None:
    outlook = Outlook(
        stage=Stage.LATENTS, name="960x544x49", rung="one-shot", need=50 * GIB, text="…"
    )
    row = make_row(0, name="clips/scene-0412.mp4", bucket="960x544x49")

    async def steps(pilot: Pilot[Any]) -> None:
        jobs = pilot.app.query_one(Jobs)
        assert jobs._expected() == 0
        fake.at_work(stand)
        assert jobs._expected() == 50 * GIB
        jobs.renew()
        await pilot.pause()
        items = jobs.plot.lines_of(80, 10)
        assert "forecast 50.0 GiB (dotted)" in items[1].text.plain
        stand.happen(fake.done(412), fake.begun(413))
        assert jobs._expected() == 0

    stand = Stand(project)
    store = store_of([row], project=project, outlooks=(outlook,))
    run_app(alone(Jobs(stand.watcher, store, how=UNICODE), project=project), steps)
