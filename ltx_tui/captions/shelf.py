"""What is kept of captions beside the dataset file, written by one thread in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from engine.dataset.caption_db import CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.caption_origins import Origins
from engine.dataset.drafts import Draft, DraftJournal, Session
from engine.dataset.versions import Kind, Version, Versions
from engine.errors import EnvironmentFaultError
from ltx_tui.captions.docs import Doc

_T = TypeVar("_T")


class Shelf:
    """Drafts, undo, versions and marks of one project, open.

    Its methods wait for the disk: see `ShelfThread`.
    """

    def __init__(self, state_dir: Path) -> None:
        """Open it.

        Raises:
            EnvironmentFaultError: Its folder cannot be written, or a file of it is damaged.
        """
        self._database = CaptionDatabase(state_dir)
        try:
            self.session = Session(state_dir)
        except OSError as error:
            raise EnvironmentFaultError(
                f"drafts of captions cannot be kept: {error.strerror}",
                file=state_dir,
                remedy="make the folder writable",
            ) from error
        self.journal = DraftJournal(self._database, self.session)
        self.versions = Versions(self._database)
        self.marks = Marks(self._database)

    def adopt(self) -> list[tuple[Draft, bytes]]:
        """Return the drafts that sessions before left, each with its undo history."""
        return [(draft, self.journal.history(draft.key)) for draft in self.journal.adopt()]

    def keep_texts(self, docs: Iterable[Doc]) -> None:
        """Keep captions as they are by now, from whatever thread; their undo stays as it was."""
        # Read within the transaction: what another thread keeps is either older, or waits.
        with self._database.transaction():
            self.journal.put(
                Draft(key=doc.key, base=doc.base, text=doc.text, typed=doc.typed) for doc in docs
            )

    def saved(self, written: Iterable[tuple[Key, str, str, Kind, str]]) -> None:
        """Note what the dataset file has now.

        Args:
            written: (caption, text before, text now, how it came about, visit) of each.
        """
        with self._database.transaction():
            for key, before, text, kind, visit in written:
                self._note_found(key, before)
                self.versions.note(key, kind, text, visit=visit)
                self.journal.settle(key, text)
                is_found = kind in (Kind.AUTO, Kind.OUTSIDE)  # gone back to, and not written here
                if not is_found and self.marks.state(key, text) == "auto":
                    self.marks.set(key, "edited", text)

    def changed_outside(self, texts: Mapping[Key, str]) -> None:
        """Note what another program wrote, of captions that have versions already."""
        with self._database.transaction():
            for key, text in texts.items():
                if self.versions.of(key):
                    self.versions.note(key, Kind.OUTSIDE, text)

    def review(self, texts: Mapping[Key, str], *, reviewed: bool) -> None:
        """Mark captions as reviewed, or take the mark away."""
        with self._database.transaction():
            for key, text in texts.items():
                if reviewed:
                    self.marks.set(key, "reviewed", text)
                elif any(one.kind is not Kind.AUTO for one in self.versions.of(key)[:1]):
                    self.marks.set(key, "edited", text)
                else:
                    self.marks.clear(key)

    def reject(self, key: Key, base: str, text: str) -> Version | None:
        """Note that a text is not wanted; return the version before it that was not rejected.

        Args:
            key: The caption.
            base: As the dataset has it.
            text: What is not wanted.
        """
        with self._database.transaction():
            self._note_found(key, base)
            self.versions.note(key, Kind.REJECTED, text)
            found = self.versions.of(key)
            self.versions.reject(key, text)
        at = next(n for n, one in enumerate(found) if one.text == text)
        seen = {text}
        for one in found[at:]:
            if one.text not in seen and one.kind is not Kind.REJECTED:
                return one
            seen.add(one.text)
        return None

    def is_captioned(self, key: Key, text: str) -> bool:
        """Whether a captioner wrote a text, which is among the versions then."""
        return Origins(self._database).of(key, text) is not None

    def read_marks(self) -> None:
        """Read the marks again, for captions have other names now."""
        self.marks = Marks(self._database)

    def close(self) -> None:
        """Close it; drafts that are left are found by the next session."""
        self.session.close()
        self._database.close()

    def _note_found(self, key: Key, text: str) -> None:
        """Keep what the dataset had before we wrote."""
        found = self.versions.of(key)
        if not found and text.strip():
            self.versions.note(key, Kind.AUTO, text)
        elif found and found[0].text != text:
            # A newer one that never was in the dataset does not make an older one another's.
            same = (one.kind for one in found if one.text == text)
            kind = next(same, Kind.OUTSIDE)
            self.versions.note(key, Kind.OUTSIDE if kind is Kind.REJECTED else kind, text)


class ShelfThread:
    """The thread that a shelf lives in; what is asked for is done in order."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="captions")
        self.shelf: Shelf | None = None

    async def open(self) -> list[tuple[Draft, bytes]]:
        """Open the shelf; return the drafts that were left, with their undo history.

        Raises:
            EnvironmentFaultError: It cannot be used.
        """
        loop = asyncio.get_running_loop()
        self.shelf = await loop.run_in_executor(self._pool, Shelf, self._state_dir)
        return await self.do(Shelf.adopt)

    async def do(self, what: Callable[[Shelf], _T]) -> _T:
        """Do something with the shelf, after all that was asked for before.

        Raises:
            EnvironmentFaultError: It is not open, or its disk cannot be written.
        """
        shelf = self.shelf
        if shelf is None:
            raise EnvironmentFaultError("drafts of captions cannot be kept", file=self._state_dir)
        return await asyncio.get_running_loop().run_in_executor(self._pool, what, shelf)

    async def close(self) -> None:
        """Close the shelf."""
        if self.shelf is not None:
            await self.do(Shelf.close)
            self.shelf = None
        self._pool.shutdown(wait=False)
