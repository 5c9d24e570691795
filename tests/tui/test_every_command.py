"""Every command of the registry can be done, by its keys and by the palette, in any terminal."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

import ltx_tui.screens
import ltx_tui.widgets
from engine.dataset.caption_db import Key
from ltx_tui.app import Workbench
from ltx_tui.commands.registry import Command, Commanded, commands, find
from ltx_tui.commands.scopes import SCOPE_NAMES
from ltx_tui.screens.palette import Palette
from tests.tui.conftest import ready, run_app

# In the palette alone, because they are rare, or must not be done by a slip of a finger.
WITHOUT_KEYS = {"app.theme", "workbench.cancel", "workbench.retry"}

# What a terminal or tmux takes for itself, or cannot tell from another key.
TAKEN = {
    *("ctrl+a", "ctrl+b", "ctrl+c", "ctrl+h", "ctrl+i", "ctrl+m", "ctrl+left_square_bracket"),
    *("ctrl+enter", "ctrl+backspace", "ctrl+space", "alt+enter", "shift+enter", "ctrl+["),
}

# Scopes of the workbench itself; the others are of screens that are opened over it.
PANES = ("app", "workbench", "clips", "details", "caption", "buckets", "jobs")


def owners() -> dict[str, type[Commanded]]:
    """Return the class of each scope."""
    for package in (ltx_tui.screens, ltx_tui.widgets):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found: dict[str, type[Commanded]] = {}
    for one in _heirs(Commanded):
        scope = one.__dict__.get("SCOPE", "")
        if scope and one.__module__.startswith("ltx_tui."):
            # One whose mix-ins offer commands as well is met on several ways.
            assert found.get(scope, one) is one, f"{one} and {found[scope]} have the same scope"
            found[scope] = one
    return found


def _heirs(one: type) -> Iterator[type]:
    for heir in one.__subclasses__():
        yield heir
        yield from _heirs(heir)


def test_every_scope_has_one_class_and_every_command_its_method() -> None:
    classes = owners()
    assert set(classes) == set(SCOPE_NAMES) - {"list"}
    for one in commands():
        assert callable(getattr(classes[one.scope], one.method, None)), one.id


def test_no_class_has_a_method_for_a_command_that_there_is_not() -> None:
    known = {(one.scope, one.method) for one in commands()}
    for scope, one in owners().items():
        named = {(scope, name) for name in dir(one) if name.startswith("do_")}
        assert named - known == set(), one


def test_every_command_has_a_key_but_for_those_of_the_palette_alone() -> None:
    assert {one.id for one in commands() if not one.keys} == WITHOUT_KEYS


def test_every_key_is_bound_to_its_command() -> None:
    classes = owners()
    for one in commands():
        bound: Any = classes[one.scope]._merge_bindings()
        for key in one.keys:
            [binding] = [b for b in bound.key_to_bindings[key] if b.id == one.id]
            assert binding.action == f"command('{one.id}')"


def test_no_key_is_lost_in_a_terminal() -> None:
    for one in commands():
        assert not set(one.keys) & TAKEN, one.id


def test_a_key_does_one_thing_in_a_scope_and_none_of_a_screen_is_hidden_by_the_app() -> None:
    everywhere = {key for one in commands("app") for key in one.keys}
    for scope in SCOPE_NAMES:
        keys = [key for one in commands(scope) for key in one.keys]
        assert len(keys) == len(set(keys)), scope
        # The palette and the end are within reach from wherever one is.
        assert scope == "app" or not set(keys) & {"ctrl+p", "ctrl+q", "f1"}, scope
    assert {"ctrl+p", "ctrl+q", "f1"} <= everywhere


def test_titles_are_told_apart_in_their_scope() -> None:
    for scope in SCOPE_NAMES:
        titles = [one.title for one in commands(scope)]
        assert len(titles) == len(set(titles)), scope


def test_all_of_the_workbench_is_in_the_palette(bench: Workbench) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        offered = {one.id for one in bench.offered()}
        assert {one.id for scope in PANES for one in commands(scope)} == offered

    run_app(bench, steps)


@pytest.mark.parametrize("scope", [one for one in SCOPE_NAMES if one not in (*PANES, "list")])
def test_all_of_a_screen_is_in_the_palette_over_it(bench: Workbench, scope: str) -> None:
    app = bench

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await _open(pilot, app, scope)
        assert {one.id for one in commands(scope)} <= {one.id for one in app.offered()}
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, Palette)
        assert {one.id for one in app.screen._all} >= {one.id for one in commands(scope)}
        # It can be left from there, too.
        await pilot.press("ctrl+q")

    run_app(app, steps)
    assert app.return_code == 0


async def _open(pilot: Pilot[Any], app: Workbench, scope: str) -> None:
    """Open the screen of a scope over the workbench."""
    screen = await ready(pilot)
    if scope == "init":
        from ltx_tui.screens.init import InitScreen

        await app.push_screen(InitScreen(app.start))
    elif scope == "conflict":
        from ltx_tui.screens.conflict import ConflictScreen

        doc = await screen.desk.captions.open(Key("scene-0000.mp4"))
        await app.push_screen(ConflictScreen(screen.desk.captions, doc))
    elif scope == "scenes":
        from engine.scenes.choices import Choices
        from engine.scenes.sources import Source
        from ltx_tui.scenes.state import VideoScenes
        from ltx_tui.screens.scenes import ScenesScreen

        video = VideoScenes(Source(path=app.start / "film.mp4", size=0), Choices())
        await app.push_screen(ScenesScreen(screen.desk.scenes, video))
    else:
        command = {
            "replace": "caption.find",
            "versions": "caption.history",
            "videos": "workbench.scenes",
        }
        own = {"plan", "frames", "doctor"}
        await app.run_command(
            command.get(scope, f"{'workbench' if scope in own else 'app'}.{scope}")
        )
    await pilot.pause()


@pytest.mark.parametrize(
    "one", [one for scope in PANES for one in commands(scope)], ids=lambda one: one.id
)
def test_the_palette_asks_the_class_that_has_the_command(
    bench: Workbench, one: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(owners()[one.scope], one.method, lambda _self: done.append(one.id))

    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await bench.run_command(one.id)
        assert done == [one.id]

    run_app(bench, steps)


@pytest.mark.parametrize("scope", ["clips", "buckets", "jobs"])
def test_the_first_key_of_each_command_does_it(
    bench: Workbench, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for one in commands(scope):
        monkeypatch.setattr(
            owners()[scope], one.method, lambda _self, name=one.id: done.append(name)
        )

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        screen.show_pane(scope)
        await pilot.pause()
        for one in commands(scope):
            for key in one.keys:
                await pilot.press(key)
                assert done == [one.id], key
                done.clear()

    run_app(bench, steps)


def test_what_is_not_in_the_registry_is_not_found() -> None:
    with pytest.raises(KeyError):
        find("clips.fly")
