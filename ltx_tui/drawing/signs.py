"""The signs of states and bars, and plain ones for terminals that cannot write them."""

from __future__ import annotations

import sys

import msgspec

# What looks like a letter that an encoding may lack; each as wide as before.
LIKE = {
    **dict.fromkeys("─━┄╌—–−", "-"),
    **dict.fromkeys("│┃┆▌▐▎⏎", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯✓", "+"),
    **dict.fromkeys("▀▁▂▃▄▅▆▇█", "#"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("…≈✎", "~"),
    **dict.fromkeys("◆●", "*"),
    **dict.fromkeys("°○", "o"),
    **dict.fromkeys("×✗", "x"),
    **dict.fromkeys("→▸", ">"),
    **dict.fromkeys("↑▲", "^"),
    **dict.fromkeys("↓▼", "v"),
    "·": "-",
    "◌": ".",
    "←": "<",
    "⚠": "!",
}
_LIKE = str.maketrans(LIKE)


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """Characters, one column each but for the arrow.

    Attributes:
        dots: Whether braille can be drawn with.
    """

    ok: str
    failed: str
    warning: str
    running: str
    waiting: str
    here: str
    arrow: str
    full: str
    rest: str
    dots: bool


UNICODE = Signs(
    ok="✓",
    failed="✗",
    warning="⚠",
    running="▶",
    waiting="○",
    here="●",
    arrow="→",
    full="█",
    rest="░",
    dots=True,
)
ASCII = Signs(
    ok="+",
    failed="x",
    warning="!",
    running=">",
    waiting="o",
    here="*",
    arrow="->",
    full="#",
    rest="-",
    dots=False,
)


def signs(encoding: str | None = None) -> Signs:
    """Return the signs that an encoding has; by default that of the terminal."""
    if encoding is None:
        # Where Textual writes to.
        encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    try:
        "✓✗⚠▶○●→█░⣿…·×".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def plain(text: str, how: Signs) -> str:
    """Return a text as the terminal can write it."""
    return text if how.dots else text.translate(_LIKE)


def bar(width: int, part: int, whole: int, how: Signs) -> tuple[str, str]:
    """Return the full and the empty part of a bar, which differ in shape.

    Args:
        width: Columns of both together.
        part: What there is; anything above nothing shows.
        whole: What would fill the bar.
        how: The signs.
    """
    full = min(width, width * part // whole) if whole > 0 else 0
    if part > 0 and not full:
        full = min(1, width)
    return how.full * full, how.rest * (width - full)
