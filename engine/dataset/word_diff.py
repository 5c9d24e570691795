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
    pieces = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[start:end])))
            continue
        pieces.append(Piece("old", "".join(before[start:end])))
        pieces.append(Piece("new", "".join(after[new_start:new_end])))
    return [piece for piece in pieces if piece.text]
