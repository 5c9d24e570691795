"""The process that has a service caption clips: run as `python -m engine.worker.captioner`.

It speaks `engine.worker.messages` over stdin and stdout, as an encoder does, and needs neither a
GPU nor torch. Several clips are asked for at once. The service's key comes by the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from engine.captioners.answer_file import AnswerFile, write_answer
from engine.captioners.asking import Question, asked_by, better, to_file
from engine.captioners.base import Captioner, CaptionerName, CaptionError, CaptionMedia
from engine.captioners.keys import key_of
from engine.captioners.make import make_captioner
from engine.child import serving
from engine.errors import EnvironmentFaultError, LtxError
from engine.precompute.steps import CaptionSetup, CaptionStep
from engine.worker.messages import (
    VERSION,
    Answer,
    Beat,
    Cancel,
    CloseStage,
    Hello,
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

log = logging.getLogger("ltx_tui.captioner")

# Seconds between two signs of life, and for calls to clean up after themselves at the end.
_BEAT, _FAREWELL = 2.0, 5.0
_LINE_LIMIT = 1 << 24


class Server:
    """Answers the scheduler until it is gone."""

    def __init__(self, outgoing: BinaryIO) -> None:
        """Answer nothing yet."""
        self._outgoing = outgoing
        self._calls: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._captioner: Captioner | None = None
        self._setup = CaptionSetup(captioner="")
        self._room = asyncio.Semaphore(1)
        self._stopped = False

    async def serve(self, requests: asyncio.StreamReader) -> None:
        """Take requests until the input ends; whoever sent them is gone then."""
        self._send(Hello(VERSION, os.getpid()))
        beating = asyncio.create_task(self._beat())
        decoder = msgspec.json.Decoder(Request)
        try:
            while (line := await requests.readline()).endswith(b"\n"):
                await self._take(decoder.decode(line))
        finally:
            beating.cancel()
            await self._give_up()

    async def _take(self, request: Request) -> None:
        match request:
            case OpenStage():
                await self._open(request)
            case Work():
                call = asyncio.create_task(self._work(request))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            case Cancel():
                self._stopped = True
            case CloseStage():
                # Not here: a cancel has to be heard meanwhile.
                self._closing = asyncio.create_task(self._close(frozenset(self._calls)))

    async def _open(self, request: OpenStage) -> None:
        began = time.monotonic()
        setup = request.setup
        self._stopped = False
        try:
            if not isinstance(setup, CaptionSetup):
                raise EnvironmentFaultError("this process only captions")
            self._captioner = make_captioner(
                cast("CaptionerName", setup.captioner),
                model=setup.model,
                base_url=setup.base_url,
                api_key=key_of(setup.captioner),
                num_workers=setup.batch_size,
            )
        except Exception as error:
            log.exception("cannot caption")
            self._send(_refusal(error))
            return
        self._setup, self._room = setup, asyncio.Semaphore(setup.batch_size)
        self._send(StageOpened(time.monotonic() - began, setup.device))

    async def _close(self, calls: frozenset[asyncio.Task[None]]) -> None:
        if calls:
            await asyncio.wait(calls)
        await self._let_go()
        self._send(StageClosed())

    async def _let_go(self) -> None:
        captioner, self._captioner = self._captioner, None
        if captioner is not None:
            with contextlib.suppress(Exception):
                await captioner.close()

    async def _give_up(self) -> None:
        """Abandon what is asked for, and let it clean up after itself."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls, timeout=_FAREWELL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._let_go(), _FAREWELL)

    # Clips

    async def _work(self, work: Work) -> None:
        step = work.step
        async with self._room:
            if self._stopped or not isinstance(step, CaptionStep):
                self._send(StepDropped(step.id))
                return
            self._send(StepStarted(step.id))
            began = time.monotonic()
            try:
                answer = await self._ask(step, began)
                await asyncio.to_thread(write_answer, Path(step.output), answer)
                stat = await asyncio.to_thread(Path(step.output).stat)
            except asyncio.CancelledError:
                self._send(StepDropped(step.id))
                raise
            except Exception as error:
                log.error("%s failed", step.clip, exc_info=error)
                failure = _failure(step.id, error)
                if failure.fatal:
                    # The job ends with this answer: first the others clean up after themselves.
                    await self._abandon_others()
                self._send(failure)
                return
        self._send(
            StepDone(
                id=step.id,
                output=step.output,
                size=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
                seconds=time.monotonic() - began,
            )
        )

    async def _abandon_others(self) -> None:
        self._stopped = True
        others = self._calls - {asyncio.current_task()}
        for call in others:
            call.cancel()
        if others:
            await asyncio.wait(others, timeout=_FAREWELL)

    async def _ask(self, step: CaptionStep, began: float) -> AnswerFile:
        found, asked = await asyncio.to_thread(asked_by, step)
        answer, times = asked.understand(await self._caption(found.media, asked)), 1
        if answer.is_malformed:
            log.info("%s: %s; asked again", step.clip, "; ".join(answer.problems))
            times = 2
            # The first answer is there: a second one that does not come loses nothing.
            with contextlib.suppress(CaptionError):
                again = await self._caption(found.media, asked, strict=True)
                answer = better(answer, asked.understand(again))
        setup = self._setup
        name = f"{setup.captioner} ({setup.model})" if setup.model else setup.captioner
        seconds = time.monotonic() - began
        return to_file(answer, captioner=name, base=step.base, asked=times, seconds=seconds)

    async def _caption(self, media: CaptionMedia, asked: Question, *, strict: bool = False) -> str:
        assert self._captioner is not None  # noqa: S101 - work comes when it is opened
        return await self._captioner.caption(media, asked.request(strict=strict))

    # Answers

    def _send(self, answer: Answer) -> None:
        try:
            self._outgoing.write(msgspec.json.encode(answer) + b"\n")
            self._outgoing.flush()
        except BrokenPipeError:
            os._exit(0)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            # Calls have time limits of their own, so that none of them hangs for ever.
            self._send(Beat(still=0.0))


def _refusal(error: Exception) -> StageRefused:
    if isinstance(error, LtxError):
        is_machine = isinstance(error, EnvironmentFaultError)
        return StageRefused(error.headline, error.remedy, environment=is_machine)
    return StageRefused(f"{type(error).__name__}: {error}", "see its log", environment=True)


def _failure(step: int, error: Exception) -> StepFailed:
    if isinstance(error, LtxError):
        is_fatal = isinstance(error, CaptionError) and error.fatal
        return StepFailed(step, error.headline, error.remedy, fatal=is_fatal)
    if isinstance(error, OSError):
        remedy = "make space on its disk, then go on"
        return StepFailed(step, f"the answer cannot be kept: {error.strerror}", remedy, fatal=True)
    return StepFailed(step, f"{type(error).__name__}: {error}", "see the captioner's log")


async def _main(outgoing: BinaryIO) -> None:
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await Server(outgoing).serve(reader)


def main() -> None:
    """Speak the protocol over stdin and stdout; what libraries print goes to stderr."""
    outgoing = serving()
    # Requests with their keys in an address or a header are nobody's to read.
    for name in ("httpx", "httpx2", "httpcore", "openai", "google_genai"):
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(_main(outgoing))


if __name__ == "__main__":
    main()
