"""Completes a path that is typed, from what is on the disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container
from pathlib import Path

from textual.suggester import Suggester

# So many entries of a folder are looked at.
_MOST = 2000


class PathSuggester(Suggester):
    """Suggests the first entry of a folder that begins as what is typed; → takes it."""

    def __init__(self, root: Path, suffixes: Container[str]) -> None:
        """Suggest nothing yet.

        Args:
            root: What a relative path is taken from.
            suffixes: Of the files that are suggested, in lower case; folders are, always.
        """
        # What lies on the disk may change at any time.
        super().__init__(use_cache=False, case_sensitive=True)
        self._root, self._suffixes = root, suffixes

    async def get_suggestion(self, value: str) -> str | None:
        """Return the whole path, or None."""
        return await asyncio.to_thread(self.suggest, value)

    def suggest(self, value: str) -> str | None:
        """Return what a typed path could become; None where nothing begins like it."""
        head, _, tail = value.rpartition("/")
        folder = Path(head or ("/" if value.startswith("/") else ".")).expanduser()
        try:
            with os.scandir(self._root / folder) as entries:
                found = [entry for entry, _ in zip(entries, range(_MOST), strict=False)]
        except (OSError, ValueError):
            return None
        names = sorted(
            f"{one.name}/" if one.is_dir() else one.name
            for one in found
            if one.name.startswith(tail)
            and one.name.isprintable()
            and (tail or one.name[0] != ".")
            and (one.is_dir() or Path(one.name).suffix.lower() in self._suffixes)
        )
        return f"{value[: len(value) - len(tail)]}{names[0]}" if names and value else None
