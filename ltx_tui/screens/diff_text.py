"""A difference between two captions, to be read without colours as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.app import App

from engine.captions import Section, Sections, sections
from engine.dataset.word_diff import word_diff
from engine.text import visible
from ltx_tui.drawing.colours import style


def diff_text(app: App[Any], old: str, new: str) -> Text:
    """Return both as one text: [-what goes-] and {+what comes+}."""
    gone, come = style(app, "error") + Style(strike=True), style(app, "success", bold=True)
    text = Text()
    for kind, piece in word_diff(old, new):
        words = visible(piece, keep="\n")
        if kind == "same":
            text.append(words)
        elif kind == "old":
            text.append(f"[-{words}-]", gone)
        else:
            text.append(f"{{+{words}+}}", come)
    return text


def diff_halves(app: App[Any], old: str, new: str) -> tuple[Text, Text]:
    """Return both texts by themselves: the old with [-what goes-], the new with {+what comes+}."""
    gone, come = style(app, "error"), style(app, "success", bold=True)
    before, after = Text(), Text()
    for kind, piece in word_diff(old, new):
        words = visible(piece, keep="\n")
        if kind == "same":
            before.append(words)
            after.append(words)
        elif kind == "old":
            before.append(f"[-{words}-]", gone)
        else:
            after.append(f"{{+{words}+}}", come)
    return before, after


def beside(app: App[Any], old: str, new: str, heads: tuple[str, str]) -> Table:
    """Return both texts beside each other, section by section where both have sections.

    Args:
        app: Its theme counts.
        old: The left one.
        new: The right one.
        heads: What each is called.
    """
    table = Table.grid(padding=(0, 3, 0, 0), expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(*_heads(heads))
    for before, after in _pairs(old, new):
        table.add_row(*diff_halves(app, before, after))
    return table


def stacked(app: App[Any], old: str, new: str, heads: tuple[str, str]) -> Text:
    """Return both texts, one above the other; see `beside`."""
    before, after = diff_halves(app, old, new)
    first, second = _heads(heads)
    return Text("\n").join([first, before, Text(), second, after])


def _heads(heads: tuple[str, str]) -> tuple[Text, Text]:
    how = Style(bold=True, underline=True)
    return Text(heads[0], how), Text(heads[1], how)


def _pairs(old: str, new: str) -> list[tuple[str, str]]:
    """Return what stands beside each other: sections of one name, or all of both."""
    texts = [
        {part.name: str(Sections((part,))).strip() for part in parts} for parts in _parts(old, new)
    ]
    names = list(dict.fromkeys(name for one in texts for name in one))
    if not all(len(one) > 1 for one in texts):
        return [(old, new)]
    return [(texts[0].get(name, ""), texts[1].get(name, "")) for name in names]


def _parts(*captions: str) -> Iterator[tuple[Section, ...]]:
    """Yield the sections of captions; none of one that has a section twice."""
    for caption in captions:
        parts = sections(caption).parts
        yield parts if len({part.name for part in parts}) == len(parts) else ()
