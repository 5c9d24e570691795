"""The keys of the filter language, each with what its values mean."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from engine.overview.file import CAPTIONS, OUTPUTS, WORST, Text, folded
from engine.overview.types import CaptionState, OutputState
from engine.precompute.layout import Stage
from engine.suspicion.types import KINDS
from engine.text import guessed
from ltx_tui.clips.filter_types import (
    CAPTION_WORDS,
    STATE_WORDS,
    FilterError,
    Rows,
    Searched,
    Select,
)

STAGES = tuple(stage.value for stage in Stage)

_YES = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}
_NUMBER = re.compile(r"(>=|<=|>|<|=)?\s*(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SIZE = re.compile(r"(>=|<=|>|<|=)?(\d+)[x×](\d+)", re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}
# A length that is shown as 6.2 s is found by dur:6.2, and 23.976 by fps:23.98.
_SLACK = {"dur": 0.05, "fps": 0.005, "frames": 0.0, "suspicion": 0.005}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key.

    Attributes:
        make: Returns the condition for a value that stands at a place in the filter.
        help: What it finds.
        example: For the help and for error messages.
        values: Those that there are; empty where anything will do.
    """

    make: Callable[[str, int], Select]
    help: str
    example: str
    values: tuple[str, ...] = ()


def word(text: str) -> Select:
    """Return the condition that name or caption has a text."""
    needle = folded(text)

    def select(store: Searched, rows: Rows) -> Rows:
        captions, names = store.search("captions", needle), store.folded_names
        return [row for row in rows if row in captions or needle in names[row]]

    return select


def stage_state(stage: str, value: str, place: int) -> Select:
    """Return the condition that one stage stands in one way."""
    code = OUTPUTS.index(OutputState(_one_of(value, STATE_WORDS, place)))

    def select(store: Searched, rows: Rows) -> Rows:
        table = store.table
        if stage not in table.stages:
            return []
        states = table.states[table.stages.index(stage)]
        return [row for row in rows if states[row] == code]

    return select


def _text(where: Text) -> Callable[[str, int], Select]:
    def make(value: str, _place: int) -> Select:
        def select(store: Searched, rows: Rows) -> Rows:
            found = store.search(where, value)
            return [row for row in rows if row in found]

        return select

    return make


def _warnings(value: str, place: int) -> Select:
    if value.lower() in _YES:
        is_wanted = _YES[value.lower()]

        def select(store: Searched, rows: Rows) -> Rows:
            found = store.table.filled("warnings")
            return [row for row in rows if (row in found) == is_wanted]

        return select
    return _text("warnings")(value, place)


def _name(value: str, _place: int) -> Select:
    pattern = value.casefold()
    if not any(letter in pattern for letter in "*?["):
        pattern = f"*{pattern}*"
    matches = re.compile(fnmatch.translate(pattern)).match

    def select(store: Searched, rows: Rows) -> Rows:
        names = store.folded_names
        # Also by the file's name alone, so that `scene-*` needs no folders.
        return [
            row for row in rows if matches(names[row]) or matches(names[row].rpartition("/")[2])
        ]

    return select


def _state(value: str, place: int) -> Select:
    """Return the condition that some stage stands in one way, or that the clip needs nothing."""
    wanted = OutputState(_one_of(value, STATE_WORDS, place))
    code = OUTPUTS.index(wanted)

    def select(store: Searched, rows: Rows) -> Rows:
        if wanted is OutputState.FRESH:
            # A clip is fresh when nothing of it is worse; skipped stages have nothing to do.
            good = {WORST[code], WORST[OUTPUTS.index(OutputState.SKIPPED)]}
            worst = store.table.worst()
            fresh = [row for row in rows if worst[row] in good]
            return [row for row in fresh if any(state[row] == code for state in store.table.states)]
        states = store.table.states
        return [row for row in rows if any(state[row] == code for state in states)]

    return select


