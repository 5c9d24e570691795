"""What opens over the workbench: palette, help, jump mode, themes."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import UsageError
from engine.overview.types import CaptionState, OutputState
from engine.project import Project
from ltx_tui.app import Workbench
from ltx_tui.commands.registry import commands
from ltx_tui.config.user import load_config
from ltx_tui.drawing.signs import UNICODE
from ltx_tui.screens.help import HelpScreen, sign_entries
from ltx_tui.screens.jump import JumpScreen
from ltx_tui.screens.palette import Palette, score
from tests.tui.conftest import (
    SMALL,
    WIDE,
    assert_snapshot,
    make_bench,
    picture,
    ready,
    run_app,
    shown,
    still,
)

# Palette


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_palette_looks_as_it_did(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("ctrl+p", *"buck")
        await still(pilot)
        assert_snapshot(bench, f"palette-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


def test_palette_does_commands_of_panes_without_the_focus(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("4", "ctrl+p", *"mark all shown", "enter")
        await pilot.pause()
        assert len(screen.desk.store.marked) == 12
        assert screen.pane == "clips"

    run_app(bench, steps)


def test_palette_offers_all_that_the_panes_can_do(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        offered = {one.id for one in bench.offered()}
        for scope in ("app", "clips", "details", "caption", "buckets", "jobs"):
            assert {one.id for one in commands(scope)} <= offered
        assert not any(one.startswith(("log.", "settings.", "init.")) for one in offered)

    run_app(bench, steps)


def test_palette_closed_does_nothing(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("ctrl+p")
        assert isinstance(bench.screen, Palette)
        await pilot.press(*"zzz", "enter")
        assert isinstance(bench.screen, Palette)
        assert "no command has these words" in "\n".join(shown(bench))
        await pilot.press("escape")
        assert bench.screen is screen

    run_app(bench, steps)


def test_palette_puts_what_begins_with_the_words_first() -> None:
    known = {one.id: one for one in commands()}
    ranked = sorted(known.values(), key=lambda one: -score("mark", one))
    assert ranked[0].id == "clips.mark"
    assert score("filter zebra", known["clips.filter"]) == 0
    assert score("caption undo", known["caption.undo"]) > 0


# Help and jump mode


@pytest.mark.parametrize(("pane", "words"), [("1", "Mark the clip"), ("3", "Add a bucket")])
def test_help_is_about_what_has_the_focus(bench: Workbench, pane: str, words: str) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press(pane, "question_mark")
        assert isinstance(bench.screen, HelpScreen)
        assert any(words in line for line in shown(bench))
        await pilot.press("escape")
        assert bench.screen is screen

    run_app(bench, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_help_looks_as_it_did(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("f1")
        await still(pilot)
        assert_snapshot(bench, f"help-{size[0]}x{size[1]}")

    run_app(bench, steps, size=size)


def test_help_scrolls_to_the_signs(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("f1", "pagedown", "pagedown")
        await pilot.pause()
        assert any("⊘ blocked" in line for line in shown(bench))
        await pilot.press("escape", "3", "f1", "G")
        await pilot.pause()
        assert any("⊘ blocked" in line for line in shown(bench))

    run_app(bench, steps)


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_jump_mode_goes_where_the_letter_says(bench: Workbench, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("ctrl+o")
        assert isinstance(bench.screen, JumpScreen)
        await still(pilot)
        assert_snapshot(bench, f"jump-{size[0]}x{size[1]}")
        await pilot.press("d")
        await pilot.pause()
        assert (bench.screen, screen.pane) == (screen, "buckets")
        await pilot.press("ctrl+o", "x")
        assert (bench.screen, screen.pane) == (screen, "buckets")

    run_app(bench, steps, size=size)


# Themes


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_themes_are_shown_as_one_moves_and_kept_on_enter(
    bench: Workbench, size: tuple[int, int]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await bench.run_command("app.theme")
        await pilot.pause()
        assert bench.theme == "ltx-dark"
        await pilot.press("j")
        assert bench.theme == "ltx-light"
        await still(pilot)
        assert_snapshot(bench, f"theme-{size[0]}x{size[1]}")
        await pilot.press("escape")
        assert bench.theme == "ltx-dark"
        await bench.run_command("app.theme")
        await pilot.press("k", "enter")
        await bench.workers.wait_for_complete()
        await pilot.pause()
        assert bench.theme == "ltx-contrast"

    run_app(bench, steps, size=size)
    assert load_config().theme == "ltx-contrast"


@pytest.mark.parametrize("theme", ["ltx-light", "ltx-contrast", "ltx-ansi"])
def test_every_theme_shows_the_same_words(project: Project, quiet: None, theme: str) -> None:
    make_bench(project)
    pictures: dict[str, list[str]] = {}

    def look(name: str) -> None:
        app = Workbench(project.root, project, theme=name)

        async def steps(pilot: Pilot[Any]) -> None:
            await ready(pilot)
            pictures[name] = shown(app)

        run_app(app, steps)

    look("ltx-dark")
    look(theme)
    assert pictures[theme] == pictures["ltx-dark"]


def test_an_unknown_theme_is_refused_with_a_guess(project: Project) -> None:
    with pytest.raises(UsageError, match="ltx-dark"):
        Workbench(project.root, project, theme="ltx-drak")


def test_inputs_take_letters_that_are_keys_elsewhere(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("ctrl+p", *"1qP?")
        assert bench.screen.query_one(Input).value == "1qP?"

    run_app(bench, steps)


def test_help_explains_the_sign_of_every_state() -> None:
    words = {keys for keys, *_ in sign_entries(UNICODE)}
    states = [*CaptionState, *OutputState]
    assert all(any(one.endswith(f" {state}") for one in words) for state in states)
    assert {one[0] for one in words if one}.isdisjoint({" "})


def test_no_line_keeps_the_colours_of_another_theme(project: Project, quiet: None) -> None:
    make_bench(project)
    pictures: list[str] = []

    def look(*, first: str, then: str) -> None:
        app = Workbench(project.root, project, theme=first)

        async def steps(pilot: Pilot[Any]) -> None:
            await ready(pilot)
            await still(pilot)
            app.take_theme(then)
            await pilot.pause()
            await still(pilot)
            pictures.append(picture(app, "theme"))

        run_app(app, steps, size=WIDE)

    look(first="ltx-light", then="ltx-light")
    look(first="ltx-dark", then="ltx-light")
    assert pictures[0] == pictures[1]
