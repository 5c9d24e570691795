"""The clips as the workbench sees them: rows, what is shown of them, marks, and what changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.overview.file import FILE, Table, open_overview, table_of
from engine.overview.types import Overview, Row
from ltx_tui.clips.filters import Filter, parse
from ltx_tui.clips.live_rows import LiveRows
from ltx_tui.clips.news import Change, changes_of
from ltx_tui.clips.sorting import COLUMNS, in_order, key_of

if TYPE_CHECKING:
    from engine.errors import LtxError
    from engine.findings import Finding
    from engine.project import Project
    from engine.suspicion.file import Scores
    from engine.worker.protocol import News
    from engine.worker.spec import Fault

Changes = frozenset[str] | None
"""The names of the rows that changed; None for all of them."""

Observer = Callable[[Changes], None]

# With more changes than these at once, what is shown is worked out anew.
_FEW = 16


class Store:
    """All that the panes share of a project's clips. No Textual, and nothing that blocks.

    Attributes:
        project: The settings that the next overview is made with; may be changed.
        filter: What is filtered by.
        sort: The column that is sorted by, of `COLUMNS`; empty for the dataset's order.
        is_reversed: Whether the order is turned around.
        is_loading: Whether an overview is being made.
        is_stale: Whether what is shown was made from other files than there are now.
        scanned: (done, total) of the media while they are probed; None before and after.
        fault: Why no overview could be made; None where all is well.
        findings: What the doctor found last, by the names of clips.
        caption_changes: How often captions may have changed so far.
        scoring_fault: Why captions could not be scored; None where all is well.
    """

    def __init__(self, project: Project) -> None:
        """Know no clips yet; see `load`."""
        self.project = project
        self.filter: Filter = parse("")
        self.sort = ""
        self.is_reversed = False
        self.is_loading = False
        self.is_stale = False
        self.scanned: tuple[int, int] | None = None
        self.fault: Fault | None = None
        self.findings: Mapping[str, Sequence[Finding]] = {}
        self.caption_changes = 0
        self.scoring_fault: LtxError | None = None
        self._live = LiveRows(table_of(Overview(rows=(), whole=False)))
        self._shown: Sequence[int] = range(0)
        self._unsettled: set[int] = set()
        self._observers: list[Observer] = []
        self._loading: asyncio.Task[None] | None = None
        self._again = False
        # What changed while an overview is made, which may have been looked at before.
        self._late: list[Callable[[LiveRows], object]] = []

    # Rows

    @property
    def shown(self) -> Sequence[int]:
        """Indices of the rows that the filter lets through, in the order of the sort."""
        return self._shown

    @property
    def table(self) -> Table:
        """The columns."""
        return self._live.table

    @property
    def overview(self) -> Overview:
        """What is true of all clips; its `rows` are empty."""
        return self.table.overview

    def __len__(self) -> int:
        return len(self._live)

    def get(self, index: int) -> Row:
        """Return a row as it is now."""
        return self._live.get(index)

    def find(self, name: str, nth: int = 0) -> int | None:
        """Return the index of the first row with a name, or a later one; None without one."""
        return self._live.find(name, nth)

    def rows_of(self, name: str) -> Sequence[int]:
        """Return the indices of all rows with a name."""
        return self._live.rows_of(name)

    def nth_of(self, index: int) -> int:
        """Return which of the rows with its name a row is."""
        return self._live.nth_of(index)

    # What is shown

    def set_filter(self, text: str) -> None:
        """Show only what a filter lets through.

        Raises:
            FilterError: It makes no sense; what is shown stays.
        """
        self.filter = parse(text)
        self._show()

    def set_sort(self, column: str, reverse: bool = False) -> None:
        """Sort by a column of `COLUMNS`; empty for the order of the dataset.

        Raises:
            KeyError: There is no such column.
        """
        if column:
            COLUMNS[column]
        self.sort, self.is_reversed = column, reverse
        self._show()

    def _show(self) -> None:
        self._shown = self._wanted()
        self._unsettled.clear()
        self._tell(None)

    def _wanted(self) -> Sequence[int]:
        """Return what filter and sort make of the rows as they are now."""
        rows = self.filter.select(range(len(self)), self._live)
        return in_order(rows, self.table, self.sort, reverse=self.is_reversed)

    @property
    def is_settled(self) -> bool:
        """Whether no changed row may have to come, go or move."""
        return not self._unsettled

    def settle(self, keep: int | None = None) -> None:
        """Let changed rows come, go and move as filter and sort want it.

        Args:
            keep: A row that stays where it is for now, such as the one that is edited.
        """
        changed = self._unsettled - {keep}
        if not changed:
            return
        before = list(self._shown)
        stays = keep is not None and keep in self._unsettled and keep in before
        # Those that are left are in order once all that changed are out.
        shown = [index for index in before if index not in self._unsettled]
        shown = self._with(changed, shown) if len(changed) <= _FEW else list(self._wanted())
        if stays and keep is not None:
            shown = [index for index in shown if index != keep]
            shown.insert(before.index(keep), keep)
        self._unsettled -= changed
        if shown != before:
            self._shown = shown
            self._tell(None)

    def _with(self, changed: Iterable[int], shown: list[int]) -> list[int]:
        """Return rows that are in order with those of the changed ones that belong there."""
        for index in self.filter.select(sorted(changed), self._live):
            shown.insert(self._place(index, shown), index)
        return shown

    def _place(self, index: int, shown: Sequence[int]) -> int:
        """Return where the sort puts a row."""
        key, low, high = key_of(self.table, self.sort), 0, len(shown)
        wanted = key(index)
        while low < high:
            middle = (low + high) // 2
            other = key(shown[middle])
            before = other > wanted if self.is_reversed else other < wanted  # type: ignore[operator]
            low, high = (middle + 1, high) if before else (low, middle)
        return low

    # Marks

    @property
    def marked(self) -> set[str]:
        """The names of the marked rows; to be changed with `mark`."""
        return self._live.marked

    def mark(self, names: Iterable[str], *, on: bool = True) -> None:
        """Mark rows, or remove their marks."""
        wanted = {name for name in names if self.find(name) is not None}
        changed = wanted - self.marked if on else wanted & self.marked
        self._live.marked = self.marked | changed if on else self.marked - changed
        self._touch(changed)

    # Changes

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Have something told of every change; return what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def _tell(self, changes: Changes) -> None:
        for observer in list(self._observers):
            observer(changes)

    def _touch(self, names: Iterable[str]) -> None:
        """Tell of rows that changed, and note that they may have to move."""
        changed = frozenset(names)
        if self.filter.terms or self.sort:
            self._unsettled.update(index for name in changed for index in self.rows_of(name))
        if changed:
            self._tell(changed)

    def update_row(self, name: str, nth: int = 0, /, **changes: object) -> None:
        """Change fields of a row, such as its caption and the caption's state.

        What the dataset file has is not touched; the next overview brings that.

        Args:
            name: The row's name.
            nth: Which of the rows with that name.
            changes: By the names of a `Row`'s fields.
        """
        index = self.find(name, nth)
        before = self.get(index).caption if index is not None else ""
        if index is not None and self._live.update(index, changes):
            self.caption_changes += changes.get("caption", before) != before
            self._later(partial(_update_named, name, nth, changes))
            self._touch([name])

    def take_findings(self, findings: Iterable[Finding]) -> None:
        """Take what the doctor found in the clips."""
        by_clip: dict[str, list[Finding]] = {}
        for one in findings:
            by_clip.setdefault(one.clip, []).append(one)
        self.findings = by_clip
        self._tell(None)

    def take_scores(self, scores: Scores, changed: Sequence[int]) -> None:
        """Take in how suspicious captions are.

        Args:
            scores: Of the rows of a table.
            changed: The rows of which they say something new.
        """
        before, names = self.table.scores, self.table.names
        if scores.names is not names:  # another overview came meanwhile
            scores = scores.of_rows(names)
            changed = scores.differing(before)
        self._live.take_scores(scores)
        if self.filter.terms or self.sort:
            self._unsettled.update(changed)
        is_few = before is not None and len(changed) <= _FEW
        self._tell(frozenset(names[row] for row in changed) if is_few else None)

    def apply(self, news: News) -> None:
        """Take in what the worker told: which clips run, are done, failed."""
        touched = set()
        for change in changes_of(news, self._live.running, self._row_of):
            name = self.table.names[change.index]
            self._live.take(change)
            self._later(partial(_take_named, name, self._live.nth_of(change.index), change))
            touched.add(name)
        self._touch(touched)

    def _later(self, again: Callable[[LiveRows], object]) -> None:
        """Make a change in the next table as well, where it may not have it."""
        if self.is_loading:
            self._late.append(again)

    def _row_of(self, row: int, name: str) -> int | None:
        """Return the index of the row that an event is about; the dataset may have changed."""
        if 0 <= row < len(self) and self.table.names[row] == name:
            return row
        return self.find(name)

    # Overviews

    @property
    def _file(self) -> Path:
        return self.project.state_dir / FILE

    def open_cache(self) -> bool:
        """Show what was kept of the last time; return whether there was anything.

        Only columns are read, so that it takes 50 ms for 100,000 rows.
        """
        table = open_overview(self._file)
        if table is not None:
            self.take(table)
        return table is not None

    def take(self, table: Table) -> None:
        """Show another table; filter, sort, marks, drafts and running clips stay."""
        live = LiveRows(table)
        live.inherit(self._live)
        for again in self._late:
            again(live)
        self._live = live
        self.caption_changes += 1
        self._show()

    async def load(self) -> None:
        """Show what was kept of the last time, then what a new overview brings.

        Asked for while one is being made, another one is made after it.
        """
        if self._loading is None or self._loading.done():
            if not len(self):
                self.open_cache()
            self._loading = asyncio.create_task(self._load())
        else:
            self._again = True
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        # What only the child needs is left out of the first paint.
        from ltx_tui.children import scan

        self.is_loading = True
        try:
            if len(self):
                identity = self.overview.identity
                self.is_stale = await asyncio.to_thread(
                    scan.identity_differs, self.project, identity
                )
            self._again = True
            while self._again:
                self._again, self.fault = False, None
                self._late.clear()
                self._tell(None)
                async with contextlib.aclosing(scan.scan(self.project)) as told:
                    async for tell in told:
                        self._hear(tell)
        finally:
            self.is_loading, self.scanned = False, None
            self._late.clear()
            self._tell(None)

    def _hear(self, tell: object) -> None:
        """Take in what the child tells."""
        from engine.worker.scan_types import Failed, Scanning, Written

        match tell:
            case Scanning():
                self.scanned = (tell.done, tell.total)
                self._tell(frozenset())
            case Written():
                self.is_stale = False
                self.open_cache()
            case Failed():
                self.fault = tell.fault
                self._tell(None)

    async def close(self) -> None:
        """End the making of an overview."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading


def _update_named(name: str, nth: int, changes: dict[str, object], live: LiveRows) -> None:
    index = live.find(name, nth)
    if index is not None:
        live.update(index, changes)


def _take_named(name: str, nth: int, change: Change, live: LiveRows) -> None:
    index = live.find(name, nth)
    if index is not None:
        live.take(msgspec.structs.replace(change, index=index))
