import asyncio
import email.utils

import pytest

from engine.captioners.base import CaptionError, FatalCaptionError
from engine.captioners.retry import (
    Gate,
    Policy,
    Service,
    TransientError,
    checked_key,
    cleaned,
    fault_of_status,
    is_transport_fault,
    never_connected,
    retry_after,
)

SERVICE = Service(name="Here", key_remedy="check the key", model_remedy="check the model")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.time = 100.0
        self.slept = []

    def now(self):
        return self.time

    async def sleep(self, seconds):
        self.slept.append(seconds)
        wake = self.time + seconds
        await asyncio.sleep(0)
        self.time = max(self.time, wake)


def made(clock, workers=4, **policy):
    return Gate(workers, Policy(**policy), now=clock.now, sleep=clock.sleep, jitter=lambda: 1.0)


def failing(*outcomes):
    """Return a call that raises what it is given, one after the other, and returns the last."""
    left = list(outcomes)

    async def call():
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    call.left = left
    return call


def run(gate, call, **options):
    return asyncio.run(gate.attempt(call, **options))


def test_waits_grow_and_have_an_end():
    clock = Clock()
    gate = made(clock, tries=6, first_wait=1.0, longest_wait=5.0)
    troubles = [TransientError("no")] * 5
    assert run(gate, failing(*troubles, "yes")) == "yes"
    assert clock.slept == [1, 2, 4, 5, 5]


def test_waits_are_spread():
    clock = Clock()
    gate = Gate(1, Policy(), now=clock.now, sleep=clock.sleep, jitter=lambda: 0.0)
    run(gate, failing(TransientError("no"), "yes"))
    assert clock.slept == [0.5]


def test_after_the_last_try_it_says_so():
    clock = Clock()
    with pytest.raises(CaptionError, match=r"no answer \(3 tries\)") as caught:
        run(made(clock, tries=3), failing(*[TransientError("no answer")] * 9))
    assert not caught.value.fatal
    assert len(clock.slept) == 2


def test_a_service_that_was_never_there_stops_the_job():
    with pytest.raises(FatalCaptionError, match="cannot be reached"):
        run(
            made(Clock(), tries=2),
            failing(*[TransientError("cannot be reached", unreachable=True)] * 2),
        )


@pytest.mark.parametrize("fault", [CaptionError("blocked"), FatalCaptionError("key"), ValueError()])
def test_what_cannot_go_better_is_not_tried_again(fault):
    clock = Clock()
    call = failing(fault, "yes")
    with pytest.raises(type(fault)):
        run(made(clock), call)
    assert call.left == ["yes"]
    assert clock.slept == []


def test_a_try_has_its_time():
    async def never():
        await asyncio.Event().wait()

    with pytest.raises(CaptionError, match=r"no answer within 0.01 s \(2 tries\)"):
        run(made(Clock(), tries=2, timeout=0.01), never)
    with pytest.raises(CaptionError, match=r"no answer within 0.02 s"):
        run(made(Clock(), tries=1), never, seconds=0.02)


def test_the_wait_that_is_asked_for_is_kept_by_all_calls():
    clock = Clock()
    gate = made(clock, tries=3)
    begun = []

    async def other():
        begun.append(clock.now())
        return "other"

    async def both():
        slow = failing(TransientError("429", retry_after=30, slow_down=True), "yes")
        first = asyncio.create_task(gate.attempt(slow))
        await asyncio.sleep(0)
        assert await gate.attempt(other) == "other"
        assert await first == "yes"

    asyncio.run(both())
    # 30 s as asked, one more by the jitter.
    assert begun[0] >= 131


def test_the_wait_that_is_asked_for_is_never_shortened():
    clock = Clock()
    gate = Gate(1, Policy(longest_wait=2), now=clock.now, sleep=clock.sleep, jitter=lambda: 0.0)
    run(gate, failing(TransientError("503", retry_after=90), "yes"))
    assert clock.time == 190


def test_a_wait_of_hours_stops_the_job():
    with pytest.raises(FatalCaptionError, match="asks to wait 7,200 s"):
        run(made(Clock()), failing(TransientError("429", retry_after=7200, slow_down=True)))


