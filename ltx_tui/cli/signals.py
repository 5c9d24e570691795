"""Signals while a job is followed: taken by the event loop, and never lost in a blocked write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

# What a terminal that does not take its output may cost at the end, in seconds.
_PATIENCE = 3.0

Calls = Mapping[signal.Signals, Callable[[], object]]


@contextlib.contextmanager
def caught(calls: Calls, ends: frozenset[signal.Signals] = frozenset()) -> Iterator[None]:
    """Call a function in the running loop for each signal that comes.

    Args:
        calls: What to call.
        ends: After these the process ends within seconds, even where it hangs in a write to a
            terminal or pipe that nobody reads.
    """
    loop = asyncio.get_running_loop()
    timers: list[threading.Timer] = []

    def take(number: int, _frame: FrameType | None) -> None:
        known = signal.Signals(number)
        if known in ends:
            timer = threading.Timer(_PATIENCE, os._exit, [128 + number])
            timer.daemon = True
            timer.start()
            timers.append(timer)
        loop.call_soon_threadsafe(calls[known])

    before = {number: signal.signal(number, take) for number in calls}
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, old in before.items():
            signal.signal(number, old)
