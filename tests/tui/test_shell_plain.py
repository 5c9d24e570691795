"""Terminals that can do less: other encodings, few colours, no colours; and keys typed ahead."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest
from rich.cells import cell_len
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from engine.project import Project
from ltx_tui import key_order
from ltx_tui.app import Workbench
from ltx_tui.config.user import Config
from ltx_tui.terminal import guard
from ltx_tui.widgets.clip_list import ClipList
from tests.tui.conftest import make_bench, ready, run_app, screen_of, still


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_signs_that_an_encoding_lacks_are_drawn_by_others_as_wide(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    stream = io.TextIOWrapper(out, encoding=encoding)
    monkeypatch.setattr(sys, "__stderr__", stream)
    guard.draw_plainly()
    words = "╭─ Help ─╮│ · … × ▸ ◆ █▁ → 猫 é\N{SNOWMAN}"
    stream.write(words)
    stream.flush()
    drawn = out.getvalue().decode(encoding)
    assert cell_len(drawn) == cell_len(words)
    if encoding == "ascii":
        assert drawn == "+- Help -+| - ~ x > * ## > ?? ??"


def test_an_encoding_that_has_them_all_draws_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "__stderr__", io.TextIOWrapper(out, encoding="utf-8"))
    guard.draw_plainly()
    assert sys.__stderr__ is not None
    sys.__stderr__.write("╭─ 猫")
    sys.__stderr__.flush()
    assert out.getvalue().decode() == "╭─ 猫"


@pytest.mark.parametrize(
    ("term", "chosen", "expected"),
    [
        ("xterm", "", "ltx-ansi"),
        ("screen", "", "ltx-ansi"),
        ("xterm", "ltx-light", "ltx-light"),
        ("tmux-256color", "", "ltx-dark"),
    ],
)
def test_the_theme_suits_the_terminal_unless_one_is_chosen(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    term: str,
    chosen: str,
    expected: str,
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM", raising=False)
    app = Workbench(project.root, project, config=Config(theme=chosen))
    assert app.theme == expected


@pytest.mark.parametrize("chosen", ["", "ltx-light"])
def test_without_colours_words_are_seen_and_the_cursor_is_reversed(
    project: Project, quiet: None, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_bench(project)
    app = Workbench(project.root, project, config=Config(theme=chosen))

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        filters = app.get_line_filters()
        for key, word in (("j", "scene-0001"), ("f2", "path")):
            await pilot.press(key)
            await still(pilot)
            reversed_lines = []
            for strip in app.screen._compositor.render_strips():
                drawn = strip.apply_filter(filters[-1], app.screen.background_colors[1])
                for segment in drawn:
                    style = segment.style
                    assert style is None or style.color is None or style.color.is_default
                    assert style is None or style.bgcolor is None or style.bgcolor.is_default
                if any(one.style and one.style.reverse for one in drawn):
                    reversed_lines.append("".join(one.text for one in drawn))
            assert any(word in line for line in reversed_lines), reversed_lines

    run_app(app, steps)


# Keys that come before what they are meant for is there


async def at_once(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys without waiting between them."""
    for key in keys:
        character = key if len(key) == 1 else None
        name = _character_to_key(key) if character else key
        pilot.app.post_message(events.Key(name, character))
    for _ in range(60):
        await pilot.pause(0.02)
        if pilot.app._working is None and not pilot.app._typed:  # type: ignore[attr-defined]
            break
    await pilot.pause()


def test_a_filter_that_is_typed_at_once_is_a_filter(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await at_once(pilot, "slash", *"text:car", "enter")
        assert screen.desk.store.filter.text == "text:car"
        assert bench.screen is screen
        assert not bench._notifications

    run_app(bench, steps)


def test_what_is_typed_after_moving_is_in_that_clip(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        before = screen.desk.store.get(0).caption
        await at_once(pilot, "j", "j", "e", *"xray ")
        assert screen.editor is not None
        assert screen.editor.doc is not None
        assert screen.editor.doc.key.name == "scene-0002.mp4"
        assert screen.editor.doc.text.startswith("xray ")
        await at_once(pilot, "f8", *"next ")
        assert screen.editor.doc.key.name == "scene-0003.mp4"
        assert screen.editor.doc.text.startswith("next ")
        assert screen.desk.store.get(0).caption == before

    run_app(bench, steps)


def test_a_command_that_is_typed_at_once_is_found(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await at_once(pilot, "ctrl+p", *"mark all shown", "enter")
        assert len(screen.desk.store.marked) == 12

    run_app(bench, steps)


def test_a_key_that_hangs_does_not_hold_up_the_others(
    project: Project, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_bench(project)
    monkeypatch.setattr(key_order, "_PATIENCE", 0.05)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        waits = asyncio.Event()

        async def hang(_self: ClipList) -> None:
            await asyncio.wait_for(waits.wait(), 5)

        monkeypatch.setattr(ClipList, "do_copy", hang)
        app.post_message(events.Key("y", "y"))
        await asyncio.sleep(0.2)
        waits.set()
        await at_once(pilot, "j")
        assert screen_of(app).clips.clip == "scene-0001.mp4"
        assert screen is screen_of(app)

    run_app(app, steps)
