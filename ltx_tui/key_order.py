"""Keys that are typed ahead: each is done with before the next one is looked at.

Textual hands a key to what has the focus at that moment, and goes on to the next key before the
first has done its work. Where several come at once, as they do over a slow line, "/text" would not
be a filter but the commands `t`, `e`, `x` and `t` of the list.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator

from textual import events
from textual.app import App, ScreenStackError
from textual.message_pump import MessagePump

# Seconds that a key may take before the next one is looked at all the same.
_PATIENCE = 0.5
# What a letter is typed into may have to be read from the disk first.
_LONG_PATIENCE = 5.0


class KeyOrder(App[int]):
    """An app that takes one key after the other."""

    def __init__(self) -> None:
        """Wait for the first key."""
        super().__init__()
        self._typed: deque[events.Key] = deque()
        self._working: asyncio.Task[None] | None = None

    async def on_event(self, event: events.Event) -> None:
        """Keep a key back while another is being worked on."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._working is not None:
            self._typed.append(event)
        else:
            taker = self._taker()
            await super().on_event(event)
            self._working = asyncio.create_task(self._work(taker))

    async def _work(self, taker: MessagePump) -> None:
        """Wait until a key is done with, and hand out those that came meanwhile."""
        try:
            while True:
                with contextlib.suppress(TimeoutError, ScreenStackError):
                    async with asyncio.timeout(_PATIENCE):
                        await self._done(taker)
                with contextlib.suppress(TimeoutError, ScreenStackError):
                    async with asyncio.timeout(_LONG_PATIENCE):
                        await self.ready_for_keys()
                if not self._typed:
                    return
                taker = self._taker()
                await super().on_event(self._typed.popleft())
        finally:
            self._working = None

    def _taker(self) -> MessagePump:
        """Return what gets the next key."""
        with contextlib.suppress(ScreenStackError):
            return self.focused or self.screen
        return self

    async def _done(self, taker: MessagePump) -> None:
        """Wait until a key has come up from what took it, then what that has told to others."""
        for _ in range(2):
            for node in _upwards(taker):
                await _passed(node)
        if self._taker() is not taker:
            for node in _upwards(self._taker()):
                await _passed(node)

    async def ready_for_keys(self) -> None:
        """Wait for what the next key needs."""


def _upwards(node: MessagePump | None) -> Iterator[MessagePump]:
    while node is not None:
        yield node
        node = node._parent


async def _passed(node: MessagePump) -> None:
    """Wait until all messages that something has now are worked on."""
    done = asyncio.Event()
    if node.is_running and node.call_later(done.set):
        await done.wait()