def _stage_and_state(value: str, place: int) -> Select:
    stage, dot, state = value.partition(".")
    stage = _one_of(stage, STAGES, place)
    if not dot:
        raise FilterError(
            f"{value} needs a state", place + len(value), f"such as stage:{stage}.failed"
        )
    return stage_state(stage, state, place + len(stage) + 1)


def _caption(value: str, place: int) -> Select:
    code = CAPTIONS.index(CaptionState(_one_of(value, CAPTION_WORDS, place)))

    def select(store: Searched, rows: Rows) -> Rows:
        captions = store.table.captions
        return [row for row in rows if captions[row] == code]

    return select


def _bucket(value: str, _place: int) -> Select:
    """Return the condition that the bucket is this one; `none`; `*x*x121`."""
    wanted = value.lower().replace("×", "x")
    pattern = "" if wanted == "none" else wanted
    matches = re.compile(fnmatch.translate(pattern)).match

    def select(store: Searched, rows: Rows) -> Rows:
        table = store.table
        codes = {
            number
            for number, name in enumerate(table.bucket_names)
            # "960x544" finds all lengths of it.
            if (matches(name) or (name and wanted and name.startswith(f"{wanted}x")))
        }
        return [row for row in rows if table.buckets[row] in codes]

    return select


def _number(key: str, column: str, units: dict[str, float]) -> Callable[[str, int], Select]:
    def make(value: str, place: int) -> Select:
        match = _NUMBER.fullmatch(value)
        if not match or match[3].lower() not in units:
            shown = ", ".join(unit for unit in units if unit)
            wrong_unit = bool(match) and bool(shown)
            hint = f"units: {shown}" if wrong_unit else f"such as {KEYS[key].example}"
            raise FilterError(f"{value!r} is no number that {key} can have", place, hint)
        compare = _COMPARED[match[1] or ""]
        wanted, slack = float(match[2]) * units[match[3].lower()], _SLACK[key]

        def select(store: Searched, rows: Rows) -> Rows:
            values = operator.attrgetter(column)(store.table)
            if compare is operator.eq:
                return [row for row in rows if abs(values[row] - wanted) <= slack]
            return [row for row in rows if compare(values[row], wanted)]

        return select

    return make


def _suspicion(value: str, place: int) -> Select:
    """Return the condition on the score of the caption; one without a score is never meant."""
    compare = _number("suspicion", "scores.values", {"": 1.0})(value, place)

    def select(store: Searched, rows: Rows) -> Rows:
        scores = store.table.scores
        if scores is None:
            return []
        return [row for row in compare(store, rows) if scores.values[row] >= 0]

    return select


def _reason(value: str, place: int) -> Select:
    kind = KINDS[KINDS.index(_one_of(value, KINDS, place))]

    def select(store: Searched, rows: Rows) -> Rows:
        scores = store.table.scores
        return [row for row in rows if scores.has(row, kind)] if scores is not None else []

    return select


def _size(value: str, place: int) -> Select:
    """Return the condition on width and height; `>1280x720` asks it of both."""
    match = _SIZE.fullmatch(value)
    if not match:
        raise FilterError(f"{value!r} is no size", place, "such as size:>1280x720")
    compare = _COMPARED[match[1] or ""]
    width, height = int(match[2]), int(match[3])

    def select(store: Searched, rows: Rows) -> Rows:
        widths, heights = store.table.widths, store.table.heights
        return [
            row for row in rows if compare(widths[row], width) and compare(heights[row], height)
        ]

    return select


def _yes(has: Callable[[Searched, int], bool]) -> Callable[[str, int], Select]:
    def make(value: str, place: int) -> Select:
        wanted = _YES[_one_of(value, ("yes", "no"), place, _YES)]

        def select(store: Searched, rows: Rows) -> Rows:
            return [row for row in rows if has(store, row) == wanted]

        return select

    return make


