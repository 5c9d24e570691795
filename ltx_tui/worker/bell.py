"""Many changes, few tellings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Bell(Generic[T]):
    """Rings soon for the first change, then not before some time has gone by, for all since."""

    def __init__(
        self, every: float, ring: Callable[[frozenset[T]], None], clock: Callable[[], float]
    ) -> None:
        """Stay silent.

        Args:
            every: The least seconds between two rings.
            ring: Told what has changed since it was told last.
            clock: Seconds, never going back.
        """
        self._every, self._ring, self._clock = every, ring, clock
        self._changes: set[T] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rang = clock() - every

    def mark(self, *changes: T) -> None:
        """Something has changed."""
        self._changes.update(changes)
        if self._timer is None:
            wait = max(0.0, self._rang + self._every - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._now)

    def stop(self) -> None:
        """Stay silent from now on, until the next change."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _now(self) -> None:
        self._timer = None
        self._rang = self._clock()
        changes, self._changes = frozenset(self._changes), set()
        self._ring(changes)
