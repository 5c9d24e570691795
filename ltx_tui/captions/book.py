"""The captions in hand: those that were opened, with their undo, and how far each has come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.captions import prompt
from engine.dataset.caption_db import Key
from engine.dataset.versions import Version
from engine.errors import EnvironmentFaultError
from engine.overview.file import Table
from engine.overview.types import CaptionState, Row
from engine.project import Project
from ltx_tui.captions.docs import Doc, Problem, Told, last_text, restored
from ltx_tui.captions.shelf import ShelfThread

_MOST_DOCS = 300
_FORGET_EVERY = 100


class CaptionRows(Protocol):
    """What is asked of the store of clips here."""

    @property
    def shown(self) -> Sequence[int]:
        """The rows that are listed, in their order."""

    @property
    def marked(self) -> set[str]:
        """The names of marked rows."""

    @property
    def table(self) -> Table:
        """What the rows are from: another object whenever they were read again."""

    def subscribe(self, observer: Callable[[frozenset[str] | None], None], /) -> Callable[[], None]:
        """Have something told of rows that change, None for all; return what ends that."""

    def get(self, index: int, /) -> Row:
        """Return a row."""

    def find(self, name: str, nth: int = 0, /) -> int | None:
        """Return the first row of a name, or a later one."""

    def nth_of(self, index: int, /) -> int:
        """Return which of the rows of its name a row is."""

    def update_row(self, name: str, nth: int = 0, /, **changes: object) -> None:
        """Change a row, the first of a name or a later one."""


class CaptionBook:
    """What `Captions` knows; looking changes nothing.

    Attributes:
        project: The project.
        problem: Why nothing is saved for now; None when all is well.
        is_read_only: Whether not even drafts can be kept, so that nothing may be typed.
        shown: The caption that is in the editor.
        comes_from_job: Whether a job captions, so that what changes in the dataset file is new
            captions, which are among the versions.
    """

    def __init__(self, project: Project, store: CaptionRows) -> None:
        self.project = project
        self.problem: Problem | None = None
        self.is_read_only = False
        self.shown: Key | None = None
        self.comes_from_job: Callable[[], bool] = bool
        self._store = store
        self._thread = ShelfThread(project.state_dir)
        self._docs: dict[Key, Doc] = {}
        self._listeners: list[Callable[[Told], None]] = []
        self._opened = asyncio.Event()
        self._forget_at = _MOST_DOCS + _FORGET_EVERY
        self._rows_are_new = False  # not those that were kept of the last time

    def subscribe(self, listener: Callable[[Told], None]) -> Callable[[], None]:
        """Be told of changes; return what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def key_of(self, index: int) -> Key:
        """Return the key of a row: its name, and which of the rows of that name it is."""
        return Key(self._store.table.names[index], self._store.nth_of(index))

    def index_of(self, key: Key) -> int | None:
        """Return the row of a key; None where there is no such row."""
        return self._store.find(*key)

    async def open(self, key: Key) -> Doc:
        """Return a caption, with the undo of earlier sessions; waits until drafts are there.

        Raises:
            KeyError: There is no such row.
        """
        await self._opened.wait()
        doc = self._docs.get(key)
        if doc is None:
            history = b""
            with contextlib.suppress(EnvironmentFaultError):  # told of when it was opened
                history = await self._thread.do(lambda shelf: shelf.journal.history(key))
            row = self._row(key)
            text = row.caption
            # The list of the last time may not have what was written since, by us most likely.
            if not self._rows_are_new and row.caption_state is not CaptionState.DRAFT:
                text = last_text(history, text)
            # Somebody else may have opened it meanwhile.
            doc = self._docs.setdefault(key, restored(key, text, text, history))
            self._forget(key)
        self._docs[key] = self._docs.pop(key)  # the latest stands last
        return doc

    def in_hand(self, key: Key) -> Doc | None:
        """Return a caption that was opened already."""
        return self._docs.get(key)

    def text_of(self, key: Key) -> str:
        """Return a caption as it is now.

        Raises:
            KeyError: There is no such row.
        """
        doc = self._docs.get(key)
        return doc.text if doc is not None else self._row(key).caption

    def state(self, key: Key, text: str) -> CaptionState:
        """Return how far a caption has come that reads like this."""
        doc = self._docs.get(key)
        if doc is not None and not doc.is_saved:
            return CaptionState.DRAFT
        return self.mark(key, text)

    def mark(self, key: Key, text: str) -> CaptionState:
        """Return how far a text has come, be it saved or not."""
        shelf = self._thread.shelf
        if shelf is None:
            return CaptionState.AUTO if text.strip() else CaptionState.NONE
        return CaptionState(shelf.marks.state(key, text))

    def prompt(self, text: str) -> str:
        """Return what is encoded for a caption, the trigger word included."""
        return prompt(text, self.project.text.trigger, self.project.text.strip_prefixes)

    @property
    def conflicts(self) -> list[Key]:
        """The captions that were changed here and elsewhere."""
        return [key for key, doc in self._docs.items() if doc.clash is not None]

    async def versions(self, key: Key) -> list[Version]:
        """Return the versions of a caption, the newest first.

        Raises:
            EnvironmentFaultError: They cannot be read.
        """
        return await self._thread.do(lambda shelf: shelf.versions.of(key))

    def _row(self, key: Key) -> Row:
        index = self.index_of(key)
        if index is None:
            raise KeyError(key)
        return self._store.get(index)

    def show(self, doc: Doc) -> None:
        """Show a caption in the list of clips."""
        self.update(doc.key, doc.text)

    def update(self, key: Key, text: str) -> None:
        """Show a caption's text and state in the list of clips."""
        if self.index_of(key) is not None:
            self._store.update_row(*key, caption=text, caption_state=self.state(key, text))

    def set_problem(self, message: str, remedy: str) -> None:
        """Say why nothing can be saved; an empty message: it can."""
        problem = Problem(message, remedy) if message else None
        if problem != self.problem:
            self.problem = problem
            self.tell(Told(what="problem"))

    def tell(self, told: Told) -> None:
        """Tell whoever listens."""
        for listener in tuple(self._listeners):
            listener(told)

    def _forget(self, newest: Key | None = None) -> None:
        """Let go of captions that are saved, the oldest first, where there are many."""
        if len(self._docs) < self._forget_at:
            return
        for key in list(self._docs)[: max(0, len(self._docs) - _MOST_DOCS)]:
            doc = self._docs[key]
            if key not in (newest, self.shown) and doc.is_saved and doc.is_kept:
                del self._docs[key]
        # Those that are left are looked at again only when there are some more, or they are saved.
        self._forget_at = max(_MOST_DOCS, len(self._docs)) + _FORGET_EVERY
