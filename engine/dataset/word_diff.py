"""What changed between two texts, word by word."""

from __future__ import annotations

import difflib
import re
from typing import Literal, NamedTuple

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 4000


class Piece(NamedTuple):
    """A piece of text that both have, or one of them."""

    kind: Literal["same", "old", "new"]
    text: str


def word_diff(old: str, new: str) -> list[Piece]:
    """Return both texts as one run of pieces; what is old stands before what replaced it."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if len(before) + len(after) > _MOST_WORDS:  # the comparison is quadratic
        pieces = [Piece("same", old)] if old == new else [Piece("old", old), Piece("new", new)]
        return [piece for piece in pieces if piece.text]
    # What goes and what comes by turns with what stays: a change, "same", a change ...
    old_words, new_words, pieces = "", "", list[Piece]()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    codes = matcher.get_opcodes()
    for number, (tag, start, end, new_start, new_end) in enumerate(codes):
        gone, come = "".join(before[start:end]), "".join(after[new_start:new_end])
        if tag == "equal" and not (gone.isspace() and 0 < number < len(codes) - 1):
            pieces += [Piece("old", old_words), Piece("new", new_words), Piece("same", gone)]
            old_words = new_words = ""
        else:  # words that changed beside each other are read as one change
            old_words += gone
            new_words += come
    pieces += [Piece("old", old_words), Piece("new", new_words)]
    return [piece for piece in pieces if piece.text]
