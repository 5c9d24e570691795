"""Who takes the next step: none waits behind a slow device, and somebody always takes it."""

from __future__ import annotations

import asyncio
import heapq

from hypothesis import given
from hypothesis import strategies as st

from engine.worker.shares import Share, Shares


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def joined(shares: Shares, *, ready: bool = True) -> Share:
    share = shares.join()
    share.ready = ready
    return share


def shown(shares: Shares, clock: Clock, share: Share, pace: float) -> None:
    """Let a device do a step, so that its pace is known."""
    shares.give(share)
    clock.now += pace
    shares.settle(share)


def test_a_device_alone_takes_all() -> None:
    shares = Shares(Clock())
    one = joined(shares)
    for _ in range(5):
        assert shares.may_take(one, 1)
        shares.give(one)


def test_a_slow_device_takes_nothing_that_others_do_sooner() -> None:
    clock = Clock()
    shares = Shares(clock)
    slow, fast = joined(shares), joined(shares)
    shown(shares, clock, slow, 10)
    shown(shares, clock, fast, 1)
    shares.give(fast)
    # In the 10 s of its next step the other could do nine more.
    assert not shares.may_take(slow, 3)
    assert shares.may_take(fast, 3)
    assert shares.may_take(slow, 20)


def test_nothing_is_kept_ahead_by_a_device_that_is_behind() -> None:
    clock = Clock()
    shares = Shares(clock)
    slow, fast = joined(shares), joined(shares)
    shown(shares, clock, slow, 4)
    shown(shares, clock, fast, 2)
    shares.give(slow)
    shares.give(fast)
    assert not shares.may_take(slow, 2)
    assert shares.may_take(slow, 100)


def test_nothing_is_kept_ahead_before_the_pace_is_known() -> None:
    clock = Clock()
    shares = Shares(clock)
    first, loading = joined(shares), joined(shares, ready=False)
    assert shares.may_take(first, 1000)
    shares.give(first)
    assert not shares.may_take(first, 1000)
    clock.now += 1
    shares.settle(first)
    shares.give(first)
    assert shares.may_take(first, 1000)
    shares.leave(loading)
    assert shares.may_take(first, 1)


def test_a_device_that_is_about_to_begin_is_left_its_part() -> None:
    clock = Clock()
    shares = Shares(clock)
    first, _second = joined(shares), joined(shares)
    shown(shares, clock, first, 1)
    shares.give(first)
    assert not shares.may_take(first, 1)
    assert shares.may_take(first, 3)


def test_a_fast_device_that_hangs_is_not_waited_for() -> None:
    clock = Clock()
    shares = Shares(clock)
    slow, fast = joined(shares), joined(shares)
    shown(shares, clock, slow, 10)
    shown(shares, clock, fast, 1)
    shares.give(fast)
    assert not shares.may_take(slow, 1)
    clock.now += 60
    assert shares.may_take(slow, 1)


def test_one_that_lost_its_encoder_counts_no_more() -> None:
    clock = Clock()
    shares = Shares(clock)
    slow, fast = joined(shares), joined(shares)
    shown(shares, clock, slow, 10)
    shown(shares, clock, fast, 1)
    assert not shares.may_take(slow, 1)
    shares.give(fast)
    assert shares.busy
    shares.drop(fast)
    assert not shares.busy
    assert shares.may_take(slow, 1)


def test_whoever_waits_is_woken_by_an_answer() -> None:
    async def wait() -> float:
        shares = Shares()
        share = joined(shares)
        shares.give(share)
        waiting = asyncio.create_task(shares.change(30))
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        shares.settle(share)
        await waiting
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(wait()) < 5


def simulate(paces: list[float], steps: int, ahead: int = 3) -> tuple[float, float]:
    """Do steps on devices of some paces; return when all are done, and when they could be."""
    clock = Clock()
    shares = Shares(clock)
    devices = [joined(shares) for _ in paces]
    left, done, running = steps, 0, []
    while done < steps:
        for number, device in enumerate(devices):
            while left and device.hands < ahead and shares.may_take(device, left):
                if not device.hands:
                    heapq.heappush(running, (clock.now + paces[number], number))
                shares.give(device)
                left -= 1
        assert running, "nobody works, although there is work"
        clock.now, number = heapq.heappop(running)
        shares.settle(devices[number])
        done += 1
        if devices[number].hands:
            heapq.heappush(running, (clock.now + paces[number], number))
    # Steps of equal size are best given to whoever would be through with them first.
    ends = [(pace, pace) for pace in paces]
    heapq.heapify(ends)
    best = 0.0
    for _ in range(steps):
        best, pace = heapq.heappop(ends)
        heapq.heappush(ends, (best + pace, pace))
    return clock.now, best


@given(
    st.lists(st.floats(0.1, 20), min_size=1, max_size=6),
    st.integers(1, 200),
)
def test_the_work_ends_about_as_soon_as_it_could(paces: list[float], steps: int) -> None:
    took, best = simulate(paces, steps)
    # Whatever a device's pace, it takes one step to show it.
    assert took <= max(best, max(paces)) + 3 * max(paces) + 1e-6


def test_one_device_a_hundred_times_slower_holds_up_nothing() -> None:
    took, best = simulate([1, 1, 1, 100], 303)
    assert took <= best + 3
