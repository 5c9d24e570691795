"""Drawing with the dots of braille characters, two across and four down in each."""

from __future__ import annotations

ACROSS, DOWN = 2, 4
# The bits of a character's dots, by column and by row from the top.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_FIRST = 0x2800


def letter(bits: int) -> str:
    """Return the character that has the dots of these bits."""
    return chr(_FIRST + bits)
