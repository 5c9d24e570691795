"""Does the steps of one open stage: reads ahead, encodes, writes behind, answers.

While a clip is on the device, the next ones are read in threads and the last one is written in
another. Each of these has a bound: as many clips are read ahead as the host's memory allows, and
only a few finished ones wait to be written.
"""

from __future__ import annotations

import errno
import functools
import gc
import logging
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import torch

from engine.errors import LtxError
from engine.memory.allocator import give_back
from engine.memory.devices import cuda_in_use, is_out_of_memory
from engine.memory.host import HostRoom, ReadAhead, host_room
from engine.memory.peaks import Peak
from engine.memory.ways import CancelledError
from engine.precompute.stages.base import Made, StageRunner
from engine.worker.encoder_pipe import Pipe, Pulse
from engine.worker.messages import (
    Cancel,
    CloseStage,
    Guarded,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)

log = logging.getLogger("ltx_tui.encoder")

# Decoding runs ahead in this many threads; FFmpeg has threads of its own below them.
_READERS = 2
# Finished steps that may wait to be written beside those of one batch.
_BEHIND = 2


class Entry(msgspec.Struct):
    """A step in hand.

    Attributes:
        size: Bytes of host memory that reading it takes.
        reading: What is being read for it; None while there is no memory for it.
    """

    work: Work
    size: int
    reading: Future[Any] | None = None


