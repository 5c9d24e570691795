"""Captions that are being worked on: text, undo, and what of it is in the dataset file."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from engine.dataset.caption_db import Key
from engine.dataset.drafts import Draft
from engine.dataset.history import History
from engine.dataset.versions import Kind
from engine.dataset.write_captions import Clash, Edit

PAUSE = 1.0  # seconds without a key after which undo has a step of its own
_WORD = 60  # characters after which it has one anyway


What = Literal["text", "state", "conflict", "outside", "arrived", "stays", "problem"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What those who look at the captions are told.

    Attributes:
        what: "text": the text is another than was typed, such as after undo; "state": saved,
            kept, or marked; "conflict": to be decided; "outside": captions were changed by
            another program; "arrived": by a job of ours; "stays": what was typed, while a job
            captioned the same clip; "problem": nothing can be saved for now, or it can again.
        key: Which caption; None for all.
        count: For "outside" and "arrived": how many.
    """

    what: What
    key: Key | None = None
    count: int = 0


class Problem(msgspec.Struct, frozen=True):
    """Why something cannot be saved, and what to do about it."""

    message: str
    remedy: str


@dataclass
class Doc:
    """A caption in hand.

    Attributes:
        base: As it is in the dataset file, as far as we know.
        history: The text with its undo.
        typed: When it was last changed by the user, in seconds since 1970; 0 for never.
        is_kept: Whether the draft journal has all of it.
        clash: What the dataset file has instead, where that is to be decided.
        is_held: Not written before the user changes it, as it holds both sides of a conflict.
        may_add: Whether its row is added where it is gone.
        kind: What the next version is called.
        cursor: Where the text last changed.
    """

    key: Key
    base: str
    history: History
    typed: float = 0.0
    is_kept: bool = True
    clash: Clash | None = None
    is_held: bool = False
    may_add: bool = False
    kind: Kind = Kind.EDITED
    cursor: int = 0
    visit: str = field(default_factory=lambda: uuid.uuid4().hex)
    _last: float = 0.0
    _letters: int = 0

    @property
    def text(self) -> str:
        """The caption as it is now."""
        return self.history.text

    @property
    def is_saved(self) -> bool:
        """Whether the dataset file has it."""
        return self.text == self.base

    @property
    def to_write(self) -> Edit | None:
        """What is to be written; None where nothing is, or it has to be decided first."""
        if self.is_saved or self.clash is not None or self.is_held:
            return None
        return Edit(
            name=self.key.name, nth=self.key.nth, base=self.base, text=self.text, add=self.may_add
        )

    def edit(self, text: str, *, own_step: bool) -> bool:
        """Change the text as the user wants it; return whether it is another.

        Args:
            text: The new text.
            own_step: Whether undo takes it back by itself, rather than with the letters before.
        """
        if text == self.text:
            return False
        now = time.monotonic()
        joined = not own_step and now - self._last < PAUSE and 0 < self._letters < _WORD
        self._letters = 0 if own_step else self._letters * joined + 1
        self._last = now
        self.history.edit(text, joined=joined)
        self._changed()
        return True

    def undo(self) -> bool:
        """Take the last step back."""
        return self._went(self.history.undo())

    def redo(self) -> bool:
        """Make the last step again that was taken back."""
        return self._went(self.history.redo())

    def take(self, theirs: str) -> None:
        """Take what the dataset file has, as a step that can be undone."""
        self.history.edit(theirs)
        self.base = theirs
        self._letters = 0
        self.is_kept = False

    def draft(self) -> Draft:
        """Return it for the journal."""
        return Draft(
            key=self.key,
            base=self.base,
            text=self.text,
            typed=self.typed,
            history=self.history.to_bytes(),
        )

    def _went(self, cursor: int | None) -> bool:
        if cursor is None:
            return False
        self.cursor = cursor
        self._letters = 0
        self._changed()
        return True

    def _changed(self) -> None:
        self.typed = time.time()
        self.kind = Kind.EDITED
        self.is_kept = False
        self.is_held = False


def last_text(history: bytes, otherwise: str) -> str:
    """Return the text that a history was kept with, or another where there is none."""
    try:
        return History.from_bytes(history).text if history else otherwise
    except ValueError:
        return otherwise


def restored(key: Key, text: str, base: str, history: bytes) -> Doc:
    """Return a caption with the undo history that was kept of it.

    Args:
        key: The caption.
        text: As it is to be shown: the draft, or what the dataset has.
        base: What the dataset has, or had when the draft was begun.
        history: As it was kept; damaged or empty, it begins anew with `base`.
    """
    try:
        past = History.from_bytes(history) if history else History(base)
    except ValueError:
        past = History(base)
    past.edit(text)  # what happened elsewhere meanwhile is a step as well
    return Doc(key=key, base=base, history=past)
