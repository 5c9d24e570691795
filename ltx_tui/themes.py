"""Colour themes: one TOML file each, variables only, shared by command line and workbench."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from engine.errors import EnvironmentFaultError, UsageError

DEFAULT = "ltx-dark"
# Of the 16 colours that the terminal itself has.
ANSI = "ltx-ansi"
VARIABLE = "LTX_TUI_THEME"


class Theme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A theme's colours: "#rrggbb", or "ansi_…" for the terminal's own.

    Attributes:
        name: The file's name without `.toml`.
        dark: Whether the background is dark.
        ansi: Whether the terminal's own colours are used throughout.
        variables: Further Textual variables.
    """

    name: str
    primary: str
    secondary: str
    accent: str
    foreground: str
    background: str
    surface: str
    panel: str
    success: str
    warning: str
    error: str
    boost: str | None = None
    dark: bool = True
    ansi: bool = False
    variables: dict[str, str] = {}


def theme_names() -> list[str]:
    """Return the names of all themes, in alphabetical order."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _folder().iterdir()
        if entry.name.endswith(".toml")
    )


def load_theme(name: str) -> Theme:
    """Read a theme.

    Raises:
        UsageError: There is none of that name, or its file is wrong.
    """
    names = theme_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"unknown theme {name!r}", remedy=f"{guess}themes: {', '.join(names)}", file=VARIABLE
        )
    file = _folder() / f"{name}.toml"
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), Theme)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"not a theme: {error}", remedy="mend the file", file=str(file)) from error


def chosen_theme(environment: Mapping[str, str] = os.environ) -> Theme:
    """Return the theme that LTX_TUI_THEME names, else the default.

    Raises:
        UsageError: It names none.
    """
    return load_theme(environment.get(VARIABLE) or DEFAULT)


def _folder() -> Traversable:
    """Find the themes in the installed wheel, else in the checkout."""
    installed = files("ltx_tui") / "data" / "themes"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).parents[1] / "themes"
    if checkout.is_dir():
        return checkout
    raise EnvironmentFaultError(
        "the themes are missing from this installation", remedy="install ltx-tui again"
    )
