"""The columns of the clip list: which of them there is room for, and what they say of a row."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len, set_cell_size

from engine.overview.types import CaptionState, OutputState, Row, StageState
from engine.suspicion.types import SUSPICIOUS
from engine.text import visible
from ltx_tui.drawing.signs import UNICODE, Signs, plain

Part = tuple[str, str]
"""Text and the role of its colour; an empty role is plain, "quiet" is dim."""

_CAPTIONS: dict[CaptionState, tuple[str, str, str]] = {
    CaptionState.NONE: ("○", "o", "warning"),
    CaptionState.DRAFT: ("✎", "~", "accent"),
    CaptionState.AUTO: ("◌", ".", ""),
    CaptionState.EDITED: ("●", "*", "primary"),
    CaptionState.REVIEWED: ("✓", "+", "success"),
}
_OUTPUTS: dict[OutputState, tuple[str, str, str]] = {
    OutputState.FRESH: ("■", "#", "success"),
    OutputState.MISSING: ("·", ".", ""),
    OutputState.STALE: ("◐", "~", "warning"),
    OutputState.ASIDE: ("◁", "<", "secondary"),
    OutputState.SKIPPED: ("–", "-", "quiet"),
    OutputState.BLOCKED: ("⊘", "!", "error"),
    OutputState.RUNNING: ("▶", ">", "primary"),
    OutputState.FAILED: ("✗", "x", "error"),
}
# Signs of scores, from each on.
_SCORES: tuple[tuple[float, str, str, str], ...] = (
    (0.8, "▲", "!", "error"),
    (SUSPICIOUS, "△", "?", "warning"),
    (0.0, "·", ".", "quiet"),
)

_LEAST_NAME = 14
_LEAST_REASON = 16
_LEAST_WHY = 9
_GAP = 2


class Column(msgspec.Struct, frozen=True):
    """A column of the list.

    Attributes:
        name: As `ltx_tui.clips.sorting` calls it.
        title: Above it.
        width: Columns of the terminal.
        right: Whether it ends at the right.
    """

    name: str
    title: str
    width: int
    right: bool = False


class Layout(msgspec.Struct, frozen=True):
    """The columns for a width, from left to right; two columns for cursor and mark come before."""

    columns: tuple[Column, ...]

    def starts(self) -> list[int]:
        """Return where each column begins."""
        place, found = 2, []
        for column in self.columns:
            found.append(place)
            place += column.width + _GAP
        return found


# How wide each column wants to be, the most needed first: what comes late is there only where
# there is room, and a name or a reason takes what is left.
_STEPS = (
    ("length", 7),
    ("bucket", 11),
    ("outputs", 9),
    ("name", 20),
    ("size", 9),
    ("outputs", 26),
    ("name", 28),
    ("caption", 10),
    ("fps", 6),
    ("audio", 5),
    ("name", 40),
    ("outputs", 44),
    ("name", 60),
    ("outputs", 64),
)
_SCORED = (*_STEPS[:6], ("suspicion", 6), *_STEPS[6:])
# While one goes through them from the worst on, the reasons matter most.
_REVIEW = (
    ("suspicion", 6),
    ("length", 7),
    ("name", 18),
    ("suspicion", 36),
    ("outputs", 9),
    ("bucket", 11),
    ("caption", 10),
    ("suspicion", 44),
    *_STEPS[4:],
)
_ELASTIC = frozenset({"name", "outputs", "suspicion"})
_ORDER = ("name", "length", "size", "fps", "audio", "bucket", "caption", "suspicion", "outputs")
_TITLES = {"length": "len", "caption": "✎", "outputs": "▣"}
_RIGHT = frozenset({"length", "size", "fps"})


def layout(
    width: int,
    how: Signs = UNICODE,
    buckets: Sequence[str] = (),
    *,
    sort: str = "",
    is_scored: bool = False,
) -> Layout:
    """Return the columns for a list of some width.

    Caption and outputs are always there, as signs at least: words come when there is room.

    Args:
        width: Of the list, in columns of the terminal.
        how: The signs.
        buckets: The names that the bucket column must have room for.
        sort: The column that is sorted by.
        is_scored: Whether it is known how suspicious captions are.
    """
    steps = _REVIEW if sort == "suspicion" else _SCORED if is_scored else _STEPS
    needs = {"bucket": max(map(len, buckets), default=0)}
    widths = {"name": _LEAST_NAME, "caption": 1, "outputs": 1}
    left = width - 2 - sum(widths.values()) - _GAP * (len(widths) - 1)
    for name, usual in steps:
        wanted = max(usual, needs.get(name, 0))
        more = wanted - widths[name] if name in widths else wanted + _GAP
        if more <= 0:
            continue
        if more > left:
            if name not in _ELASTIC or widths.get(name, 1) == 1:
                continue
            more = max(0, left)
        widths[name] = widths[name] + more if name in widths else wanted
        left -= more
    return Layout(
        tuple(
            Column(name, _title(name, widths[name], how), widths[name], name in _RIGHT)
            for name in _ORDER
            if name in widths
        )
    )


def _title(name: str, width: int, how: Signs) -> str:
    if name in ("caption", "outputs") and width > 1:
        return name
    if name in ("caption", "outputs") and how is not UNICODE:
        return name[0]
    if name == "suspicion":
        return name if width > len(name) else "susp"
    return _TITLES.get(name, name)


def cells(row: Row, column: Column, how: Signs = UNICODE) -> list[Part]:
    """Return what a column says of a row, exactly as wide as the column."""
    return [(plain(text, how), role) for text, role in _cells(row, column, how)]


def _cells(row: Row, column: Column, how: Signs) -> list[Part]:
    if column.name == "name":
        return [(fitted_name(row.name, column.width), "")]
    if column.name == "caption" and (one := making(row)) is not None:
        return _state(output_sign(one.state, how), one.state, one.reason, column.width)
    if column.name == "caption":
        return _state(caption_sign(row.caption_state, how), row.caption_state, "", column.width)
    if column.name == "outputs":
        worst = row.worst
        if worst is None:
            return [(" " * column.width, "")]
        return _state(output_sign(worst.state, how), worst.state, reason(row, worst), column.width)
    if column.name == "suspicion":
        return _suspicion(row, column.width, how)
    text, role = _value(row, column.name)
    text = set_cell_size(text, column.width) if cell_len(text) > column.width else text
    pad = " " * (column.width - cell_len(text))
    return [(pad + text if column.right else text + pad, role)]


def making(row: Row) -> StageState | None:
    """Return how the making of a caption stands, where that says more than the caption itself."""
    one = row.captioning
    if one is None or one.state is OutputState.RUNNING:
        return one
    return one if row.caption_state is CaptionState.NONE else None


def _value(row: Row, name: str) -> Part:
    if name == "length":
        return (length(row.seconds), "") if row.seconds else ("", "")
    if name == "size":
        return (f"{row.size[0]}×{row.size[1]}" if row.size[0] else "", "")
    if name == "fps":
        return (f"{row.fps:.5g}" if row.fps else "", "")
    if name == "audio":
        return ("sound" if row.audio else "none", "") if row.seconds else ("", "")
    return (visible(row.bucket).replace("x", "×"), "") if row.bucket else ("—", "quiet")


def caption_sign(state: CaptionState, how: Signs = UNICODE) -> Part:
    """Return the sign of a caption's state and its colour."""
    sign, plain, role = _CAPTIONS[state]
    return sign if how is UNICODE else plain, role