def _one_of(
    value: str, words: Sequence[str], place: int, accepted: Sequence[str] | dict[str, bool] = ()
) -> str:
    """Return a value in lower case, if it is one of those that there are."""
    wanted = value.lower()
    if wanted not in (accepted or words):
        raise FilterError(
            f"{value!r} is none of its values", place, guessed(wanted, words, otherwise="use")
        )
    return wanted


KEYS: dict[str, Key] = {
    "text": Key(make=_text("captions"), help="in the caption", example='text:"red car"'),
    "name": Key(make=_name, help="in the name; * stands for anything", example="name:scene-04*"),
    "bucket": Key(make=_bucket, help="its bucket, or none", example="bucket:960x544x49"),
    "state": Key(
        make=_state, help="some output stands so", example="state:stale", values=STATE_WORDS
    ),
    "stage": Key(
        make=_stage_and_state,
        help="the output of one stage; short: latents:failed",
        example="stage:latents.failed",
        values=STAGES,
    ),
    "caption": Key(
        make=_caption,
        help="how far the caption is",
        example="caption:none",
        values=CAPTION_WORDS,
    ),
    "dur": Key(
        make=_number("dur", "seconds", _SECONDS), help="length in s, min, h", example="dur:>3s"
    ),
    "frames": Key(
        make=_number("frames", "frames", {"": 1.0, "f": 1.0}),
        help="frames",
        example="frames:>=49",
    ),
    "fps": Key(
        make=_number("fps", "fps", {"": 1.0, "fps": 1.0}),
        help="frames a second",
        example="fps:<25",
    ),
    "size": Key(make=_size, help="width and height", example="size:>1280x720"),
    "audio": Key(
        make=_yes(lambda store, row: bool(store.table.audio[row])),
        help="has sound",
        example="audio:no",
        values=("yes", "no"),
    ),
    "warn": Key(make=_warnings, help="has a warning, or one that says so", example="warn:audio"),
    "suspicion": Key(
        make=_suspicion, help="how suspicious the caption is; short: sus", example="suspicion:>0.5"
    ),
    "reason": Key(
        make=_reason,
        help="what there is against the caption",
        example="reason:speech",
        values=KINDS,
    ),
    "why": Key(make=_text("reasons"), help="why an output is not fresh", example="why:caption"),
    "marked": Key(
        make=_yes(lambda store, row: store.table.names[row] in store.marked),
        help="is marked",
        example="marked:yes",
        values=("yes", "no"),
    ),
}

# Other words for keys.
SHORT = {"sus": "suspicion"}


def completions(text: str, place: int, buckets: Sequence[str] = ()) -> list[str]:
    """Return what the term before the cursor may become: whole filters, the nearest first.

    Args:
        text: The filter as it is.
        place: Where the cursor is.
        buckets: Those of the project.
    """
    start = place
    while start and not text[start - 1].isspace():
        start -= 1
    head, term, rest = text[:start], text[start:place], text[place:]
    sign = "-" if term.startswith("-") else ""
    key, colon, value = term[len(sign) :].partition(":")
    if not colon:
        words = [f"{name}:" for name in (*KEYS, *STAGES) if name.startswith(key.lower())]
        return [f"{head}{sign}{one}{rest}" for one in words]
    done, comma, last = value.rpartition(",")
    found = [one for one in _values(key.lower(), last, buckets) if one.startswith(last.lower())]
    return [f"{head}{sign}{key}:{done}{comma}{one}{rest}" for one in found if one != last]


def _values(key: str, last: str, buckets: Sequence[str]) -> Sequence[str]:
    """Return the values of a key."""
    if key in STAGES:
        return STATE_WORDS
    if key == "stage":
        stage, dot, _ = last.lower().partition(".")
        return [f"{stage}.{state}" for state in STATE_WORDS] if dot else [f"{s}." for s in STAGES]
    if key == "bucket":
        return [*buckets, "none"]
    return KEYS[key].values if key in KEYS else ()
