"""Calls on a Ray cluster: waiting for what they return, and words for what they raise."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from typing import Any


async def answered(reference: Any) -> Any:
    """Wait for what a call returns; if the wait is called off, the call goes on.

    Ray's client takes it ill when a future of its own is cancelled, or its loop is closed by then.

    Args:
        reference: What the call gave.

    Raises:
        Exception: What the call raised.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(done: concurrent.futures.Future[Any]) -> None:
        if answer.done():
            return
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(error)

    def take(done: concurrent.futures.Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, done)

    reference.future().add_done_callback(take)
    return await answer


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, which Ray follows by pages of advice."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
