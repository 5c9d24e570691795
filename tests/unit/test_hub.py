"""News for clients: all in order for those who read, a snapshot for those who fall behind."""

from __future__ import annotations

import asyncio

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Scanning
from engine.memory.monitor import HostMemory, MemorySample
from engine.worker.hub import Hub, Outbox
from engine.worker.protocol import (
    LINES,
    Answer,
    Goodbye,
    Line,
    Snapshot,
    Telemetry,
    Told,
)


def telemetry(used: int) -> Telemetry:
    host = HostMemory(total=100, used=used, available=100 - used, ours=1)
    return Telemetry(memory=MemorySample(time=0.0, host=host))


def told(number: int) -> Told:
    return Told(job=1, event=Scanning(done=number, total=10**9))


async def drain(outbox: Outbox) -> list[Line]:
    lines = []
    while not outbox.is_empty:
        lines.append(LINES.decode(await outbox.take()))
    return lines


def test_nobody_hears_before_watching_and_then_a_snapshot_comes_first() -> None:
    async def run() -> list[Line]:
        hub, outbox = Hub(), Outbox(lambda: Snapshot(jobs=(), active=7))
        hub.join(outbox)
        hub.publish(told(1))
        outbox.watch()
        hub.publish(told(2))  # the snapshot that is due contains it
        first = LINES.decode(await outbox.take())
        hub.publish(told(3))
        return [first, *await drain(outbox)]

    snapshot, after = asyncio.run(run())
    assert isinstance(snapshot, Snapshot)
    assert snapshot.active == 7
    assert after == told(3)


def test_of_telemetry_only_the_latest_waits() -> None:
    async def run() -> list[Line]:
        hub, outbox = Hub(), Outbox(lambda: Snapshot(jobs=()))
        hub.join(outbox)
        outbox.watch()
        await drain(outbox)
        for number in range(50):
            hub.publish(telemetry(number))
            if number % 10 == 0:
                hub.publish(told(number))
        return await drain(outbox)

    lines = asyncio.run(run())
    assert [line for line in lines if isinstance(line, Telemetry)] == [telemetry(49)]
    assert [line.event.done for line in lines if isinstance(line, Told)] == [0, 10, 20, 30, 40]


def test_who_falls_behind_gets_a_snapshot_and_every_answer() -> None:
    async def run() -> list[Line]:
        hub, outbox = Hub(), Outbox(lambda: Snapshot(jobs=(), active=9))
        hub.join(outbox)
        outbox.watch()
        await drain(outbox)
        for number in range(10_000):
            hub.publish(told(number))
            if number == 5_000:
                outbox.answer(Answer(id=42, value=msgspec.Raw(b"1")))
        hub.publish(Goodbye(reason="the end"))
        return await drain(outbox)

    lines = asyncio.run(run())
    snapshots = [n for n, line in enumerate(lines) if isinstance(line, Snapshot)]
    assert snapshots == [0]
    assert len(lines) < 2_100
    assert [line.id for line in lines if isinstance(line, Answer)] == [42]
    assert lines[-1] == Goodbye(reason="the end")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["tell", "read", "memory"]), max_size=120))
def test_what_is_heard_is_in_order_and_complete_since_the_last_snapshot(acts: list[str]) -> None:
    async def run() -> tuple[list[Line], int]:
        number = 0
        hub, outbox = Hub(), Outbox(lambda: Snapshot(jobs=(), active=number))
        hub.join(outbox)
        outbox.watch()
        heard: list[Line] = []
        for act in acts:
            if act == "tell":
                number += 1
                hub.publish(told(number))
            elif act == "memory":
                hub.publish(telemetry(number % 90))
            elif not outbox.is_empty:
                heard.append(LINES.decode(await outbox.take()))
        return heard + await drain(outbox), number

    heard, last = asyncio.run(run())
    at = 0
    for line in heard:
        if isinstance(line, Snapshot):
            at = line.active
        elif isinstance(line, Told):
            at += 1
            assert isinstance(line.event, Scanning)
            assert line.event.done == at
    assert at == last
