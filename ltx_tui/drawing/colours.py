"""The themes as Textual takes them, and the styles by name that line-drawn widgets use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual.filter import LineFilter
from textual.theme import Theme as TextualTheme

from ltx_tui.themes import Theme

if TYPE_CHECKING:
    from textual.app import App
    from textual.color import Color

# A sign and a word say how something stands; the colour only underlines it.
ROLES = ("primary", "secondary", "accent", "success", "warning", "error", "foreground", "quiet")

QUIET = Style(dim=True)


class Paint(Protocol):
    """Returns the style of a role: `style`, for an app's theme."""

    def __call__(self, role: str, *, bold: bool = False, dim: bool = False) -> Style:
        """Return the style."""


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


class Colourless(LineFilter):
    """Takes all colours away for NO_COLOR; what had a background of its own is reversed.

    Textual's own makes greys of them, which run together where a terminal has few colours. To be
    used with the theme of the terminal's own colours, in which only a cursor has a background.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return segments without colours."""
        return [
            Segment(text, _colourless(style) if style is not None else None, control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _colourless(style: Style) -> Style:
    ground = style.bgcolor
    is_raised = ground is not None and not ground.is_default
    return style.without_color + Style(
        color="default", bgcolor="default", reverse=True if is_raised else None
    )


def rich_colour(colour: str) -> str:
    """Return a theme's colour as Rich names it."""
    return colour.removeprefix("ansi_")
