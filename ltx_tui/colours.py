"""The themes as Textual takes them, and the styles by name that line-drawn widgets use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.style import Style
from textual.theme import Theme as TextualTheme

from ltx_tui.themes import Theme

if TYPE_CHECKING:
    from textual.app import App

# A sign and a word say how something stands; the colour only underlines it.
ROLES = ("primary", "secondary", "accent", "success", "warning", "error", "foreground", "quiet")


def textual_theme(theme: Theme) -> TextualTheme:
    """Return a theme for `App.register_theme`."""
    return TextualTheme(**msgspec.structs.asdict(theme))


def style(app: App[Any], role: str, *, bold: bool = False, dim: bool = False) -> Style:
    """Return the style of a colour of the theme, without a background.

    Args:
        app: Its theme counts.
        role: One of `ROLES`.
        bold: Whether it is bold.
        dim: Whether it is dim.
    """
    if role == "quiet":
        return Style(bold=bold or None, dim=True)
    colour = getattr(app.current_theme, role) or app.current_theme.primary
    return Style(color=rich_colour(colour), bold=bold or None, dim=dim or None)


def rich_colour(colour: str) -> str:
    """Return a theme's colour as Rich names it."""
    return colour.removeprefix("ansi_")
