"""The filter language of the clip list: `bucket:960x544x49 state:stale text:"red car" dur:>3s`.

Terms stand side by side and must all hold. A term is a word (looked for in name and caption), or
`key:value`; values with spaces stand in quotes, several values may follow one key, separated by
commas, of which one must hold, and a `-` before a term turns it around.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence, Set
from typing import Protocol

import msgspec

from engine.overview_file import Table, Text
from engine.overview_types import CaptionState, OutputState


class FilterError(Exception):
    """A filter that cannot be understood.

    Attributes:
        message: What is wrong.
        position: Where in the text, from 0.
        hint: What may have been meant; may be empty.
    """

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        super().__init__(message, position, hint)
        self.message = message
        self.position = position
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


class Searched(Protocol):
    """What a filter looks at: a table with what has changed since it was made."""

    @property
    def table(self) -> Table:
        """The columns."""

    @property
    def marked(self) -> Set[str]:
        """The names of the marked rows."""

    @property
    def folded_names(self) -> Sequence[str]:
        """The names in lower case."""

    def search(self, where: Text, text: str) -> Set[int]:
        """Return the rows whose text has `text`."""


Rows = Sequence[int]
Select = Callable[[Searched, Rows], Rows]
"""Returns those of the rows that it holds for, in their order."""


class Token(msgspec.Struct, frozen=True):
    """A term as it is written.

    Attributes:
        start: Where it begins, its `-` included.
        negated: Whether a `-` stands before it.
        key: In lower case; empty for a plain word.
        values: What follows the colon, each with its place.
    """

    start: int
    negated: bool
    key: str
    values: tuple[tuple[str, int], ...]


class Filter(msgspec.Struct, frozen=True):
    """A filter that was understood.

    Attributes:
        text: As written.
        terms: All must hold.
    """

    text: str
    terms: tuple[Select, ...]

    def select(self, rows: Rows, store: Searched) -> Rows:
        """Return those of the rows that the filter lets through, in their order."""
        for term in self.terms:
            if not rows:
                break
            rows = term(store, rows)
        return rows


def parse(text: str) -> Filter:
    """Understand a filter; an empty one lets everything through.

    Raises:
        FilterError: It makes no sense; the error says where and why.
    """
    return Filter(text, tuple(_term(token) for token in tokens(text)))


def tokens(text: str) -> list[Token]:
    """Take a filter apart.

    Raises:
        FilterError: A quote is not closed, or a key has no value.
    """
    found, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        token, place = _token(text, place)
        found.append(token)
    return found


def _token(text: str, start: int) -> tuple[Token, int]:
    """Read one term; return it with the place after it."""
    negated = text[start] == "-" and start + 1 < len(text) and not text[start + 1].isspace()
    place = start + negated
    key, colon = place, place
    while colon < len(text) and (text[colon].isalnum() or text[colon] in "._"):
        colon += 1
    if colon == key or colon >= len(text) or text[colon] != ":":
        word, end = _value(text, place, "")
        return Token(start, negated, "", ((word, place),)), end
    values, place = [], colon + 1
    while True:
        value, end = _value(text, place, ",")
        if not value:
            name = text[key:colon]
            raise FilterError(f"{name}: has no value", place, _example(name.lower()))
        values.append((value, place))
        place = end + 1
        if end >= len(text) or text[end] != ",":
            return Token(start, negated, text[key:colon].lower(), tuple(values)), end


def _value(text: str, place: int, stops: str) -> tuple[str, int]:
    """Read up to a space or one of `stops`, quotes taken off; return it with the place after it."""
    parts, start = [], place
    while place < len(text) and not text[place].isspace() and text[place] not in stops:
        if text[place] != '"':
            parts.append(text[place])
            place += 1
            continue
        end = text.find('"', place + 1)
        if end < 0:
            raise FilterError("the quote is not closed", place, 'write "red car"')
        parts.append(text[place + 1 : end])
        place = end + 1
    if not parts and place == start and not stops:  # a separator alone
        raise FilterError(f"{text[place]!r} has no meaning here", place)
    return "".join(parts), place


def _term(token: Token) -> Select:
    from ltx_tui.filter_keys import KEYS, word  # it imports this module

    if not token.key:
        selects = [word(token.values[0][0])]
    else:
        make = KEYS.get(token.key)
        if make is None and "." in token.key:
            # stage:latents.failed can also be written latents.failed, but not with another value.
            raise _unknown(token)
        if make is None:
            selects = [_stage(token, value, place) for value, place in token.values]
        else:
            selects = [make.make(value, place) for value, place in token.values]
    select = selects[0] if len(selects) == 1 else _any(selects)
    return _not(select) if token.negated else select


def _stage(token: Token, value: str, place: int) -> Select:
    """Return `latents:failed`, which is short for `stage:latents.failed`."""
    from ltx_tui.filter_keys import STAGES, stage_state

    if token.key not in STAGES:
        raise _unknown(token)
    return stage_state(token.key, value, place)


def _unknown(token: Token) -> FilterError:
    from ltx_tui.filter_keys import KEYS, STAGES

    names = [*KEYS, *STAGES]
    return FilterError(
        f"there is no key {token.key!r}", token.start + token.negated, guess(token.key, names)
    )


def guess(text: str, names: Sequence[str]) -> str:
    """Return "did you mean …?", or what there is."""
    near = difflib.get_close_matches(text, names, n=1)
    if not near:
        near = [name for name in names if name.startswith(text)][:1]
    return f"did you mean {near[0]}?" if near else f"use {', '.join(names)}"


def _example(key: str) -> str:
    from ltx_tui.filter_keys import KEYS

    return f"such as {KEYS[key].example}" if key in KEYS else ""


def _any(selects: Sequence[Select]) -> Select:
    def select(store: Searched, rows: Rows) -> Rows:
        found: set[int] = set()
        for one in selects:
            found.update(one(store, rows))
        return [row for row in rows if row in found]

    return select


def _not(select: Select) -> Select:
    def negated(store: Searched, rows: Rows) -> Rows:
        found = set(select(store, rows))
        return [row for row in rows if row not in found]

    return negated


CAPTION_WORDS = tuple(state.value for state in CaptionState)
STATE_WORDS = tuple(state.value for state in OutputState)
