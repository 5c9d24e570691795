"""The encoder process: holds the models of one stage at a time and does the steps it is sent.

Run as `python -m engine.worker.encoder`. It speaks `engine.worker.messages` over stdin and
stdout, logs to stderr, and ends when its stdin closes: no encoder outlives its scheduler.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import torch

from engine.errors import EnvironmentFaultError, LtxError, ModelError
from engine.precompute.stages import open_stage
from engine.precompute.stages.base import CancelledError, Made, StageRunner
from engine.precompute.steps import AnyStep
from engine.worker.messages import (
    VERSION,
    Answer,
    Cancel,
    CloseStage,
    Hello,
    Loading,
    OpenStage,
    Request,
    StageClosed,
    StageOpened,
    StageRefused,
    StepDone,
    StepDropped,
    StepFailed,
    StepStarted,
    Work,
)

log = logging.getLogger("ltx_tui.encoder")

# Decoding runs ahead in this many threads; FFmpeg has threads of its own below them.
_READERS = 2


class Pipe:
    """The scheduler's end: requests in, answers out, cancel seen at once."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        """Start reading requests in a thread."""
        self._incoming = incoming
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._requests: queue.Queue[Request | None] = queue.Queue()
        self._stopped = threading.Event()
        threading.Thread(target=self._read, daemon=True, name="requests").start()

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(Request)
        for line in self._incoming:
            request = decoder.decode(line)
            if isinstance(request, Cancel):
                self._stopped.set()
            self._requests.put(request)
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
        """Send an answer."""
        with self._lock:
            self._outgoing.write(msgspec.json.encode(answer) + b"\n")
            self._outgoing.flush()


class Entry(msgspec.Struct):
    """A step in hand and what is being read for it."""

    work: Work
    reading: Future[Any]


class StageLoop:
    """Does the steps of one open stage: reads ahead, encodes, writes, answers."""

    def __init__(self, pipe: Pipe, runner: StageRunner[Any, Any, Any]) -> None:
        """Start the reading threads."""
        self._pipe = pipe
        self._runner = runner
        self._waiting: deque[Entry] = deque()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")

    def run(self) -> None:
        """Work until the stage is closed, the job is cancelled, or the scheduler is gone."""
        closing = False
        with self._readers:
            while not (closing and not self._waiting):
                closing = self._receive(closing=closing)
                if self._pipe.cancelled():
                    self._drop()
                elif self._waiting and (closing or len(self._waiting) >= self._runner.batch):
                    self._do_batch()

    def _receive(self, *, closing: bool) -> bool:
        """Take all requests that are there; wait for one only when there is nothing to do."""
        while not closing:
            try:
                request = self._pipe.take(block=len(self._waiting) < self._runner.batch)
            except queue.Empty:
                break
            if isinstance(request, Work):
                reading = self._readers.submit(self._prepare, request)
                self._waiting.append(Entry(request, reading))
            elif request is None or isinstance(request, CloseStage):
                closing = True
            elif isinstance(request, Cancel):
                break
        return closing

    def _prepare(self, work: Work) -> Any:
        if work.check == "verify" or self._pipe.cancelled():
            return None
        return self._runner.prepare(work.step)

    def _drop(self) -> None:
        while self._waiting:
            entry = self._waiting.popleft()
            entry.reading.cancel()
            self._pipe.send(StepDropped(entry.work.step.id))

    def _do_batch(self) -> None:
        count = min(self._runner.batch, len(self._waiting))
        entries = [self._waiting.popleft() for _ in range(count)]
        started = time.monotonic()
        readable: list[tuple[Work, Any]] = []
        for entry in entries:
            self._pipe.send(StepStarted(entry.work.step.id))
            try:
                prepared = entry.reading.result()
                if entry.work.check:
                    self._runner.verify(entry.work.step)
            except Exception as error:
                self._fail(entry.work.step, error)
                continue
            if entry.work.check == "verify":
                self._answer(entry.work.step, Path(entry.work.step.output), started, "verified", ())
            else:
                readable.append((entry.work, prepared))
        if readable:
            self._encode(readable, started)

    def _encode(self, batch: list[tuple[Work, Any]], started: float) -> None:
        """Encode a batch; if it fails as a whole, one by one, so that one step fails alone."""
        made: list[Made] = []
        problem: Exception | None = None
        try:
            # Nothing is read any more after a cancel, so what was prepared may be nothing.
            if self._pipe.cancelled():
                raise CancelledError
            made = self._runner.make(
                [work.step for work, _ in batch],
                [prepared for _, prepared in batch],
                self._pipe.cancelled,
            )
        except CancelledError:
            for work, _ in batch:
                self._pipe.send(StepDropped(work.step.id))
            return
        except Exception as error:
            # The traceback holds the tensors that filled the memory.
            problem = error.with_traceback(None)
            log.exception("%s: a batch of %d failed", self._runner.setup.stage, len(batch))
        if problem is not None:
            _free_memory()
            if len(batch) == 1:
                self._pipe.send(failure(batch[0][0].step.id, problem))
            else:
                for single in batch:
                    self._encode([single], time.monotonic())
            return
        for (work, _), one in zip(batch, made, strict=True):
            self._finish(work, one, started)

    def _finish(self, work: Work, made: Made, started: float) -> None:
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
            self._fail(work.step, error)
            return
        self._answer(work.step, path, started, detail, made.warnings)

    def _answer(
        self, step: AnyStep, path: Path, started: float, detail: str, warnings: tuple[str, ...]
    ) -> None:
        stat = path.stat()
        self._pipe.send(
            StepDone(
                id=step.id,
                output=str(path),
                size=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
                seconds=time.monotonic() - started,
                detail=detail,
                warnings=warnings,
            )
        )

    def _fail(self, step: AnyStep, error: Exception) -> None:
        log.error("%s: %s failed", self._runner.setup.stage, step.clip, exc_info=error)
        self._pipe.send(failure(step.id, error))


