"""Where the command line writes: consoles in the colours of the theme, safe text, lines."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click
import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.text import Text
from rich.theme import Theme as RichTheme

from engine.text import visible
from ltx_tui.themes import Theme, chosen_theme

# State is always a glyph and a word as well; ASCII where the stream cannot write the glyphs.
GLYPHS = {"ok": "✓", "warn": "!", "error": "✗", "todo": "○", "arrow": "→"}
ASCII_GLYPHS = {"ok": "+", "warn": "!", "error": "x", "todo": "o", "arrow": "->"}


def rich_styles(theme: Theme) -> dict[str, Style]:
    """Return the styles that the command line uses by name, in a theme's colours."""
    return {
        "ok": _style(theme.success),
        "warn": _style(theme.warning),
        "error": _style(theme.error, bold=True),
        "accent": _style(theme.primary),
        "quiet": Style(dim=True),
        "strong": Style(bold=True),
        "bar": _style(theme.primary),
        "bar.rest": Style(dim=True),
    }


def _style(colour: str, *, bold: bool = False) -> Style:
    name = colour.removeprefix("ansi_") if colour.startswith("ansi_") else colour
    return Style(color=name, bold=bold or None)


class _Console(Console):
    """Rich ends the program when its reader is gone; here the exit codes are ours to give."""

    def on_broken_pipe(self) -> None:
        """Tell the command."""
        raise BrokenPipeError


def make_console(*, stderr: bool = False, stream: TextIO | None = None) -> Console:
    """Return a console on stdout or stderr; NO_COLOR and pipes are honoured.

    Raises:
        UsageError: LTX_TUI_THEME names no theme.
    """
    file = stream or (sys.stderr if stderr else sys.stdout)
    return _Console(
        file=file,
        theme=RichTheme(rich_styles(chosen_theme())),
        highlight=False,
        markup=False,
        emoji=False,
        # In a pipe nothing is wrapped: a line is a line for grep.
        width=None if file.isatty() else 10_000,
    )


def glyph(console: Console, state: str) -> str:
    """Return the sign of a state that the console's encoding can write."""
    return GLYPHS[state] if can_write(console, GLYPHS[state]) else ASCII_GLYPHS[state]


def can_write(console: Console, signs: str) -> bool:
    """Whether the console's encoding has these characters."""
    try:
        signs.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def text(value: object, style: str = "") -> Text:
    """Return any text, control characters made visible, as rich text without markup."""
    return Text(visible(value), style=style)


def print_indented(console: Console, left: int, words: Text) -> None:
    """Print text so many columns from the left, later lines as well."""
    console.print(Padding(words, (0, 0, 0, left), expand=False))


def can_animate(console: Console) -> bool:
    """Whether progress can be drawn in place."""
    return console.is_terminal and not console.is_dumb_terminal and "CI" not in os.environ


def duration(seconds: float) -> str:
    """Return "0.4 s", "42 s", "7 min 20 s" or "3 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(count: float) -> str:
    """Return bytes as "512 B", "3.1 KiB", "22.0 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    click.echo(msgspec.json.encode(value).decode())
