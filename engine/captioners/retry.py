"""Calls to a service: how many at once, when again, and when not any more."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC
from typing import TypeVar

import msgspec

from engine.captioners.base import CaptionError, FatalCaptionError
from engine.text import visible

Result = TypeVar("Result")

# What a service said about a fault, in an error of ours.
_MOST_WORDS = 300
# Seconds between the starts of two calls once a service has said that we are too fast.
_FIRST_GAP, _LONGEST_GAP, _NO_GAP = 0.25, 30.0, 0.05
# Of that gap, what is left of it after a call that went well.
_EASE = 0.8


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient we are; all times in seconds.

    Attributes:
        tries: How often a call is made in all.
        first_wait: Before the second try; each further wait is twice as long.
        longest_wait: The longest wait of our own choice.
        longest_asked: A service that asks for a longer wait than this ends the job.
        timeout: For one try.
    """

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    timeout: float = 300.0


class TransientError(Exception):
    """A try that failed, when the next one need not.

    Attributes:
        message: What happened.
        retry_after: Seconds that the service asks to wait; None where it does not say.
        slow_down: Whether all other calls have to wait as well.
        unreachable: Whether nothing answered at all.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        slow_down: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.slow_down = slow_down
        self.unreachable = unreachable


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What errors say about a service.

    Attributes:
        name: Such as "Gemini" or "the server at localhost:8000".
        key_remedy: What to do when it does not take the key.
        model_remedy: What to do when it does not know the model.
    """

    name: str
    key_remedy: str
    model_remedy: str


