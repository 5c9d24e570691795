"""Find and replace over many captions: every match, with what it would become.

Run as `python -P -m engine.dataset.replace_text` it answers a `Search` on stdin, so that a regular
expression that never ends can be killed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence

import msgspec

from engine.dataset.write_captions import to_json
from engine.errors import UsageError

MOST_CHANGES = 20_000


class Query(msgspec.Struct, frozen=True, kw_only=True):
    r"""What to look for.

    Attributes:
        find: Text, or a regular expression of Python.
        replace: Text; of a regular expression with groups as \1 or \g<name>.
        regex: Whether `find` is a regular expression.
        case: Whether upper and lower case differ.
    """

    find: str
    replace: str
    regex: bool = False
    case: bool = False


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A query over texts."""

    query: Query
    texts: tuple[str, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One match.

    Attributes:
        text: Which of the texts, from 0.
        start: Where it begins.
        old: What is there.
        new: What would be there.
    """

    text: int
    start: int
    old: str
    new: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All matches.

    Attributes:
        changes: In order; at most `MOST_CHANGES`.
        is_cut: Whether there are more.
        problem: Why the query makes no sense; empty when it does.
    """

    changes: tuple[Change, ...] = ()
    is_cut: bool = False
    problem: str = ""


def search(query: Query, texts: Sequence[str]) -> Found:
    """Return every match that is not empty, and would change something.

    Raises:
        UsageError: The regular expression or its replacement makes no sense.
    """
    if not query.find:
        return Found()
    try:
        pattern = re.compile(
            query.find if query.regex else re.escape(query.find), 0 if query.case else re.IGNORECASE
        )
        changes: list[Change] = []
        for index, text in enumerate(texts):
            for match in pattern.finditer(text):
                new = match.expand(query.replace) if query.regex else query.replace
                if match[0] and new != match[0]:
                    if len(changes) == MOST_CHANGES:
                        return Found(changes=tuple(changes), is_cut=True)
                    changes.append(Change(text=index, start=match.start(), old=match[0], new=new))
    except (re.error, IndexError, OverflowError, RecursionError) as error:
        raise UsageError(f"the expression makes no sense: {error}", remedy="mend it") from error
    return Found(changes=tuple(changes))


def replaced(text: str, changes: Iterable[Change]) -> str:
    """Return a text with some of its changes made.

    Raises:
        ValueError: The text is not the one that was searched.
    """
    parts = []
    end = 0
    for change in sorted(changes, key=lambda one: one.start):
        after = change.start + len(change.old)
        if text[change.start : after] != change.old:
            raise ValueError("the text was changed meanwhile")
        parts += [text[end : change.start], change.new]
        end = after
    return "".join([*parts, text[end:]])


def main() -> None:
    """Read a search, print what was found."""
    wanted = msgspec.convert(json.loads(sys.stdin.buffer.read()), Search)
    try:
        found = search(wanted.query, wanted.texts)
    except UsageError as error:
        found = Found(problem=error.message)
    sys.stdout.buffer.write(to_json(found))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