class StageLoop:
    """The loop of one stage; `run` is called once."""

    def __init__(
        self,
        pipe: Pipe,
        runner: StageRunner[Any, Any, Any],
        *,
        pulse: Pulse | None = None,
        look: Callable[[], HostRoom] = host_room,
    ) -> None:
        """Start the threads.

        Args:
            pipe: To the scheduler.
            runner: The stage, its models loaded if they are needed.
            pulse: Told whenever the work moves on.
            look: Reads the host's memory.
        """
        self._pipe = pipe
        self._runner = runner
        self._pulse = pulse or Pulse()
        self._ahead = ReadAhead(runner.setup.host_reserve, look=look)
        self._told_short = False
        self._waiting: deque[Entry] = deque()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._writing: deque[Future[None]] = deque()

    def run(self) -> None:
        """Work until the stage is closed, the job is cancelled, or the scheduler is gone."""
        closing = False
        with self._readers, self._writer:
            while not (closing and not self._waiting):
                closing = self._receive(closing=closing)
                if self._pipe.cancelled():
                    self._drop()
                    continue
                self._read_ahead()
                if batch := self._next_batch(closing=closing):
                    self._do_batch(batch)
            self._hold_back(0)

    # Requests

    def _receive(self, *, closing: bool) -> bool:
        """Take all requests that are there; wait for one only when there is nothing to do."""
        while not closing:
            try:
                request = self._pipe.take(block=False)
            except queue.Empty:
                if self._batch_length(closing=False):
                    break
                self._pulse.rest()
                request = self._pipe.take()
            self._pulse.tick()
            if isinstance(request, Work):
                self._waiting.append(Entry(request, self._host_bytes(request)))
                self._read_ahead()
            elif request is None or isinstance(request, CloseStage):
                closing = True
            elif isinstance(request, Cancel):
                break
        return closing

    def _host_bytes(self, work: Work) -> int:
        return 0 if work.check == "verify" else self._runner.host_bytes(work.step)

    def _batch_length(self, *, closing: bool) -> int:
        """Return how many steps to do together now; 0 if it is better to wait for more."""
        waiting, batch = self._waiting, self._runner.batch
        if not waiting:
            return 0
        if waiting[0].work.alone:
            return 1
        first = waiting[0].work
        batch = first.together or batch
        count = 0
        for entry in waiting:
            if count == batch or entry.work.alone or entry.work.batch != first.batch:
                return count
            count += 1
        return count if closing or count == batch else 0

    def _next_batch(self, *, closing: bool) -> list[Entry]:
        """Take the next steps from the queue, but for those that there is no memory to read."""
        count = self._batch_length(closing=closing)
        batch: list[Entry] = []
        while len(batch) < count and self._waiting[0].reading is not None:
            batch.append(self._waiting.popleft())
        return batch

    def _drop(self) -> None:
        while self._waiting:
            entry = self._waiting.popleft()
            if entry.reading is not None:
                entry.reading.cancel()
            self._pipe.send(StepDropped(entry.work.step.id))

    # Reading

    def _read_ahead(self) -> None:
        """Begin to read what there is memory for, in order; the first step always."""
        for number, entry in enumerate(self._waiting):
            if entry.reading is not None:
                continue
            if number > 0 and not self._ahead.allows(entry.size):
                self._tell_short()
                return
            self._ahead.begin(entry.size)
            entry.reading = self._readers.submit(self._prepare, entry.work)
            entry.reading.add_done_callback(functools.partial(self._has_read, entry.size))

    def _has_read(self, size: int, _: Future[Any]) -> None:
        self._ahead.end(size)

    def _tell_short(self) -> None:
        if not self._told_short:
            self._told_short = True
            text = f"reads fewer clips ahead: {self._ahead.reason()}"
            self._pipe.send(Guarded(-1, "", text))

    def _prepare(self, work: Work) -> Any:
        if self._pipe.cancelled():
            return None
        if work.check:
            self._runner.verify(work.step)
        prepared = None if work.check == "verify" else self._runner.prepare(work.step)
        self._pulse.tick()
        return prepared

    # Encoding

    def _do_batch(self, entries: Sequence[Entry]) -> None:
        started = time.monotonic()
        rung = self._first_rung([entry.work for entry in entries])
        readable: list[tuple[Work, Any]] = []
        for entry in entries:
            work = entry.work
            assert entry.reading is not None  # noqa: S101 - see `_next_batch`
            self._pipe.send(StepStarted(work.step.id, "" if work.check == "verify" else rung))
            try:
                prepared = entry.reading.result()
            except Exception as error:
                self._fail(work, error)
                continue
            self._pulse.tick()
            if work.check == "verify" and not self._pipe.cancelled():
                self._answer(work, Path(work.step.output), started, Made(payload={}), "verified")
            else:
                readable.append((work, prepared))
        # What was read is in `readable` alone, so that it is freed once it is encoded.
        entries = []
        if readable:
            self._encode(readable, started)

    def _first_rung(self, works: Sequence[Work]) -> str:
        encoded = [work for work in works if work.check != "verify"]
        if not encoded:
            return ""
        try:
            return self._runner.begins_with([w.step for w in encoded], _lower(encoded))
        except Exception:
            # It is only told; whatever is wrong fails the step when it is made.
            log.exception("%s: no forecast", self._runner.setup.stage)
            return ""

    def _encode(self, batch: list[tuple[Work, Any]], started: float) -> None:
        """Encode a batch; if it fails as a whole, one by one, so that one step fails alone."""
        made: list[Made] = []
        problem: Exception | None = None
        works = [work for work, _ in batch]
        try:
            # Nothing is read any more after a cancel, so what was prepared may be nothing.
            if self._pipe.cancelled():
                raise CancelledError
            made = self._runner.make(
                [work.step for work in works],
                [prepared for _, prepared in batch],
                self._go_on,
                _lower(works),
            )
        except CancelledError:
            for work in works:
                self._pipe.send(StepDropped(work.step.id))
            return
        except Exception as error:
            # The traceback holds the tensors that filled the memory.
            problem = error.with_traceback(None)
            log.exception("%s: a batch of %d failed", self._runner.setup.stage, len(batch))
        if problem is not None:
            free_memory()
            if len(batch) == 1:
                self._fail(works[0], problem, self._runner.take_learned())
            else:
                for single in batch:
                    self._encode([single], time.monotonic())
            return
        learned = self._runner.take_learned()
        for work, one in zip(works, made, strict=True):
            self._write_behind(work, one, started, learned)
            learned = ()

    def _go_on(self) -> bool:
        """Whether the job is cancelled; asked between two pieces of work, so it has moved on."""
        self._pulse.tick()
        return self._pipe.cancelled()

    # Writing

    def _write_behind(
        self, work: Work, made: Made, started: float, learned: tuple[Peak, ...]
    ) -> None:
        self._writing.append(self._writer.submit(self._finish, work, made, started, learned))
        self._hold_back(max(_BEHIND, self._runner.batch))

    def _hold_back(self, most: int) -> None:
        """Wait until no more than `most` steps are being written or wait for it."""
        while self._writing and (len(self._writing) > most or self._writing[0].done()):
            self._writing.popleft().result()
            self._pulse.tick()

    def _finish(self, work: Work, made: Made, started: float, learned: tuple[Peak, ...]) -> None:
        try:
            if work.check == "compare":
                error, near = self._runner.compare(work.step, made)
                if not near:
                    raise LtxError(
                        f"differs from a fresh encoding by {error:.3g} (relative)",
                        remedy="let a run encode it again",
                    )
                path, detail = Path(work.step.output), f"compared, relative error {error:.2g}"
            else:
                path, detail = self._runner.write(work.step, made), made.detail
        except Exception as error:
            self._fail(work, error, learned)
            return
        self._answer(work, path, started, made, detail, learned)

    # Answers

    def _answer(
        self,
        work: Work,
        path: Path,
        started: float,
        made: Made,
        detail: str,
        learned: tuple[Peak, ...] = (),
    ) -> None:
        try:
            stat = path.stat()
        except OSError as error:
            # Somebody took it away in this very moment.
            self._fail(work, error, learned)
            return
        self._pipe.send(
            StepDone(
                id=work.step.id,
                output=str(path),
                size=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
                seconds=time.monotonic() - started,
                detail=detail,
                warnings=made.warnings,
                rung=made.rung,
                peak=made.peak,
                learned=learned,
                approximate=made.approximate,
            )
        )

    def _fail(self, work: Work, error: Exception, learned: tuple[Peak, ...] = ()) -> None:
        log.error("%s: %s failed", self._runner.setup.stage, work.step.clip, exc_info=error)
        self._pipe.send(failure(work.step.id, error, learned))


def _lower(works: Sequence[Work]) -> int:
    return max(work.lower for work in works)


def failure(step: int, error: Exception, learned: tuple[Peak, ...] = ()) -> StepFailed:
    """Put an exception into words for the user."""
    if isinstance(error, LtxError):
        return StepFailed(step, error.headline, error.remedy, learned=learned)
    if is_out_of_memory(error):
        return StepFailed(
            step,
            f"out of memory: {str(error).split('. ')[0]}",
            "use a smaller bucket, --device cpu, or free memory",
            learned=learned,
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return StepFailed(
            step,
            f"cannot write: {os.strerror(error.errno)}",
            "make space, then run again: the work goes on where it stopped",
            fatal=True,
            learned=learned,
        )
    words = f"{type(error).__name__}: {error}"
    return StepFailed(step, words, "see the encoder's log", learned=learned)


def free_memory() -> None:
    """Free what only cycles hold, and give unused memory of the host and the GPU back."""
    gc.collect()
    give_back()
    if cuda_in_use():
        torch.cuda.empty_cache()
