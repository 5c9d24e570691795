"""Themes: found from a checkout or a wheel, read strictly, chosen by a variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UsageError
from ltx_tui import themes
from ltx_tui.cli.console import rich_styles


def test_there_is_a_dark_a_light_a_strong_and_an_ansi_theme() -> None:
    loaded = [themes.load_theme(name) for name in themes.theme_names()]
    assert {"ltx-ansi", "ltx-contrast", "ltx-dark", "ltx-light"} <= {one.name for one in loaded}
    assert {one.dark for one in loaded} == {True, False}
    assert [one.name for one in loaded if one.ansi] == ["ltx-ansi"]


def test_default_and_choice_by_environment() -> None:
    assert themes.chosen_theme({}).name == themes.DEFAULT
    assert themes.chosen_theme({themes.VARIABLE: ""}).name == themes.DEFAULT
    assert themes.chosen_theme({themes.VARIABLE: "ltx-light"}).name == "ltx-light"


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        themes.load_theme("ltx-ligth")
    assert "did you mean ltx-light?" in caught.value.remedy
    with pytest.raises(UsageError, match="unknown theme"):
        themes.load_theme("../../etc/passwd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "odd"\n', "missing required field"),
        ("name = \n", "Invalid value"),
        ('name = "odd"\nprimry = "#000000"\n', "primry"),
    ],
)
def test_wrong_files_are_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.toml").write_text(text)
    monkeypatch.setattr(themes, "_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=message):
        themes.load_theme("odd")


@pytest.mark.parametrize("name", themes.theme_names())
def test_the_command_line_has_a_style_for_every_state(name: str) -> None:
    styles = rich_styles(themes.load_theme(name))
    states = [styles[state].color for state in ("ok", "warn", "error")]
    assert len(set(states)) == 3


def test_ansi_theme_uses_terminal_colours_only() -> None:
    styles = rich_styles(themes.load_theme("ltx-ansi"))
    assert all(
        style.color is None or style.color.is_system_defined or style.color.is_default
        for style in styles.values()
    )
