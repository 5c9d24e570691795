"""Which device takes the next step: near the end of a stage none waits behind a slow one.

Steps are given out a few ahead, so that a device never waits for its next clip. At the end that
would leave the last ones in the queue of a slow device while others have nothing to do. So a
device takes another step only if the others, at their measured pace, would not be through with
all that is left before it could finish that step.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine

import msgspec

# How much a device's earlier steps count against the latest.
_MEMORY = 0.8
# Differences of pace below this share are none.
_SLACK = 1e-6


class Share(msgspec.Struct, kw_only=True, eq=False):
    """One device's part of a stage.

    Attributes:
        ready: Its encoder is there.
        hands: Steps that it has been sent and has not answered.
        since: By the clock, when the step in hand began.
        seconds, steps: What it did lately; `pace` is their ratio.
    """

    ready: bool = False
    hands: int = 0
    since: float = 0.0
    seconds: float = 0.0
    steps: float = 0.0

    @property
    def pace(self) -> float | None:
        """Seconds that a step takes; None while it has done none."""
        return self.seconds / self.steps if self.steps else None


class Shares:
    """All devices of a stage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any.

        Args:
            clock: Seconds, never going back.
        """
        self._clock = clock
        self._shares: list[Share] = []
        self._changed = asyncio.Event()

    def join(self) -> Share:
        """Add a device; it takes nothing before it is `ready`."""
        share = Share()
        self._shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        """Take a device out; what it held has gone elsewhere."""
        self._shares.remove(share)
        self.notify()

    def give(self, share: Share) -> None:
        """A device has been sent a step."""
        if not share.hands:
            share.since = self._clock()
        share.hands += 1

    def settle(self, share: Share) -> None:
        """A device has answered a step."""
        now = self._clock()
        share.hands -= 1
        share.seconds = share.seconds * _MEMORY + now - share.since
        share.steps = share.steps * _MEMORY + 1
        share.since = now
        self.notify()

    def drop(self, share: Share) -> None:
        """A device has lost its encoder, and all that was in it."""
        share.ready, share.hands = False, 0
        self.notify()

    @property
    def busy(self) -> bool:
        """Whether any device holds a step, which could come back."""
        return any(share.hands for share in self._shares)

    def notify(self) -> None:
        """Wake whoever waits for a `change`."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def change(self, most: float = 1.0) -> Coroutine[None, None, None]:
        """Wait until something has changed since this call, but no longer than `most` seconds."""
        return _happened(self._changed, most)

    def may_take(self, mine: Share, left: int) -> bool:
        """Whether a device is to take one more of the steps that are left.

        A device that has shown no pace yet may take a first step, and beside others none ahead.
        Among idle devices the one that would be through first always may, so the work goes on
        whatever the figures are.

        Args:
            mine: The device.
            left: Steps that no device holds.
        """
        if mine.pace is None:
            return not mine.hands or len(self._shares) == 1
        now = self._clock()
        known = [share.pace for share in self._shares if share.pace is not None]
        typical = sum(known) / len(known) if known else 1.0
        through = self._free(mine, typical, now) + self._pace(mine, typical, now)
        done = 0
        for share in self._shares:
            # Whoever has nothing to do waits only for those whose pace is known.
            if share is mine or not share.ready or not (mine.hands or share.pace is not None):
                continue
            count = (through - self._free(share, typical, now)) / self._pace(share, typical, now)
            # A tie goes to the device that is idle.
            done += max(
                0, math.floor(count + _SLACK) if mine.hands else math.ceil(count - _SLACK) - 1
            )
        return done < left

    def _pace(self, share: Share, typical: float, now: float) -> float:
        """Return the seconds of a step; one that takes longer than ever counts as long."""
        pace = share.pace if share.pace is not None else typical
        return max(pace, now - share.since if share.hands else 0.0, _SLACK)

    def _free(self, share: Share, typical: float, now: float) -> float:
        """Return the seconds until a device has nothing in hand."""
        if not share.hands:
            return 0.0
        return max(0.0, share.hands * self._pace(share, typical, now) - (now - share.since))


async def _happened(event: asyncio.Event, most: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), most)
