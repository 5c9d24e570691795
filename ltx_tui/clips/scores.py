"""Has captions scored beside all else, and brings the scores into the store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import LtxError

if TYPE_CHECKING:
    from engine.overview.file import Table
    from engine.project import Project
    from engine.suspicion.file import Scores
    from ltx_tui.clips.store import Changes, Store

# Seconds from a change of captions to their new scores, at least and at most; between them it is
# so many times as long as the scoring takes, to leave the machine to others.
AFTER, _MOST, _SHARE = 5.0, 60.0, 4.0
# Clips at the top of the list that are listened to first.
_FIRST = 500


class Scoring:
    """Keeps the scores of a store's captions up to date."""

    def __init__(self, store: Store) -> None:
        """Score nothing yet."""
        self._store = store
        self._seen = 0
        self._is_due = False
        self._pause = 0.0
        self._task: asyncio.Task[None] | None = None
        self._end: Callable[[], None] | None = None

    async def load(self) -> None:
        """Show the scores of the last time; what cannot be read is found anew."""
        table = self._store.table
        found = await asyncio.to_thread(_read, self._store.project, table)
        if found is not None:
            self._store.take_scores(*found)

    async def begin(self) -> None:
        """Score what changed since, now that the clips are there, and whatever changes from now."""
        store = self._store
        self._seen = store.caption_changes
        self._end = store.subscribe(self._changed)
        if await asyncio.to_thread(_is_old, store.project, store.table.scores):
            self._ask()

    async def close(self) -> None:
        """End the scoring; what was heard is kept."""
        if self._end is not None:
            self._end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, _changes: Changes) -> None:
        if self._store.caption_changes != self._seen:
            self._seen = self._store.caption_changes
            self._pause = max(AFTER, self._pause)
            self._ask()

    def _ask(self) -> None:
        self._is_due = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._is_due:
            await asyncio.sleep(self._pause)
            if self._store.is_loading:  # the clips come first
                self._pause = AFTER
                continue
            self._is_due = False
            if len(self._store) and self._store.fault is None:
                await self._score()

    async def _score(self) -> None:
        """Have the captions scored; when they change meanwhile, it is begun again."""
        from engine.events import AnyEvent  # what only the child needs is imported when it is
        from engine.worker.reference_types import Stopped
        from engine.worker.score_types import Scored, Wanted
        from ltx_tui.children.clips import ClipChild

        store, began = self._store, time.monotonic()
        store.scoring_fault = None
        first = tuple(store.shown[:_FIRST])
        wanted = Wanted(project=store.project, first=first)
        child = ClipChild("engine.worker.score_captions", wanted, AnyEvent | Scored | Stopped)
        is_shown = False
        try:
            async with contextlib.aclosing(child.events()) as events:
                async for event in events:
                    if isinstance(event, Scored):
                        await self.load()
                        if not is_shown:
                            took = time.monotonic() - began
                            self._pause = min(_MOST, max(AFTER, _SHARE * took))
                            is_shown = True
                    if is_shown and self._is_due and time.monotonic() - began > self._pause:
                        return
        except LtxError as error:
            store.scoring_fault = error


def _read(project: Project, table: Table) -> tuple[Scores, list[int]] | None:
    """Return the scores of a table's rows, and the rows that they say something new of."""
    from engine.suspicion.file import read_scores

    scores = read_scores(project)
    if scores is None:
        return None
    scores = scores.of_rows(table.names)
    return scores, scores.differing(table.scores)


def _is_old(project: Project, scores: Scores | None) -> bool:
    from engine.suspicion.file import basis_of

    return scores is None or not scores.is_whole or scores.basis != basis_of(project)