def failure(step: int, error: Exception) -> StepFailed:
    """Put an exception into words for the user."""
    if isinstance(error, LtxError):
        return StepFailed(step, error.headline, error.remedy)
    if isinstance(error, torch.OutOfMemoryError):
        return StepFailed(
            step,
            f"out of GPU memory: {str(error).split('. ')[0]}",
            "use a smaller bucket, --device cpu, or free the GPU",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return StepFailed(
            step,
            f"cannot write: {os.strerror(error.errno)}",
            "make space, then run again: the work goes on where it stopped",
            fatal=True,
        )
    return StepFailed(step, f"{type(error).__name__}: {error}", "see the encoder's log")


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _serve_stage(pipe: Pipe, request: OpenStage) -> None:
    started = time.monotonic()
    try:
        runner = open_stage(request.setup, lambda model, device: pipe.send(Loading(model, device)))
        if request.load:
            _ = runner.model
    except Exception as error:
        log.exception("%s: cannot be opened", request.setup.stage)
        pipe.send(_refusal(error))
        return
    pipe.send(StageOpened(time.monotonic() - started))
    StageLoop(pipe, runner).run()
    runner.close()
    _free_memory()
    pipe.send(StageClosed())


def _refusal(error: Exception) -> StageRefused:
    if isinstance(error, LtxError):
        return StageRefused(
            error.headline, error.remedy, isinstance(error, (EnvironmentFaultError, ModelError))
        )
    words = failure(0, error)
    return StageRefused(words.reason, words.remedy, environment=True)


def serve(pipe: Pipe) -> None:
    """Open stages one after another until the input ends."""
    pipe.send(Hello(VERSION, os.getpid()))
    while (request := pipe.take()) is not None:
        if isinstance(request, OpenStage):
            _serve_stage(pipe, request)


def main() -> None:
    """Speak the protocol over stdin and stdout; everything that libraries print goes to stderr."""
    faulthandler.enable()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    # Ctrl-C in the terminal is the scheduler's to handle: it sends a Cancel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(Pipe(sys.stdin.buffer, outgoing))
    except BrokenPipeError:
        log.info("the scheduler is gone")
        # Threads may still be decoding; what they read is of no use to anybody.
        os._exit(0)


if __name__ == "__main__":
    main()
