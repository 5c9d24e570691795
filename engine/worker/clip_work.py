"""The children that go through the clips of a dataset: what all of them do alike."""

from __future__ import annotations

import abc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.child import Seldom, answer, when_stdin_ends
from engine.errors import LtxError
from engine.events import ClipFailed, JobDone, Scanning
from engine.worker.reference_types import Stopped
from engine.worker.spec import Fault, decoder

_TELL = 0.2  # seconds between two tidings of probing
_Wanted = TypeVar("_Wanted")


class StopAsked(Exception):  # noqa: N818 - no error
    """Nobody waits any more."""


class ClipWork(abc.ABC, Generic[_Wanted]):
    """One request to such a child."""

    def __init__(
        self, wanted: _Wanted, is_stopped: Callable[[], bool], tell: Callable[[object], None]
    ) -> None:
        """Keep what is asked for.

        Args:
            wanted: The request.
            is_stopped: Whether nobody waits any more.
            tell: Takes events, from several threads.
        """
        self._wanted = wanted
        self._is_stopped = is_stopped
        self._tell = tell
        self._began = time.monotonic()
        self._failures: list[ClipFailed] = []
        self._done = 0
        self._seldom = Seldom(lambda done, total: tell(Scanning(done=done, total=total)), _TELL)

    @abc.abstractmethod
    def run(self) -> None:
        """Do it, and tell of its end.

        Raises:
            LtxError: It cannot be done as a whole.
            StopAsked: Nobody waits any more.
        """

    def end(self, *, fresh: int = 0, cancelled: bool = False) -> JobDone:
        """Return the last event."""
        return JobDone(
            done=self._done,
            fresh=fresh,
            failures=tuple(self._failures),
            skipped=0,
            set_aside=0,
            seconds=time.monotonic() - self._began,
            cancelled=cancelled,
        )

    def _check(self) -> None:
        if self._is_stopped():
            raise StopAsked

    def _scanned(self, done: int, total: int) -> None:
        self._check()
        self._seldom(done, total)


def work_off(
    kind: type[_Wanted],
    work: Callable[[_Wanted, Callable[[], bool], Callable[[object], None]], ClipWork[_Wanted]],
    *,
    kindness: int = 0,
) -> None:
    """Do what a line of stdin asks for, and end this process.

    Stdin then stays open: when it is closed, the work stops soon.

    Args:
        kind: What is asked for.
        work: Makes the work of (request, whether nobody waits any more, what takes events).
        kindness: How far all of it gives way to other programs.
    """
    wanted: _Wanted = decoder(kind).decode(sys.stdin.buffer.readline())
    stop, lock = threading.Event(), threading.Lock()
    when_stdin_ends(stop.set)
    os.nice(kindness)

    def tell(event: object) -> None:
        with lock:
            answer(event)

    one = work(wanted, stop.is_set, tell)
    try:
        one.run()
    except StopAsked:
        tell(one.end(cancelled=True))
    except LtxError as error:
        tell(Stopped(fault=Fault.of(error)))
    sys.stdout.flush()
    os._exit(0)  # the thread that waits for stdin would hold the interpreter's lock on it
