"""The rows of an overview together with what has changed since it was made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from engine.overview.file import CAPTIONS, OUTPUTS, Table, Text, folded
from engine.overview.types import CaptionState, Made, OutputState, Row, StageState
from engine.precompute.layout import CAPTIONS as CAPTIONING
from ltx_tui.clips.news import Change

if TYPE_CHECKING:
    from engine.suspicion.file import Scores

_KEPT_ROWS = 256
# Details of outputs that were made since the overview; the next overview has all of them.
_KEPT_MADE = 4000


class LiveRows:
    """A table with changes.

    Attributes:
        table: The columns, kept up to date.
        marked: Names of marked rows.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.marked: set[str] = set()
        # Of two rows with one name the first counts.
        self._index = dict(zip(reversed(table.names), range(len(table) - 1, -1, -1), strict=True))
        self._others: dict[str, list[int]] = {}
        if len(self._index) < len(table):
            for at, name in enumerate(table.names):
                if self._index[name] != at:
                    self._others.setdefault(name, []).append(at)
        self._changed: dict[int, Row] = {}
        self._reasons: dict[tuple[int, str], tuple[str, str]] = {}
        self._made: OrderedDict[tuple[int, str], Made] = OrderedDict()
        # What is running, with the state that it had before.
        self._running: dict[tuple[int, str], int] = {}
        # The captions that a job makes, or failed to make.
        self._captioning: dict[int, StageState] = {}
        self._cache: OrderedDict[int, Row] = OrderedDict()
        self._folded: list[str] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def get(self, index: int) -> Row:
        """Return a row as it is now."""
        row = self._cache.get(index)
        if row is None:
            row = self._cache[index] = self._fresh(index)
            if len(self._cache) > _KEPT_ROWS:
                self._cache.popitem(last=False)
        return row

    def _fresh(self, index: int) -> Row:
        row = self._changed.get(index) or self.table.row(index)
        known = {one.stage: one for one in row.stages}
        stages: list[StageState] = []
        for stage, states in zip(self.table.stages, self.table.states, strict=True):
            state, reason = OUTPUTS[states[index]], self._reasons.get((index, stage))
            was = known.get(stage)
            if state is None:
                continue
            if was is None or was.state is not state or reason is not None:
                was = StageState(stage, state, *(reason or ("", "")))
            stages.append(was)
        new = [one for stage in self.table.stages if (one := self._made.get((index, stage)))]
        names = {one.stage for one in new}
        made = (*(one for one in row.made if one.stage not in names), *new)
        scores = self.table.scores
        return msgspec.structs.replace(
            row,
            stages=tuple(stages),
            made=made,
            suspicion=scores.value(index) if scores is not None else None,
            doubts=scores.reasons(index) if scores is not None else (),
            captioning=self._captioning.get(index),
        )

    def find(self, name: str, nth: int = 0) -> int | None:
        """Return the index of the first row with a name, or a later one; None without one."""
        rows = self.rows_of(name)
        return rows[nth] if nth < len(rows) else None

    def rows_of(self, name: str) -> Sequence[int]:
        """Return the indices of all rows with a name."""
        first = self._index.get(name)
        return () if first is None else (first, *self._others.get(name, ()))

    def nth_of(self, index: int) -> int:
        """Return which of the rows with its name a row is."""
        return sum(row < index for row in self.rows_of(self.table.names[index]))

    # What a filter asks

    @property
    def folded_names(self) -> Sequence[str]:
        """The names in lower case."""
        if self._folded is None:
            # The very same string where it is in lower case already, which most names are.
            self._folded = [
                name if (lower := name.casefold()) == name else lower for name in self.table.names
            ]
        return self._folded

    def search(self, where: Text, text: str) -> set[int]:
        """Return the rows whose captions, warnings or reasons have a text."""
        found = set(self.table.search(where, text))
        needle = folded(text)
        changed = set(self._changed) | {index for index, _ in self._reasons}
        for index in changed:
            if any(needle in folded(one) for one in _texts(self.get(index), where)):
                found.add(index)
            else:
                found.discard(index)
        return found

    # Changes

    def update(self, index: int, changes: dict[str, object]) -> bool:
        """Change fields of a row; return whether anything is different now."""
        before = self.get(index)
        row = msgspec.structs.replace(before, **changes)
        if row == before:
            return False
        self._changed[index] = row
        self._cache.pop(index, None)
        self.table.captions[index] = CAPTIONS.index(CaptionState(row.caption_state))
        self.table.set_bucket(index, row.bucket)
        for one in row.stages:
            self._set_state(index, one)
        return True

    @property
    def running(self) -> list[tuple[int, str]]:
        """What is running: rows and stages."""
        made = self._captioning.items()
        captions = [index for index, one in made if one.state is OutputState.RUNNING]
        return [*self._running, *((index, CAPTIONING) for index in captions)]

    def take(self, change: Change) -> None:
        """Take in how an output stands now."""
        index, stage = change.index, change.stage
        self._cache.pop(index, None)
        if stage == CAPTIONING:
            self._take_captioning(index, change.state)
            return
        if change.state is None:
            before = self._running.pop((index, stage), None)
            if before is not None:
                self.table.column(stage)[index] = before
            return
        if change.state.state is OutputState.RUNNING:
            self._running.setdefault((index, stage), self.table.column(stage)[index])
        else:
            self._running.pop((index, stage), None)
        self._set_state(index, change.state)
        if change.made is not None:
            self._made[index, stage] = change.made
            if len(self._made) > _KEPT_MADE:
                self._made.popitem(last=False)

    def _take_captioning(self, index: int, state: StageState | None) -> None:
        """Take in how a caption's making stands; one that is made is seen in the dataset."""
        if state is None or state.state is OutputState.FRESH:
            self._captioning.pop(index, None)
        else:
            self._captioning[index] = state

    def _set_state(self, index: int, state: StageState) -> None:
        self.table.column(state.stage)[index] = OUTPUTS.index(state.state)
        if state.reason or state.remedy:
            self._reasons[index, state.stage] = (state.reason, state.remedy)
        else:
            self._reasons.pop((index, state.stage), None)

    def take_scores(self, scores: Scores) -> None:
        """Take in how suspicious captions are."""
        self.table.scores = scores
        self._cache.clear()

    def inherit(self, before: LiveRows) -> None:
        """Take over, from the rows that were shown before, what no overview can know."""
        if before.table.scores is not None:
            self.take_scores(before.table.scores.of_rows(self.table.names))
        self.marked = {name for name in before.marked if name in self._index}
        for index, row in before._changed.items():
            mine = self.find(row.name, before.nth_of(index))
            if row.caption_state is CaptionState.DRAFT and mine is not None:
                self.update(mine, {"caption": row.caption, "caption_state": CaptionState.DRAFT})
        captions = [(index, one) for index, one in before._captioning.items()]
        running = [
            (index, StageState(stage, OutputState.RUNNING)) for index, stage in before._running
        ]
        for index, state in [*running, *captions]:
            mine = self.find(before.table.names[index], before.nth_of(index))
            if mine is not None:
                self.take(Change(mine, state.stage, state))


def _texts(row: Row, where: Text) -> Iterable[str]:
    if where == "captions":
        return (row.caption,)
    if where == "warnings":
        return row.warnings
    return tuple(one.reason for one in row.stages if one.reason)
