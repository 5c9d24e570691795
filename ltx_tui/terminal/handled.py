"""Signals handled for a while, with an end that comes even where the program hangs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType


@contextlib.contextmanager
def handled(
    handle: Callable[[signal.Signals], object],
    numbers: Collection[signal.Signals],
    *,
    ends: Collection[signal.Signals],
    patience: float,
    give_up: Callable[[int], object],
) -> Iterator[None]:
    """Handle signals until the block is left; what handled them before does so again.

    Args:
        handle: Called in the signal handler; it must not block.
        numbers: Which.
        ends: Those after which the block has to be left soon.
        patience: Seconds until `give_up` is called where it is not.
        give_up: Called with the signal's number, in a thread.
    """
    timers: list[threading.Timer] = []

    def take(number: int, _frame: FrameType | None) -> None:
        if number in ends:
            timer = threading.Timer(patience, give_up, [number])
            timer.daemon = True
            timer.start()
            timers.append(timer)
        handle(signal.Signals(number))

    before = {number: signal.signal(number, take) for number in numbers}
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, old in before.items():
            signal.signal(number, old)