def test_slowing_down_spaces_calls_until_they_go_well():
    clock = Clock()
    gate = made(clock, tries=5)
    slow = TransientError("429", slow_down=True)
    run(gate, failing(slow, slow, slow, "yes"))
    spaced = gate.gap
    assert spaced == pytest.approx(0.8)  # 0.25, 0.5, 1, and one that went well
    for _ in range(2):
        run(gate, failing("yes"))
    assert gate.gap < spaced
    for _ in range(30):
        run(gate, failing("yes"))
    assert gate.gap == 0
    before = len(clock.slept)
    run(gate, failing("yes"))
    assert len(clock.slept) == before


def test_no_more_clips_are_in_hand_than_workers():
    gate = Gate(3)
    inside, most = 0, 0

    async def clip():
        nonlocal inside, most
        async with gate.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def all_clips():
        await asyncio.gather(*(clip() for _ in range(20)))

    asyncio.run(all_clips())
    assert most == 3
    with pytest.raises(ValueError, match="at least one"):
        Gate(0)


def test_cancelling_goes_through_and_frees_the_place():
    gate = Gate(1)

    async def clip():
        async with gate.slot():
            await gate.attempt(asyncio.Event().wait)

    async def cancel():
        task = asyncio.create_task(clip())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1), gate.slot():
            return True

    assert asyncio.run(cancel())


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [
        (400, CaptionError, "clip"),
        (401, FatalCaptionError, "check the key"),
        (402, FatalCaptionError, "credit"),
        (403, FatalCaptionError, "check the key"),
        (404, FatalCaptionError, "check the model"),
        (413, CaptionError, "--fps"),
        (418, CaptionError, "clip"),
    ],
)
def test_statuses_that_are_final(status, kind, remedy):
    fault = fault_of_status(status, "words", SERVICE)
    assert type(fault) is kind
    assert fault.message == f"Here answers {status}: words"
    assert remedy in fault.remedy


@pytest.mark.parametrize(
    ("status", "asked", "slow_down"),
    [(408, None, False), (429, None, True), (429, 3.0, True), (500, None, False),
     (503, None, False), (503, 9.0, True), (529, None, False)],
)  # fmt: skip
def test_statuses_that_pass(status, asked, slow_down):
    fault = fault_of_status(status, "", SERVICE, asked=asked)
    assert isinstance(fault, TransientError)
    assert (fault.message, fault.retry_after) == (f"Here answers {status}", asked)
    assert fault.slow_down is slow_down


def test_retry_after_in_each_way_that_it_is_written():
    assert retry_after({}) is None
    assert retry_after({"retry-after": "12"}) == 12
    assert retry_after({"retry-after": "0.5", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-3"}) is None
    assert retry_after({"retry-after": "inf"}) is None
    date = email.utils.formatdate(1_000_060, usegmt=True)
    assert retry_after({"retry-after": date}, now=lambda: 1_000_000.0) == 60
    assert retry_after({"retry-after": date}, now=lambda: 2_000_000.0) == 0


def test_words_of_a_service_are_cleaned():
    assert cleaned("bad key sk-123\n\x1b[31m!", ["sk-123", ""]) == "bad key … \\x1b[31m!"
    assert len(cleaned("x" * 5000, [])) == 300


def test_a_key_that_cannot_be_one_is_refused_and_not_shown():
    assert checked_key(" sk-1\n") == "sk-1"
    assert checked_key("") == ""
    for key in ("sk 123456", "sk-123\n456", "sk-123\u2013456"):
        with pytest.raises(FatalCaptionError) as caught:
            checked_key(key)
        assert "123" not in str(caught.value)


def test_faults_below_http_are_told_from_ours():
    assert is_transport_fault(ConnectionResetError())
    assert is_transport_fault(TimeoutError())
    assert not is_transport_fault(ValueError())
    outer = RuntimeError("outer")
    outer.__cause__ = ConnectionRefusedError()
    assert never_connected(outer)
    assert not never_connected(ConnectionResetError())