class Gate:
    """All calls of one captioner go through here.

    A service that says "slow down" to one call slows all of them: none begins before the time that
    it named, and from then on they begin one after the other with a gap, which shrinks as calls go
    well again.
    """

    def __init__(
        self,
        workers: int,
        policy: Policy | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a gate.

        Args:
            workers: How many clips are in hand at once.
            policy: How patient we are.
            now: Seconds of a clock that never goes back.
            sleep: Waits so many seconds.
            jitter: A number from 0 up to 1, so that calls that failed together part.
        """
        if workers < 1:
            raise ValueError("at least one worker")
        self.policy = policy or Policy()
        self.now = now
        self.sleep = sleep
        self._jitter = jitter
        self._slots = asyncio.Semaphore(workers)
        self._closed_until = -math.inf
        self._next_start = -math.inf
        self._gap = 0.0

    @property
    def gap(self) -> float:
        """Seconds between the starts of two calls; 0 while the service keeps up."""
        return self._gap

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places; wait for it where all are taken."""
        async with self._slots:
            yield

    async def attempt(
        self, call: Callable[[], Awaitable[Result]], *, seconds: float | None = None
    ) -> Result:
        """Make a call, again and again where that may help.

        Args:
            call: Raises `TransientError` where it may help; anything else goes through.
            seconds: For one try; by default the policy's time-out.

        Raises:
            CaptionError: The last try failed as well.
            FatalCaptionError: So did the last try, and nothing answered; or the service asks to
                wait for too long.
        """
        limit = self.policy.timeout if seconds is None else seconds
        for number in range(1, self.policy.tries + 1):
            await self._turn()
            try:
                async with asyncio.timeout(limit):
                    result = await call()
            except TransientError as error:
                trouble = error
            except TimeoutError:
                trouble = TransientError(f"no answer within {limit:g} s")
            else:
                self._ease()
                return result
            await self._back_off(trouble, number)
        raise AssertionError("unreachable")  # the last try has raised

    async def _turn(self) -> None:
        """Wait until a call may begin."""
        while (wait := max(self._closed_until, self._next_start) - self.now()) > 0:
            await self.sleep(wait)
        self._next_start = self.now() + self._gap

    def _ease(self) -> None:
        self._gap = self._gap * _EASE if self._gap * _EASE > _NO_GAP else 0.0

    async def _back_off(self, trouble: TransientError, number: int) -> None:
        """Wait before the next try, or raise where there is none."""
        asked = trouble.retry_after
        if asked is not None and asked > self.policy.longest_asked:
            raise FatalCaptionError(
                f"{trouble.message}; the service asks to wait {asked:,.0f} s",
                remedy="go on later: what is captioned already is kept",
            )
        if trouble.slow_down:
            self._gap = min(max(2 * self._gap, _FIRST_GAP), _LONGEST_GAP)
        if number == self.policy.tries:
            raise _given_up(trouble, number)
        wait = min(self.policy.longest_wait, self.policy.first_wait * 2 ** (number - 1))
        wait *= 0.5 + self._jitter() / 2
        if asked is not None:
            # Never earlier than asked, and not all in the same moment.
            wait = asked + self._jitter() * self.policy.first_wait
        if trouble.slow_down:
            self._closed_until = max(self._closed_until, self.now() + wait)
        else:
            await self.sleep(wait)


def _given_up(trouble: TransientError, tries: int) -> CaptionError:
    if trouble.unreachable:
        return FatalCaptionError(
            f"{trouble.message} ({tries} tries)", remedy="check that it runs, and the address"
        )
    return CaptionError(
        f"{trouble.message} ({tries} tries)",
        remedy="caption this clip again later; fewer at once (--num-workers) may help",
    )


def fault_of_status(
    status: int, said: str, service: Service, *, asked: float | None = None
) -> Exception:
    """Return what an HTTP status other than 2xx means.

    Args:
        status: Of the answer.
        said: What the service says about it, `cleaned`.
        service: Which one.
        asked: Seconds that it asks to wait.

    Returns:
        A `TransientError` where a later try may go well, a `FatalCaptionError` where no clip can,
        and otherwise a `CaptionError`.
    """
    what = f"{service.name} answers {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        return FatalCaptionError(what, remedy=service.key_remedy)
    if status == 402:
        return FatalCaptionError(what, remedy="check the account's credit and plan")
    if status == 404:
        return FatalCaptionError(what, remedy=service.model_remedy)
    if status == 413:
        return CaptionError(what, remedy="look at fewer frames (--fps)")
    if status in (408, 409, 425, 429) or status >= 500:
        slow_down = status == 429 or (status == 503 and asked is not None)
        return TransientError(what, retry_after=asked, slow_down=slow_down)
    return CaptionError(what, remedy="check the clip, and whether the model takes such input")


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that the headers of an answer ask to wait, or None.

    Args:
        headers: With names in lower case, or a mapping that does not mind.
        now: Seconds since 1970, for a date.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            asked = float(headers.get(name) or "") * scale
            if 0 <= asked < math.inf:
                return asked
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after") or "")
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now())


def checked_key(key: str) -> str:
    """Return a key without the space around it, which often comes along when it is copied.

    Raises:
        FatalCaptionError: It has characters that no header can have; it is not shown.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise FatalCaptionError(
            "the key has characters in it that no key has", remedy="copy it again"
        )
    return key


def cleaned(said: object, secrets: Iterable[str]) -> str:
    """Return what a service said, in one short line, without keys and control characters."""
    text = str(said)
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    text = visible(" ".join(text.split()))
    return text if len(text) <= _MOST_WORDS else f"{text[: _MOST_WORDS - 1]}…"


def is_transport_fault(error: BaseException) -> bool:
    """Return whether an error comes from below HTTP: no connection, or one that broke off.

    The vendors' clients use one of several HTTP libraries, depending on what is installed.
    """
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in (
        "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "anyio", "h11",
    )  # fmt: skip


def broken_off(error: BaseException, service: Service) -> TransientError:
    """Return what a fault of the connection means."""
    gone = never_connected(error)
    what = "cannot be reached" if gone else "broke off the connection"
    return TransientError(f"{service.name} {what}", unreachable=gone)


def never_connected(error: BaseException) -> bool:
    """Return whether an error says that nothing listens, or that the name is unknown."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError) or "ConnectError" in type(seen).__name__:
            return True
        if "ClientConnector" in type(seen).__name__:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
