"""The host's own memory: how much is free, and how many clips may be read ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import psutil

from engine.memory.cgroup import memory_limit
from engine.memory.words import share


class HostRoom(NamedTuple):
    """The host's memory, in bytes.

    Attributes:
        available: What can be taken without swapping and within the limit of our control group.
        total: Of the machine, or that limit where it is less.
    """

    available: int
    total: int

    def beside(self, reserve: int) -> int:
        """Return what is available when `reserve` bytes are left free.

        A small machine keeps no more than a quarter of its memory in reserve: it could do
        nothing otherwise.
        """
        return max(0, self.available - min(reserve, self.total // 4))


def host_room() -> HostRoom:
    """Look at the host's memory now; takes about a millisecond."""
    memory = psutil.virtual_memory()
    limit = memory_limit()
    if limit is None:
        return HostRoom(int(memory.available), int(memory.total))
    return HostRoom(
        min(int(memory.available), limit.available), min(int(memory.total), limit.limit)
    )


class ReadAhead:
    """Decides whether another clip may be read while others wait for the device.

    Usable from several threads.
    """

    def __init__(self, reserve: int, *, look: Callable[[], HostRoom] = host_room) -> None:
        """Nothing is being read yet.

        Args:
            reserve: Bytes of the host's memory to leave free.
            look: Reads the host's memory.
        """
        self._reserve = reserve
        self._look = look
        self._lock = threading.Lock()
        self._coming = 0

    def allows(self, size: int) -> bool:
        """Whether a clip that takes `size` bytes fits beside those that are being read."""
        free = self._look().beside(self._reserve)
        with self._lock:
            return self._coming + size <= free

    def begin(self, size: int) -> None:
        """Count a clip whose reading begins: until it ends, its bytes are not seen as taken."""
        with self._lock:
            self._coming += size

    def end(self, size: int) -> None:
        """Count it no more: it is read, or was given up."""
        with self._lock:
            self._coming -= size

    def reason(self) -> str:
        """Return in words why less is read ahead."""
        room = self._look()
        return f"{share(room.available, room.total)} of the machine's memory is free"