def output_sign(state: OutputState, how: Signs = UNICODE) -> Part:
    """Return the sign of an output's state and its colour."""
    sign, plain, role = _OUTPUTS[state]
    return sign if how is UNICODE else plain, role


def suspicion_sign(score: float, how: Signs = UNICODE) -> Part:
    """Return the sign of a score and its colour."""
    sign, plain, role = next(one[1:] for one in _SCORES if score >= one[0])
    return sign if how is UNICODE else plain, role


def _suspicion(row: Row, width: int, how: Signs) -> list[Part]:
    """Return sign and number, and as much of the weightiest reason as fits."""
    if row.suspicion is None:
        return [(" " * width, "")]
    sign, role = suspicion_sign(row.suspicion, how)
    number, room = f" {row.suspicion:.2f}", width - 6 - 1
    why = ""
    if row.doubts and room > 0:
        first = row.doubts[0]
        why = shortened(first.text, room) if room >= _LEAST_REASON else first.kind
    if cell_len(why) > room:
        why = ""
    text = f"{number} {why}" if why else number
    return [(sign, role), (set_cell_size(text, width - 1), role if role == "quiet" else "")]


def legend(how: Signs = UNICODE) -> list[tuple[Part, str]]:
    """Return every sign with what it means."""
    captions = [(caption_sign(state, how), f"caption {state}") for state in CaptionState]
    return captions + [(output_sign(state, how), f"output {state}") for state in OutputState]


def _state(sign: Part, word: str, why: str, width: int) -> list[Part]:
    """Return sign, word and as much of the reason as fits."""
    glyph, role = sign
    if width < 3:
        return [(glyph, role)]
    text = visible(f"{word}: {why}") if why else word
    if cell_len(text) > width - 2:
        text = shortened(text, width - 2)
        # The beginning of a reason that says nothing is left out.
        text = text if len(text) >= len(word) + _LEAST_WHY else word
    return [(glyph + " ", role), (set_cell_size(text, width - 2), role)]


def reason(row: Row, worst: StageState) -> str:
    """Return why the worst stage stands as it does; which one, where others do not share it."""
    if worst.reason:
        return worst.reason
    if worst.state is OutputState.MISSING and any(
        one.state is not worst.state for one in row.stages
    ):
        missing = [one.stage for one in row.stages if one.state is worst.state]
        return ", ".join(missing).replace("_", " ")
    return worst.stage.replace("_", " ") if worst.state is OutputState.RUNNING else ""


def shortened(text: str, width: int) -> str:
    """Return as many words as fit, with "…" for the others."""
    text = visible(text)
    if cell_len(text) <= width:
        return text
    kept = ""
    for word in text.split(" "):
        longer = f"{kept} {word}" if kept else word
        if cell_len(longer) + 2 > width:
            break
        kept = longer
    return f"{kept.rstrip(':,;')} …" if kept else set_cell_size(text, max(0, width - 1)) + "…"


def fitted_name(name: str, width: int) -> str:
    """Return a name in exactly so many columns; of a path that is too long the end counts."""
    name = visible(name)
    if cell_len(name) <= width:
        return name + " " * (width - cell_len(name))
    end = name.rpartition("/")[2]
    short = f"…/{end}"
    while cell_len(short) > width:
        short = f"…{end}"
        end = end[1:]
    return short + " " * (width - cell_len(short))


def length(seconds: float) -> str:
    """Return "6.2 s" or "2:03 min"."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"
