"""The guard's choices, on a device that has what the test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from engine.memory.guard import Guard
from engine.memory.peaks import Peak
from engine.memory.ways import CancelledError, MemoryShortError, Report, Way

GIB = 1 << 30
SHAPE = "960x544x121"


class Device:
    """A device's memory: work that needs more than there is runs out of it."""

    def __init__(self, free: float = 22, most: float = 24) -> None:
        self.room = round(free * GIB)
        self.limit = round(most * GIB)
        self.released = 0

    @property
    def total(self) -> int:
        return self.limit

    def free(self) -> int:
        return self.room

    def most(self) -> int:
        return self.limit

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def measure(self) -> Iterator[Used]:
        yield Used()

    def release(self) -> None:
        self.released += 1

    def is_shortage(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)


class Used:
    """What a piece of work took."""

    def __init__(self) -> None:
        self.peak = 0

    def ignore(self, tensors: Iterable[object]) -> None:
        pass


class Told(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rungs: list[str] = []
        self.waits = 0
        self.ticks = 0

    def guarded(self, step: int, rung: str, text: str, *, waiting: bool = False) -> None:
        self.lines.append(text)
        self.rungs.append(rung)
        self.waits += waiting

    def tick(self) -> None:
        self.ticks += 1


class Clock:
    """Time passes only while somebody sleeps; things may happen then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[float], object] = lambda _: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep(self.now)


class World:
    """A guard with everything around it, and three rungs on a GPU before one on the CPU."""

    needs = (("one-shot", 31.2), ("stream 16", 9.4), ("lean 8", 0.8))

    def __init__(
        self,
        gpu: Device | None = None,
        *,
        wait: float = 0,
        cpu: Device | None = None,
        peaks: Iterable[Peak] = (),
    ) -> None:
        self.gpu, self.cpu = gpu or Device(), cpu
        self.told, self.clock = Told(), Clock()
        self.guard = Guard(
            wait=wait, report=self.told, peaks=peaks, clock=self.clock, sleep=self.clock.sleep
        )
        # What the ways really take, in GiB; as forecast where nothing is said.
        self.truth: dict[str, float] = {}
        self.ran: list[str] = []
        self.learned: list[tuple[str, int, bool]] = []
        self.loaded: list[str] = []

    def ways(self) -> list[Way[str]]:
        places = [(self.gpu, name, need) for name, need in self.needs]
        if self.cpu is not None:
            places.append((self.cpu, "one-shot on CPU", 31.2))
        return [self.way(memory, name, need) for memory, name, need in places]

    def way(self, memory: Device, name: str, need: float) -> Way[str]:
        def run(meter: Used) -> str:
            self.ran.append(name)
            taken = round(self.truth.get(name, need) * GIB)
            if taken > memory.room:
                raise MemoryError
            meter.peak = taken
            return f"by {name}"

        return Way(
            name=name,
            memory=memory,
            run=run,  # type: ignore[arg-type]
            ready=lambda: self.loaded.append(name),
            need=round(need * GIB),
            fallback=memory is self.cpu,
            learn=lambda size, fits: self.learned.append((name, size, fits)),
        )

    def do(self, *, lower: int = 0, cancelled: Callable[[], bool] = lambda: False) -> str:
        done = self.guard.run(SHAPE, self.ways(), step=5, lower=lower, cancelled=cancelled)
        assert done.result == f"by {done.rung}"
        assert self.ways()[done.at].name == done.rung
        return done.rung


def test_the_fastest_way_is_taken_without_a_word_where_it_fits() -> None:
    world = World(Device(40))
    assert world.do() == "one-shot"
    assert world.told.lines == []
    assert world.guard.take_learned() == (
        Peak(shape=SHAPE, rung="one-shot", bytes=round(31.2 * GIB)),
    )
    assert world.guard.take_learned() == ()
    assert world.learned == [("one-shot", round(31.2 * GIB), True)]


def test_the_forecast_decides_and_is_told_once_for_a_shape() -> None:
    world = World(Device(22))
    assert [world.do() for _ in range(3)] == ["stream 16"] * 3
    assert world.ran == ["stream 16"] * 3
    assert world.told.lines == [
        "stepped down to stream 16 (one-shot needs 31.2 GiB, 22.0 GiB free)"
    ]
    assert world.told.rungs == ["stream 16"]


def test_it_goes_up_again_when_others_give_their_memory_back() -> None:
    world = World(Device(5))
    assert world.do() == "lean 8"
    world.gpu.room = 22 * GIB
    assert world.do() == "stream 16"
    world.gpu.room = 40 * GIB
    assert world.do() == "one-shot"
    assert world.do() == "one-shot"
    assert world.told.lines[1:] == [
        "stepped down to stream 16 (one-shot needs 31.2 GiB, 22.0 GiB free)",
        "goes on with one-shot: 40.0 GiB free",
    ]


def test_running_out_of_memory_steps_down_frees_and_is_remembered() -> None:
    world = World(Device(22))
    world.truth["stream 16"] = 23
    assert world.do() == "lean 8"
    assert world.gpu.released == 1
    assert world.do() == "lean 8"
    assert world.ran == ["stream 16", "lean 8", "lean 8"]
    assert world.told.lines == [
        "stepped down to stream 16 (one-shot needs 31.2 GiB, 22.0 GiB free)",
        "stepped down to lean 8 (stream 16 ran out of memory, 22.0 GiB were free)",
    ]
    assert Peak(shape=SHAPE, rung="stream 16", bytes=22 * GIB, fits=False) in (
        world.guard.take_learned()
    )
    assert world.learned[0] == ("stream 16", 22 * GIB, False)
    # Somewhat more than was not enough is not tried; a tenth more is.
    world.gpu.room = round(24.1 * GIB)
    assert world.do() == "lean 8"
    world.gpu.room = round(24.3 * GIB)
    assert world.do() == "stream 16"


def test_the_fastest_way_that_ran_out_of_memory_is_named() -> None:
    world = World(Device(40))
    world.truth["one-shot"] = 41
    assert world.do() == "stream 16"
    assert world.told.lines == [
        "stepped down to stream 16 (one-shot ran out of memory, 40.0 GiB were free)"
    ]


def test_what_was_learned_before_counts() -> None:
    failed = Peak(shape=SHAPE, rung="one-shot", bytes=40 * GIB, fits=False)
    seen = Peak(shape=SHAPE, rung="stream 16", bytes=23 * GIB)
    assert World(Device(40), peaks=[failed]).do() == "stream 16"
    assert World(Device(22), peaks=[failed, seen]).do() == "lean 8"


def test_memory_that_others_took_meanwhile_does_not_count_against_a_way() -> None:
    world = World(Device(22))
    ways = world.ways()

    def taken(_: object) -> str:
        world.gpu.room = 2 * GIB
        raise MemoryError

    ways[1] = Way(name="stream 16", memory=world.gpu, run=taken, need=ways[1].need)
    assert world.guard.run(SHAPE, ways).rung == "lean 8"
    (failed, _) = world.guard.take_learned()
    assert (failed.fits, failed.bytes) == (False, 2 * GIB)
    world.gpu.room = 22 * GIB
    assert world.do() == "stream 16"


def test_other_errors_are_not_its_business() -> None:
    world = World()

    def broken(_: object) -> str:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        world.guard.run(SHAPE, [Way(name="one-shot", memory=world.gpu, run=broken)])


def test_memory_of_others_is_waited_for() -> None:
    world = World(Device(0.3), wait=600, cpu=Device(100, 100))

    def give_back(now: float) -> None:
        if now >= 40:
            world.gpu.room = 22 * GIB

    world.clock.on_sleep = give_back
    assert world.do() == "stream 16"
    assert world.clock.now == 40
    assert world.told.ticks == 20
    assert world.told.waits == 1
    assert world.told.lines == [
        "waits for memory that others hold: lean 8 needs 0.8 GiB, 0.3 of 24.0 GiB free",
        "stepped down to stream 16 (one-shot needs 31.2 GiB, 22.0 GiB free)",
    ]
    assert world.told.rungs == ["", "stream 16"]


def test_a_wait_in_vain_ends_on_the_cpu_and_is_not_repeated() -> None:
    world = World(Device(0.3), wait=60, cpu=Device(100, 100))
    assert world.do() == "one-shot on CPU"
    assert world.clock.now == 60
    assert world.told.lines[-1] == (
        "stepped down to one-shot on CPU (lean 8 needs 0.8 GiB, 0.3 GiB free)"
    )
    assert world.do() == "one-shot on CPU"
    assert world.clock.now == 60
    # Once the device was good for something, it is worth waiting for again.
    world.gpu.room = GIB
    assert world.do() == "lean 8"
    world.gpu.room = 0
    assert world.do() == "one-shot on CPU"
    assert world.clock.now == 120


def test_nobody_waits_for_what_the_device_never_had() -> None:
    world = World(Device(0.3, 0.5), wait=600, cpu=Device(100, 100))
    assert world.do() == "one-shot on CPU"
    assert world.clock.now == 0
    assert world.loaded == ["one-shot on CPU"]


def test_nor_for_memory_that_was_not_enough() -> None:
    world = World(Device(22, 24), wait=600, cpu=Device(100, 100))
    world.truth = {"stream 16": 99, "lean 8": 99}
    assert world.do() == "one-shot on CPU"
    assert world.clock.now == 0


def test_cancel_ends_a_wait() -> None:
    world = World(Device(0.3), wait=600)
    with pytest.raises(CancelledError):
        world.do(cancelled=lambda: world.clock.now >= 10)
    assert world.clock.now == 10


def test_without_any_way_it_fails_with_the_figures() -> None:
    world = World(Device(0.3, 8))
    with pytest.raises(MemoryShortError) as caught:
        world.do()
    assert caught.value.headline == "needs at least 0.8 GiB in any way, 0.3 of 8.0 GiB free"
    world = World(Device(0.3, 8), cpu=Device(2, 16))
    with pytest.raises(MemoryShortError) as caught:
        world.do()
    assert caught.value.headline == (
        "needs at least 0.8 GiB in any way, 0.3 of 8.0 GiB free; "
        "at least 31.2 GiB on the CPU, 2.0 of 16.0 GiB free"
    )
    assert world.ran == []


def test_when_all_ways_run_out_what_there_was_is_told() -> None:
    world = World(Device(22))
    world.truth = {"stream 16": 99, "lean 8": 99}
    with pytest.raises(MemoryShortError, match=r"at least 22\.0 GiB in any way"):
        world.do()
    assert world.ran == ["stream 16", "lean 8"]
    assert [peak.fits for peak in world.guard.take_learned()] == [False, False]


def test_it_begins_lower_after_an_encoder_died() -> None:
    world = World(Device(40), cpu=Device(100, 100))
    assert world.do(lower=1) == "stream 16"
    assert world.told.lines == [
        "stepped down to stream 16 (an encoder process ended while it worked on it)"
    ]
    assert world.do(lower=2) == "lean 8"
    assert world.do(lower=3) == "one-shot on CPU"
    assert world.do(lower=9) == "one-shot on CPU"
    assert World(Device(40)).do(lower=9) == "lean 8"
    # Counted from the first that fits.
    assert World(Device(22)).do(lower=1) == "lean 8"


def test_what_it_would_begin_with_can_be_asked() -> None:
    world = World(Device(22), cpu=Device(100, 100))
    assert world.guard.begins(SHAPE, world.ways()) == "stream 16"
    assert world.guard.begins(SHAPE, world.ways(), 2) == "one-shot on CPU"
    assert world.guard.begins(SHAPE, world.ways()[:1]) == ""
    world.gpu.room = 0
    assert world.guard.begins(SHAPE, world.ways()) == "one-shot on CPU"
    assert World(Device(0), wait=9).guard.begins(SHAPE, world.ways()) == ""
    assert (world.ran, world.told.lines) == ([], [])


def test_without_a_forecast_a_way_is_tried_and_what_was_seen_counts() -> None:
    world = World(Device(22))
    ways = [
        Way(name=name, memory=world.gpu, run=world.way(world.gpu, name, need).run)
        for name, need in (("batch 8", 5.0), ("one at a time", 1.0))
    ]
    assert world.guard.run("8 prompts", ways).rung == "batch 8"
    world.gpu.room = 4 * GIB
    assert world.guard.run("8 prompts", ways).rung == "one at a time"
    assert world.ran == ["batch 8", "one at a time"]
    assert world.guard.run("others", ways).rung == "one at a time"
    assert world.ran[2:] == ["batch 8", "one at a time"]


def test_one_way_is_no_choice_and_nothing_to_remember() -> None:
    world = World(Device(40))
    done = world.guard.run(SHAPE, world.ways()[:1])
    assert (done.rung, done.peak) == ("", round(31.2 * GIB))
    assert world.guard.take_learned() == ()


def test_memory_that_comes_and_goes_does_not_keep_it_for_ever() -> None:
    world = World(Device(22), wait=1e9)

    def runs_out(_: object) -> str:
        world.ran.append("x")
        world.gpu.room = 0
        raise MemoryError

    world.clock.on_sleep = lambda _: setattr(world.gpu, "room", 22 * GIB)
    ways = [Way(name=name, memory=world.gpu, run=runs_out, need=GIB) for name in ("a", "b")]
    with pytest.raises(MemoryShortError):
        world.guard.run(SHAPE, ways)
    assert 2 <= len(world.ran) <= 6
