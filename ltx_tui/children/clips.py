"""A child process that goes through clips, kept alive past the clips that kill it.

A codec can bring the process down that uses it. The child is then started again, one clip at a
time; it goes on where it was, and the clip that it dies of again is given up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec

from engine.events import ClipDone, ClipFailed, ClipStarted, JobDone
from engine.worker.reference_types import Stopped
from engine.worker.spec import encode
from ltx_tui.children.child import Child

# How many clips may kill the child before the fault is not looked for in the clips any more.
_MOST_DEATHS = 50


class Request(Protocol):
    """What such a child is asked; a struct."""

    @property
    def workers(self) -> int:
        """Clips side by side."""

    @property
    def given_up(self) -> tuple[int, ...]:
        """Rows that are not tried."""


class ClipChild:
    """One request to such a child; its events end with a `JobDone`."""

    def __init__(self, module: str, wanted: Request, events: Any) -> None:
        """Start nothing yet.

        Args:
            module: What is run, such as "engine.worker.make_references".
            wanted: The request, a struct with `workers` and `given_up`.
            events: The union of the events that it prints.
        """
        self._module = module
        self._wanted = wanted
        self._decoder = msgspec.json.Decoder(events)
        self._child: Child | None = None
        self._stops = 0

    async def events(self) -> AsyncGenerator[Any]:
        """Yield events as they come; closing it ends the child.

        Raises:
            LtxError: The work as a whole cannot be done, or the child keeps dying.
        """
        deaths = 0
        try:
            while True:
                in_hand: dict[int, None] = {}
                child = await self._start()
                async for line in child.lines():
                    event = self._decoder.decode(line)
                    if isinstance(event, Stopped):
                        raise event.fault.to_error()
                    if isinstance(event, ClipStarted):
                        in_hand[event.row] = None
                    elif isinstance(event, ClipDone | ClipFailed):
                        in_hand.pop(event.row, None)
                    yield event
                    if isinstance(event, JobDone):
                        return
                if self._stops:
                    yield _stopped()
                    return
                deaths += 1
                if deaths > _MOST_DEATHS or not in_hand:
                    raise await child.death("run `ltx-tui doctor`; what was done is kept")
                alone = self._wanted.workers == 1
                given_up = (*self._wanted.given_up, *in_hand) if alone else self._wanted.given_up
                self._wanted = msgspec.structs.replace(
                    self._wanted,  # type: ignore[type-var]
                    workers=1,
                    given_up=given_up,
                )
        finally:
            await self._kill()

    async def cancel(self) -> None:
        """Let it finish what is safe; called again, stop at once."""
        self._stops += 1
        child = self._child
        if child is None:
            return
        if self._stops > 1:
            await self._kill()
        else:
            child.hang_up()

    async def _start(self) -> Child:
        child = self._child = await Child.start(self._module, name=self._module)
        await child.send(encode(self._wanted))
        if self._stops:
            child.hang_up()
        return child

    async def _kill(self) -> None:
        if self._child is not None:
            await self._child.close()


def _stopped() -> JobDone:
    return JobDone(
        done=0, fresh=0, failures=(), skipped=0, set_aside=0, seconds=0.0, cancelled=True
    )
