"""Ways to do a piece of work, and the memory of the devices that they are done on.

Without torch: what the guard wants to know of a device it asks a `Memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from engine.errors import EnvironmentFaultError

R = TypeVar("R")


class CancelledError(Exception):
    """The work was given up because the user stopped the job."""


class MemoryShortError(EnvironmentFaultError):
    """No way fits the memory; the message has the figures."""


class Meter(Protocol):
    """Measures one piece of work."""

    @property
    def peak(self) -> int:
        """Most bytes that it took so far, the weights left out; 0 where that is not known."""

    def ignore(self, tensors: Iterable[Any]) -> None:
        """Leave out tensors that were there before."""

    def instead(self, peak: int) -> None:
        """Tell this peak from now on, since the work is no measure of itself; 0: none is known."""


class Memory(Protocol):
    """The memory of one device."""

    @property
    def total(self) -> int:
        """Bytes that the job may use of the device."""

    def free(self) -> int:
        """Return the bytes that the work may take now."""

    def most(self) -> int:
        """Return the bytes that it could take if no other program held any."""

    def loading(self) -> AbstractContextManager[object]:
        """Return what surrounds the loading of a model."""

    def measure(self) -> AbstractContextManager[Meter]:
        """Return what surrounds the work, and measures it."""

    def release(self) -> None:
        """Give back what is not in use."""

    def is_shortage(self, error: Exception) -> bool:
        """Whether an error means that memory ran out."""


class Report:
    """What the guard and a stage tell; this one tells nobody."""

    def guarded(self, step: int, rung: str, text: str, *, waiting: bool = False) -> None:
        """Something was done about a step, or about the whole stage (-1)."""

    def remark(self, text: str) -> None:
        """Something about the stage is worth knowing."""

    def tick(self) -> None:
        """The work has moved on."""


class Way(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One way to do a piece of work.

    Attributes:
        name: A rung, such as "stream 16".
        memory: Of the device that it is done on.
        run: Does it.
        ready: Loads what it needs and has not got; not measured.
        need: Bytes that it takes by the forecast, `ready` included; 0 where that is not known.
        fallback: On another device than the one that was asked for: only taken when nothing fits
            that one, not even after a wait.
        learn: Told the bytes that it took, or had when it ran out of memory, and whether it fits.
    """

    name: str
    memory: Memory
    run: Callable[[Meter], R]
    ready: Callable[[], object] = lambda: None
    need: int = 0
    fallback: bool = False
    learn: Callable[[int, bool], object] = lambda _bytes, _fits: None


class Finished(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A piece of work that is done.

    Attributes:
        at: Which of the ways did it.
        rung: Its name; empty where there was no choice.
        peak: Most bytes of device memory beside the weights; 0 where that is not known.
    """

    result: R
    at: int
    rung: str
    peak: int
