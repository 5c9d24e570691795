"""The filter language of the clip list: `bucket:960x544x49 state:stale text:"red car" dur:>3s`.

Terms stand side by side and must all hold. A term is a word (looked for in name and caption), or
`key:value`; values with spaces stand in quotes, several values may follow one key, separated by
commas, of which one must hold, and a `-` before a term turns it around.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.text import guessed
from ltx_tui.clips.filter_keys import KEYS, SHORT, STAGES, stage_state, word
from ltx_tui.clips.filter_types import FilterError, Rows, Searched, Select


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
        value, end = _value(text, place, "")
        return Token(start, negated, "", ((value, place),)), end
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
    if not token.key:
        selects = [word(token.values[0][0])]
    else:
        make = KEYS.get(SHORT.get(token.key, token.key))
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
    if token.key not in STAGES:
        raise _unknown(token)
    return stage_state(token.key, value, place)


def _unknown(token: Token) -> FilterError:
    names = [*KEYS, *STAGES]
    return FilterError(
        f"there is no key {token.key!r}",
        token.start + token.negated,
        guessed(token.key, names, otherwise="use"),
    )


def _example(key: str) -> str:
    key = SHORT.get(key, key)
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
