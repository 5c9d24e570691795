"""The rows of a dataset file under what they go by, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.dataset.caption_db import Key
from engine.dataset.columns import find_column, media_column
from engine.dataset.manifest import Manifest, caption_text
from engine.dataset.name_keys import asked_keys, name_keys
from engine.errors import UsageError
from engine.text import guessed, visible

# Among so many names one is looked for that is alike.
_MOST_GUESSED = 10_000


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out or given back.

    Attributes:
        keys: What the rows go by: that are out, what they did.
        rows: 0-based rows of them, in the file that has them.
        captions: Theirs.
        before: What the rows that were there before went by, in their order.
        after: What the same rows go by now; None for one that is out.
        aside: From where to where the past of captions goes that no row has, or had.
        there: Names of rows that were not given back, for the clip has a row again.
    """

    keys: tuple[Key, ...] = ()
    rows: tuple[int, ...] = ()
    captions: tuple[str, ...] = ()
    before: tuple[Key, ...] = ()
    after: tuple[Key | None, ...] = ()
    aside: dict[Key, Key] = {}
    there: tuple[str, ...] = ()


class KeyedRows:
    """A dataset file that was just read.

    Attributes:
        manifest: The file.
        video: The column of media paths.
        keys: What its rows go by.
    """

    def __init__(self, manifest: Manifest, video: str, caption: str) -> None:
        self.manifest = manifest
        self.video = media_column(manifest, video)
        self._caption = caption or find_column(manifest.columns, "caption")
        self.keys = name_keys(manifest.rows, self.video)

    def text_of(self, row: int) -> str:
        """Return the caption of a row."""
        return caption_text(self.manifest.rows[row], self._caption)


def asked_of(names: Sequence[str], keys: Sequence[Key], path: Path, lack: str) -> set[Key]:
    """Return the keys that names ask for.

    Raises:
        UsageError: One asks for none.
    """
    found = asked_keys(names, keys)
    for name, asked in found.items():
        if not asked:
            known = list(dict.fromkeys(key.name for key in keys))
            near = guessed(name, known[:_MOST_GUESSED], otherwise="")
            remedy = near if near.startswith("did") else "name it as the clip list does"
            raise UsageError(f"{lack} {visible(name)}", remedy=remedy, file=path)
    return {key for asked in found.values() for key in asked}
