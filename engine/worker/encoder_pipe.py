"""An encoder's end of the protocol: requests in, answers out, and a sign of life."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

import msgspec
import torch

from engine.memory.devices import cuda_in_use
from engine.memory.ways import Report
from engine.worker.messages import Answer, Beat, Cancel, Guarded, OpenStage, Remark, Request

log = logging.getLogger("ltx_tui.encoder")

# Seconds between two signs of life.
_BEAT = 2.0


def leave() -> None:
    """End the process at once: nobody is there any more to whom its work would be of use.

    What it was writing stays invisible, and threads that still decode are not waited for.
    """
    log.info("the scheduler is gone")
    os._exit(0)


class Pulse:
    """Knows when the work last moved on. Usable from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """At rest."""
        self._clock = clock
        self._moved: float | None = None

    def tick(self) -> None:
        """The work has moved on."""
        self._moved = self._clock()

    def rest(self) -> None:
        """There is no work."""
        self._moved = None

    @property
    def still(self) -> float:
        """Seconds since the work last moved on; 0 while there is none."""
        moved = self._moved
        return 0.0 if moved is None else max(0.0, self._clock() - moved)


class Pipe:
    """The scheduler's end: requests in, answers out, cancel seen at once.

    Answers may be sent from several threads.
    """

    def __init__(
        self, incoming: BinaryIO, outgoing: BinaryIO, *, gone: Callable[[], None] = leave
    ) -> None:
        """Start reading requests in a thread.

        Args:
            incoming: Requests, one JSON object a line.
            outgoing: Takes the answers.
            gone: Called, in whatever thread, when nobody reads the answers any more.
        """
        self._incoming = incoming
        self._outgoing = outgoing
        self._gone = gone
        self._lock = threading.Lock()
        self._requests: queue.Queue[Request | None] = queue.Queue()
        self._stopped = threading.Event()
        threading.Thread(target=self._read, daemon=True, name="requests").start()

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(Request)
        try:
            for line in self._incoming:
                request = decoder.decode(line)
                if isinstance(request, Cancel):
                    self._stopped.set()
                elif isinstance(request, OpenStage):
                    # It is only sent when the stage before is closed: a cancel was for that one.
                    self._stopped.clear()
                self._requests.put(request)
        except (msgspec.DecodeError, OSError) as error:
            # A scheduler that was killed may leave half a line.
            log.warning("the requests end: %s", error)
        finally:
            # The scheduler is gone: give up what is in hand.
            self._stopped.set()
            self._requests.put(None)

    def cancelled(self) -> bool:
        """Whether the user stopped the job, or the scheduler is gone."""
        return self._stopped.is_set()

    def take(self, *, block: bool = True) -> Request | None:
        """Return the next request; None at the end of the input.

        Raises:
            queue.Empty: There is none yet, and `block` is not set.
        """
        return self._requests.get(block=block)

    def send(self, answer: Answer) -> None:
        """Send an answer, as one whole line."""
        line = msgspec.json.encode(answer) + b"\n"
        try:
            with self._lock:
                self._outgoing.write(line)
                self._outgoing.flush()
        except BrokenPipeError:
            self._gone()


class PipeReport(Report):
    """Tells the scheduler what the memory guard does."""

    def __init__(self, pipe: Pipe, pulse: Pulse) -> None:
        """Tell nothing yet."""
        self._pipe = pipe
        self._pulse = pulse

    def guarded(self, step: int, rung: str, text: str, *, waiting: bool = False) -> None:
        """Something was done about a step, or about the whole stage (-1)."""
        log.info("guard: step %d: %s", step, text)
        self._pipe.send(Guarded(step, rung, text, waiting))

    def remark(self, text: str) -> None:
        """Something about the stage is worth knowing."""
        log.warning("%s", text)
        self._pipe.send(Remark(text))

    def tick(self) -> None:
        """The work has moved on."""
        self._pulse.tick()


class Heart:
    """Sends a sign of life every two seconds, from a thread of its own.

    Attributes:
        device: Whose memory it tells of.
    """

    def __init__(self, pipe: Pipe, pulse: Pulse, *, every: float = _BEAT) -> None:
        """Send nothing yet."""
        self._pipe = pipe
        self._pulse = pulse
        self._every = every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heart")
        self.device = torch.device("cpu")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._every):
            self._pipe.send(self._sign())

    def _sign(self) -> Beat:
        device = self.device
        if device.type != "cuda" or not cuda_in_use():
            return Beat(still=self._pulse.still)
        return Beat(
            still=self._pulse.still,
            allocated=int(torch.cuda.memory_allocated(device)),
            reserved=int(torch.cuda.memory_reserved(device)),
        )
