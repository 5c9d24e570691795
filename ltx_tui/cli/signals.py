"""Signals while a job is followed: taken by the event loop, and never lost in a blocked write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping

from ltx_tui.terminal.handled import handled

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

    def handle(number: signal.Signals) -> None:
        loop.call_soon_threadsafe(calls[number])

    def give_up(number: int) -> None:
        os._exit(128 + number)

    with handled(handle, calls.keys(), ends=ends, patience=_PATIENCE, give_up=give_up):
        yield
