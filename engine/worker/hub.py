"""News for clients: everyone hears the same, and a slow one slows nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from engine.worker.protocol import Answer, Goodbye, News, Refusal, Snapshot, Telemetry, Welcome
from engine.worker.spec import encode

# What may wait for a client that does not read; past that it gets a new snapshot instead.
_LINES, _BYTES = 2_000, 4 << 20
# Answers that may wait before a client is not listened to.
_ANSWERS = 64


class _Item(msgspec.Struct, frozen=True):
    line: bytes
    kept: bool  # an answer: never left out
    telemetry: bool = False


class Outbox:
    """What one client is still to be told."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Begin empty.

        Args:
            snapshot: Returns how things stand, for a client that begins to watch or fell behind.
        """
        self._snapshot = snapshot
        self._items: deque[_Item] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._needs_snapshot = False
        self.watches = False

    def watch(self) -> None:
        """Tell news from now on, beginning with a snapshot."""
        self.watches = True
        self._needs_snapshot = True
        self._ready.set()

    def answer(self, line: Answer | Refusal | Welcome) -> None:
        """Put an answer behind what waits."""
        self._put(_Item(encode(line) + b"\n", kept=True))
        if sum(item.kept for item in self._items) >= _ANSWERS:
            self._room.clear()

    async def has_room(self) -> None:
        """Wait until not too many answers wait for the client."""
        await self._room.wait()

    def news(self, line: bytes, *, telemetry: bool, kept: bool) -> None:
        """Put news behind what waits, unless a snapshot is due that will contain it."""
        if not self.watches or (self._needs_snapshot and not kept):
            return
        if telemetry:
            # Only the latest counts.
            older = next((item for item in self._items if item.telemetry), None)
            if older is not None:
                self._items.remove(older)
                self._bytes -= len(older.line)
        self._put(_Item(line, kept=kept, telemetry=telemetry))
        if len(self._items) > _LINES or self._bytes > _BYTES:
            self._items = deque(item for item in self._items if item.kept)
            self._bytes = sum(len(item.line) for item in self._items)
            self._needs_snapshot = True

    def _put(self, item: _Item) -> None:
        self._items.append(item)
        self._bytes += len(item.line)
        self._ready.set()

    async def take(self) -> bytes:
        """Wait for the next line to send, and take it."""
        while True:
            if self._needs_snapshot:
                self._needs_snapshot = False
                # All that waits has happened before: the snapshot says it.
                self._items = deque(item for item in self._items if item.kept)
                self._bytes = sum(len(item.line) for item in self._items)
                return encode(self._snapshot()) + b"\n"
            if self._items:
                item = self._items.popleft()
                self._bytes -= len(item.line)
                if item.kept:
                    self._room.set()
                return item.line
            self._ready.clear()
            await self._ready.wait()

    @property
    def is_empty(self) -> bool:
        """Whether the client has been sent everything."""
        return not self._items and not self._needs_snapshot


class Hub:
    """All clients that are connected."""

    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()

    def join(self, outbox: Outbox) -> None:
        """Add a client."""
        self._outboxes.add(outbox)

    def leave(self, outbox: Outbox) -> None:
        """A client has gone."""
        self._outboxes.discard(outbox)

    def __len__(self) -> int:
        return len(self._outboxes)

    @property
    def watched(self) -> bool:
        """Whether anybody hears news."""
        return any(outbox.watches for outbox in self._outboxes)

    def publish(self, news: News) -> None:
        """Tell everybody who watches; returns at once."""
        if not self.watched:
            return
        line = encode(news) + b"\n"
        telemetry, kept = isinstance(news, Telemetry), isinstance(news, Goodbye)
        for outbox in self._outboxes:
            outbox.news(line, telemetry=telemetry, kept=kept)
