"""A stage's work as all its lanes share it, and what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import msgspec

from engine.errors import EnvironmentFaultError
from engine.memory.peaks import Peak
from engine.precompute.steps import AnySetup, AnyStep
from engine.worker.messages import Answer, Work
from engine.worker.shares import Shares


class Outcome(msgspec.Struct, frozen=True):
    """An answer of an encoder, the step that it is about, if any, and where it came from.

    Attributes:
        device: "cuda:0"; of another machine "node2/cuda:0".
        title: The device's own name, such as "NVIDIA H200".
    """

    answer: Answer
    step: AnyStep | None = None
    device: str = ""
    title: str = ""


class Died(msgspec.Struct, frozen=True):
    """An encoder died, and was or will be replaced: an outcome of the lane's own.

    Attributes:
        how: In words.
        steps: What it had begun.
        lost: Its machine was lost; it did not end by itself.
    """

    how: str
    steps: tuple[int, ...]
    lost: bool = False


class LeftOut(msgspec.Struct, frozen=True):
    """A device that cannot be used is left out of the stage, and others go on."""

    device: str
    why: str


class NodeNews(msgspec.Struct, frozen=True):
    """A machine came, went, or cannot be used; in words."""

    text: str


News = Died | LeftOut | NodeNews


class FullDiskError(EnvironmentFaultError):
    """Going on makes no sense on any device: outputs cannot be written."""


Sending = Callable[[Work], Awaitable[None]]
Known = Callable[[str], tuple[Peak, ...]]


class StageWork(msgspec.Struct, kw_only=True):
    """A stage's work, shared by all lanes.

    Attributes:
        setup: For the encoders; each lane sets its own device.
        left: What no encoder holds.
        load: Whether models are loaded at once.
        outcomes: What has come of it; bounded, so that a slow consumer slows the lanes.
        sending: Told of each piece of work before an encoder is.
        known: Returns the peaks that are known of a device by its title.
        deaths: How many encoders died on a step.
        losses: How many machines were lost while a step was in hand there.
        unsettled: Steps that an encoder died on and that have not come to an end since.
        stop: Set to end the work.
        shares: What each lane holds, and how fast it is.
    """

    setup: AnySetup
    left: deque[Work]
    load: bool
    outcomes: asyncio.Queue[Outcome | News | None]
    sending: Sending
    known: Known
    stop: asyncio.Event
    deaths: Counter[int] = msgspec.field(default_factory=Counter)
    losses: Counter[int] = msgspec.field(default_factory=Counter)
    unsettled: set[int] = msgspec.field(default_factory=set)
    shares: Shares = msgspec.field(default_factory=Shares)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left, and nothing that is in hand could come back."""
        return self.stop.is_set() or not (self.left or self.shares.busy)
