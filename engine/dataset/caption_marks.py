"""Which captions were edited by hand or reviewed; a mark holds for one text only."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from engine.dataset.caption_db import FILE, CaptionDatabase, Key, digest, unpack
from engine.errors import EnvironmentFaultError

State = Literal["none", "draft", "auto", "edited", "reviewed"]


class Marks:
    """The marks as they were read, and a way to set them."""

    def __init__(self, database: CaptionDatabase) -> None:
        self._db = database
        self._marks: dict[Key, tuple[str, str]] = {
            Key(name, nth): (state, of)
            for name, nth, state, of in database.all("SELECT name, nth, state, digest FROM marks")
        }

    def keys(self) -> list[Key]:
        """Return the captions that have a mark."""
        return list(self._marks)

    def state(self, key: Key, text: str) -> State:
        """Return how far a caption has come that is in the dataset file like this."""
        if not text.strip():
            return "none"
        state, of = self._marks.get(key, ("", ""))
        if of != digest(text):
            return "auto"
        return "reviewed" if state == "reviewed" else "edited"

    def set(self, key: Key, state: Literal["edited", "reviewed"], text: str) -> None:
        """Mark a text; the mark falls when the text changes."""
        self._marks[key] = (state, digest(text))
        self._db.run(
            "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?)",
            (*key, state, digest(text), time.time()),
        )

    def clear(self, key: Key) -> None:
        """Remove the mark of a caption."""
        self._marks.pop(key, None)
        self._db.run("DELETE FROM marks WHERE name=? AND nth=?", key)


class KnownCaptions:
    """Marks and drafts, for whoever lists all captions.

    Attributes:
        drafts: The newest draft of each caption that has one.
    """

    def __init__(self, state_dir: Path | None) -> None:
        """Read them; a project without `captions.db` has none, nor has None.

        Raises:
            EnvironmentFaultError: The file is damaged, or a newer ltx-tui made it.
        """
        self.drafts: dict[Key, str] = {}
        self._marks: Marks | None = None
        if state_dir is None or not (state_dir / FILE).exists():
            return
        database = CaptionDatabase(state_dir)
        try:
            self._marks = Marks(database)
            for name, nth, text in database.all(
                "SELECT name, nth, text FROM drafts ORDER BY typed"
            ):
                self.drafts[Key(name, nth)] = unpack(text)
        finally:
            database.close()

    @classmethod
    def readable(cls, state_dir: Path) -> KnownCaptions:
        """Return what can be read: a damaged file is no reason to show and score no captions."""
        try:
            return cls(state_dir)
        except EnvironmentFaultError:
            return cls(None)

    def look_up(self, key: Key, text: str) -> tuple[str, State]:
        """Return a caption as it is to be shown, with its state, from that in the dataset."""
        draft = self.drafts.get(key)
        if draft is not None and draft != text:
            return draft, "draft"
        if self._marks is None:
            return text, "auto" if text.strip() else "none"
        return text, self._marks.state(key, text)
