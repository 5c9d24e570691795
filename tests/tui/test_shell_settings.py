"""The settings: every key, changed in project.toml with its comments kept."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import LtxError
from engine.project import Project, load_project
from engine.settings import KEYS
from ltx_tui.app import Workbench
from ltx_tui.config.project_rows import options_of, parsed, setting_rows, spelled
from ltx_tui.screens.settings import SettingsScreen
from tests.tui.conftest import SMALL, WIDE, alone, assert_snapshot, run_app, shown, still


async def open_settings(app: Workbench, pilot: Pilot[Any]) -> SettingsScreen:
    """Open the settings of the app's project."""
    await pilot.press("f2")
    assert isinstance(app.screen, SettingsScreen)
    await pilot.pause()
    return app.screen


async def go_to(pilot: Pilot[Any], screen: SettingsScreen, name: str) -> None:
    """Put the cursor on a key."""
    names = [row.key.full_name if row.key else "" for row in screen._list.rows]
    screen._list.move_to(names.index(name))
    await pilot.pause()


async def written(pilot: Pilot[Any]) -> None:
    """Wait until what was changed is in the file."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def test_rows_are_all_keys_by_section(project: Project) -> None:
    rows = setting_rows(project)
    assert [row.key.full_name for row in rows if row.key] == list(KEYS)
    headings = [row.section for row in rows if row.key is None]
    assert headings == list(dict.fromkeys(key.section for key in KEYS.values()))
    by_name = {row.key.full_name: row for row in rows if row.key}
    assert by_name["video.buckets"].is_default
    assert by_name["video.seed"].value == 42


def test_rows_can_be_looked_for(project: Project) -> None:
    names = [row.key.full_name for row in setting_rows(project, "memory gib") if row.key]
    assert names == ["memory.limit", "memory.reserve", "memory.host_reserve"]
    assert setting_rows(project, "zebra") == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("video.seed", " 7 ", 7),
        ("video.fps", "24", 24.0),
        ("audio.enabled", "yes", True),
        ("text.trigger", "BUNNY", "BUNNY"),
        ("video.buckets", "960x544x49;544x960x49", "960x544x49;544x960x49"),
    ],
)
def test_what_is_typed_becomes_a_value(name: str, text: str, value: object) -> None:
    made = parsed(KEYS[name], text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("video.seed", "x"),
        ("video.fps", "fast"),
        ("audio.enabled", "maybe"),
        ("video.buckets", "961x544x49"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, text: str) -> None:
    with pytest.raises(LtxError) as caught:
        parsed(KEYS[name], text)
    assert caught.value.remedy


def test_few_values_are_offered() -> None:
    assert options_of(KEYS["audio.enabled"]) == (True, False)
    assert options_of(KEYS["video.hdr"]) == ("refuse", "tonemap")
    assert options_of(KEYS["video.seed"]) == ()
    assert spelled(True) == "true"


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x40"])
def test_looks_as_it_did(
    project: Project, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = alone(project=project)
    monkeypatch.setattr(SettingsScreen, "_file", Path("project.toml"))

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await go_to(pilot, screen, "video.hdr")
        await still(pilot)
        assert_snapshot(app, f"settings-{size[0]}x{size[1]}")

    run_app(app, steps, size=size)


def test_a_typed_value_is_written_and_comments_stay(project: Project) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await go_to(pilot, screen, "video.buckets")
        await pilot.press("enter")
        line = screen.query_one("#value", Input)
        assert line.value == "960x544x49"
        line.value = "544x960x121"
        await pilot.press("enter")
        await written(pilot)
        assert not line.display
        assert any("● buckets" in text and "544x960x121" in text for text in shown(app))
        assert app.project is not None
        assert app.project.video.buckets == "544x960x121"

    run_app(app, steps)
    assert (project.root / "project.toml").read_text("utf-8") == (
        '# The rabbit.\n[dataset]\npath = "dataset.json"\n\n'
        '[video]\nbuckets = "544x960x121"  # all there is room for\n'
    )


def test_a_wrong_value_is_explained_and_not_written(project: Project) -> None:
    app = alone(project=project)
    before = (project.root / "project.toml").read_bytes()

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await go_to(pilot, screen, "video.chunk")
        await pilot.press("enter", "backspace", "7", "enter")
        await written(pilot)
        assert any("✗ video.chunk" in text and "multiple" in text for text in shown(app))
        assert screen.query_one("#value", Input).value == "7"
        await pilot.press("backspace", "x", "enter")
        await pilot.pause()
        assert any("'x' is not a whole number" in text for text in shown(app))
        await pilot.press("escape")
        assert not screen.query_one("#value").display
        assert app.screen is screen

    run_app(app, steps)
    assert (project.root / "project.toml").read_bytes() == before


def test_few_values_are_chosen_from_a_list_and_reset(project: Project) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await go_to(pilot, screen, "video.hdr")
        await pilot.press("enter", "j", "enter")
        await pilot.pause()
        await written(pilot)
        assert load_project(project.root / "project.toml").video.hdr == "tonemap"
        await pilot.press("backspace")
        await written(pilot)
        assert load_project(project.root / "project.toml").video.hdr == "refuse"
        await pilot.press("enter", "j", "escape")
        await written(pilot)
        assert load_project(project.root / "project.toml").video.hdr == "refuse"

    run_app(app, steps)


def test_a_key_is_found_by_words_of_its_explanation(project: Project) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await pilot.press("slash", *"gemma", "enter")
        await pilot.pause()
        assert [row.key.name for row in screen._list.rows if row.key] == ["text_encoder"]
        await pilot.press("escape")
        assert app.screen is screen
        assert len([row for row in screen._list.rows if row.key]) == len(KEYS)
        await pilot.press("escape")
        assert app.screen is not screen

    run_app(app, steps)


def test_movement_passes_headings(project: Project) -> None:
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await open_settings(app, pilot)
        await pilot.press("G")
        assert screen._row is not None
        assert screen._row.section == "scale"
        await pilot.press("g", *["j"] * 7)
        assert screen._row.key is not None
        assert screen._row.key.full_name == "models.checkpoint"
        await pilot.press("k")
        assert screen._row.section == "dataset"
        await pilot.press("pagedown", "ctrl+d", "ctrl+u")
        assert screen._row.key is not None

    run_app(app, steps)


def test_the_whole_file_is_edited_in_the_users_editor(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        "file.write_text(file.read_text() + '[text]\\ntrigger = \"BUNNY\"\\n')\n",
        "utf-8",
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    app = alone(project=project)
    # Without a terminal there is nothing to step aside from.
    monkeypatch.setattr(app, "suspend", contextlib.nullcontext)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_settings(app, pilot)
        await pilot.press("ctrl+e")
        await pilot.pause()
        assert app.project is not None
        assert app.project.text.trigger == "BUNNY"

    run_app(app, steps)


def test_an_editor_that_is_not_there_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor")
    app = alone(project=project)

    async def steps(pilot: Pilot[Any]) -> None:
        await open_settings(app, pilot)
        await pilot.press("ctrl+e")
        await pilot.pause()
        assert any("no-such-editor" in one.message for one in app._notifications)

    run_app(app, steps)
