"""The user's configuration, keys above all; and the key table that comes from the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import UsageError
from engine.project import Project
from ltx_tui import key_table
from ltx_tui.app import Workbench
from ltx_tui.commands.command import Command
from ltx_tui.commands.registry import commands, find
from ltx_tui.config.user import Config, load_config, save_theme
from ltx_tui.keymap import all_shown, keys_of, shown, textual_keymap
from tests.tui.conftest import make_bench, ready, run_app
from tests.tui.conftest import shown as lines_of

ROOT = Path(__file__).parents[2]


def config(tmp_path: Path, text: str) -> Config:
    """Return the configuration that a file of this text gives."""
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    return load_config(file)


def refusal(tmp_path: Path, text: str) -> UsageError:
    """Return why a configuration is refused."""
    with pytest.raises(UsageError) as caught:
        config(tmp_path, text)
    return caught.value


def test_without_a_file_all_is_as_by_default(tmp_path: Path) -> None:
    made = load_config(tmp_path / "none.toml")
    assert made == Config(file=tmp_path / "none.toml")
    assert made.mouse


def test_what_the_file_says_is_taken(tmp_path: Path) -> None:
    made = config(
        tmp_path, 'theme = "ltx-light"\nmouse = false\ngraphics = "kitty"\n[keys]\n"clips.mark"="m"'
    )
    assert (made.theme, made.mouse, made.graphics) == ("ltx-light", False, "kitty")
    assert made.keys == {"clips.mark": "m"}


@pytest.mark.parametrize(
    ("text", "headline", "remedy"),
    [
        ('them = "x"', "unknown key", "did you mean theme?"),
        ('mouse = "no"', "expected bool", "mend the value"),
        ('graphics = "ascii"', "Invalid enum value", "mend the value"),
        ("theme = ", "not valid TOML", "mend that line"),
        ('[keys]\n"clips.mrak" = "m"', "no such command", "did you mean clips.mark?"),
        ('[keys]\n"clips.mark" = "f99"', "no key 'f99'", "did you mean f9?"),
        ('[keys]\n"clips.mark" = "ctrll+m"', "no key 'ctrll+m'", "named like"),
        ('[keys]\n"clips.mark" = "ctrl+b"', "the prefix of tmux", "choose another key"),
        ('[keys]\n"clips.mark" = "ctrl+["', "sends it as escape", "choose another key"),
        ('[keys]\n"clips.mark" = "j"', "j does both clips.down and clips.mark", "another key"),
    ],
)
def test_what_is_wrong_is_refused_with_a_remedy(
    tmp_path: Path, text: str, headline: str, remedy: str
) -> None:
    error = refusal(tmp_path, text)
    assert headline in error.headline
    assert remedy in error.remedy
    assert error.file == tmp_path / "config.toml"


def test_two_commands_may_swap_their_keys(tmp_path: Path) -> None:
    made = config(tmp_path, '[keys]\n"clips.mark" = "a"\n"clips.mark-all" = "space"')
    assert keys_of(find("clips.mark"), made.keys) == ("a",)


def test_keeping_a_theme_keeps_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "config.toml"
    save_theme("ltx-light", file)
    file.write_text("# mine\nmouse = false # no\n" + file.read_text("utf-8"), "utf-8")
    save_theme("ltx-ansi", file)
    assert file.read_text("utf-8") == '# mine\nmouse = false # no\ntheme = "ltx-ansi"\n'


def test_keys_are_shown_as_people_write_them() -> None:
    assert [shown(key) for key in ("question_mark", "ctrl+p", "pagedown", "down", "plus")] == [
        "?",
        "ctrl+p",
        "pgdn",
        "↓",
        "+",
    ]
    assert all_shown(find("clips.down"), {}) == "j, ↓"
    assert textual_keymap({"clips.mark": "?, M"}) == {"clips.mark": "question_mark,M"}


def test_chosen_keys_work_and_are_shown(project: Project, quiet: None) -> None:
    make_bench(project)
    chosen = Config(keys={"clips.mark": "m", "clips.down": "ctrl+j"})
    app = Workbench(project.root, project, config=chosen)

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        await pilot.press("m")
        assert screen.desk.store.marked == {"scene-0000.mp4"}
        first = screen.clips.clip
        await pilot.press("j")
        assert screen.clips.clip == first
        await pilot.press("ctrl+j")
        assert screen.clips.clip != first
        assert " m mark" in lines_of(app)[-1]
        await pilot.press("f1")
        assert any("ctrl+j " in line and "Next clip" in line for line in lines_of(app))

    run_app(app, steps)


# The table


def test_the_table_has_every_command() -> None:
    table = key_table.key_table()
    one: Command
    for one in commands():
        assert f"| {one.title} |" in table
    assert "| `ctrl+p` | All commands |" in table


def test_the_readme_has_the_table_as_it_is_now() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text == key_table.with_table(text), "run `python -m ltx_tui.key_table README.md`"


def test_a_file_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="key-table"):
        key_table.with_table("nothing")


def test_the_table_is_put_into_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.md"
    file.write_text("before\n<!-- key-table -->\nthe table of old\n<!-- end -->\nafter\n", "utf-8")
    monkeypatch.setattr("sys.argv", ["key_table", str(file)])
    key_table.main()
    text = file.read_text("utf-8")
    assert text.startswith("before\n<!-- key-table -->\n**Everywhere**")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "the table of old" not in text
    monkeypatch.setattr("sys.argv", ["key_table"])
    key_table.main()
    assert capsys.readouterr().out == key_table.key_table()
