"""Text that an editor cannot show as it is, and the same text with a sign for each such letter."""

from __future__ import annotations

from collections.abc import Iterator

from engine.text import visible

# Letters that say "something is here"; one that the text has itself is not used.
_SIGNS = (*range(0x2421, 0x2427), *range(0x25A0, 0x2600), *range(0x2800, 0x2900))


class Disguise:
    r"""Stands for control characters and the like while a text is edited.

    Lines end with "\n" in the editor, whatever they end with in the text.
    """

    def __init__(self, text: str) -> None:
        """Find what has to be disguised in a text."""
        self._newline = "\r\n" if _has_only_crlf(text) else "\n"
        hidden = sorted(c for c in set(text) if c not in "\n\t" and visible(c) != c)
        if self._newline == "\r\n":
            hidden.remove("\r")
        free = _free_signs(text)
        signs = {
            c: chr(0x2400 + ord(c)) if ord(c) < 0x20 and chr(0x2400 + ord(c)) not in text else ""
            for c in hidden
        }
        # A text may have more such letters than there are signs; the last are left out of sight.
        self._signs = {c: sign or next(free, c) for c, sign in signs.items()}
        self._letters = {sign: c for c, sign in self._signs.items()}

    def shown(self, text: str) -> str:
        """Return the text for the editor."""
        text = text.replace("\r\n", "\n") if self._newline == "\r\n" else text
        return text.translate({ord(c): sign for c, sign in self._signs.items()})

    def real(self, shown: str) -> str:
        """Return the text behind what the editor has."""
        text = shown.translate({ord(sign): c for sign, c in self._letters.items()})
        return self.ended(text)

    def ended(self, text: str) -> str:
        """Return a text whose lines end as those that the text began with."""
        if self._newline == "\n":
            return text
        return text.replace("\r\n", "\n").replace("\n", "\r\n")


def plain(text: str) -> str:
    """Return text from a clipboard without what cannot be typed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or visible(c) == c)


def _has_only_crlf(text: str) -> bool:
    pairs = text.count("\r\n")
    return pairs > 0 and pairs == text.count("\n") == text.count("\r")


def _free_signs(text: str) -> Iterator[str]:
    return (chr(code) for code in _SIGNS if chr(code) not in text)
