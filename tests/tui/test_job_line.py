"""The line of the running job, and how words, signs and colours are fitted into panes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.project import Project
from ltx_tui.drawing.signs import ASCII, UNICODE, signs
from ltx_tui.widgets.board import hanging, wrapped
from ltx_tui.widgets.jobs import JobLine, Jobs
from tests.tui import fake_worker as fake
from tests.tui.conftest import SMALL, alone, run_app, shown
from tests.tui.fake_worker import Stand


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (80, " latents 412/1,248 █████░░░░░░░░░░░ 33 %  1.9 clips/s  eta 7 min 20 s  1 failed"),
        (60, " latents 412/1,248 ██░░░░░░ 33 %  eta 7 min 20 s  1 failed"),
        (40, " latents 412/1,248 ███░░░░░ 33 %  1 failed"),
        (30, " latents 412/1,248 █░░░ 33 %"),
    ],
)
def test_the_line_leaves_out_whole_parts(project: Project, width: int, words: str) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        line = pilot.app.query_one(JobLine)
        found = line.content(width)
        assert found.cell_len <= width
        bar = re.compile("[█░]+")
        assert bar.sub("#", found.plain) == bar.sub("#", words)

    async def run() -> None:
        stand = Stand(project)
        fake.at_work(stand)
        app = alone(JobLine(stand.watcher, how=UNICODE), project=project)
        async with app.run_test(size=SMALL) as pilot:
            await pilot.pause()
            await steps(pilot)

    asyncio.run(run())


def test_text_is_wrapped_between_words() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("abcdefghij kl", 4) == ["abcd", "efgh", "ij", "kl"]
    assert wrapped("界界界", 3) == ["界", "界", "界"]
    assert wrapped("", 5) == []
    assert hanging("a: ", "one two three", 8) == ["a: one", "   two", "   three"]
    assert hanging("a: ", "one two three four", 12, most=1) == ["a: one two …"]


def test_signs_follow_the_encoding() -> None:
    assert signs("utf-8") is UNICODE
    assert signs("ascii") is ASCII
    assert signs("latin-1") is ASCII
    assert signs("no-such-encoding") is ASCII


def test_another_theme_colours_what_is_there(project: Project) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        fake.at_work(stand)
        await pilot.pause(0.1)
        before = shown(pilot.app)
        pilot.app.take_theme("ltx-light")  # type: ignore[attr-defined]
        await pilot.pause(0.1)
        assert shown(pilot.app) == before
        jobs = pilot.app.query_one(Jobs)
        for board in (jobs.board, jobs.plot):
            colours = {
                str(segment.style.color.name)
                for y in range(board.size.height)
                for segment in board.render_line(y)
                if segment.style is not None and segment.style.color is not None
            }
            assert pilot.app.current_theme.primary in colours

    stand = Stand(project)
    run_app(alone(Jobs(stand.watcher, how=UNICODE), project=project), steps)
