"""Whether a program has left the terminal as it was."""

from __future__ import annotations

import re
import termios

from tests.terminal.terminal import Terminal

# What is switched on and off: the other screen, mouse in all forms, focus, paste, sizes, updates.
MODES = ("1049", "1000", "1002", "1003", "1006", "1015", "1016", "1004", "2004", "2048", "2026")
CURSOR, WRAP = "25", "7"


def modes(raw: str) -> dict[str, bool]:
    """Return the private modes that a program has set, as it has left them."""
    found: dict[str, bool] = {}
    for numbers, letter in re.findall(r"\x1b\[\?([0-9;]+)([hl])", raw):
        for number in numbers.split(";"):
            found[number] = letter == "h"
    return found


def is_clean(terminal: Terminal) -> bool:
    """Whether a shell could go on in the terminal as if nothing had been."""
    left = modes(terminal.raw)
    assert left["1049"] is False, "it never was on the other screen, or stayed there"
    on = [mode for mode in MODES if left.get(mode)]
    assert on == []
    assert left[CURSOR] is True
    assert left.get(WRAP, True) is True
    # Kitty's keys: what was pushed is popped.
    pushed = len(re.findall(r"\x1b\[>[0-9]+u", terminal.raw))
    assert len(re.findall(r"\x1b\[<u", terminal.raw)) >= pushed
    flags = termios.tcgetattr(terminal._primary)[3]
    assert flags & termios.ECHO
    assert flags & termios.ICANON
    assert flags & termios.ISIG
    return True
