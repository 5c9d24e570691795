"""Copies to a device: their order on its streams, and the memory that they come from."""

from __future__ import annotations

import contextlib
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from engine.models.pinned import HostMemory
from engine.models.upload import Uploader

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
MIB = 1 << 20


class Recorder:
    """A lane that writes down what is asked of it; copies are done at once."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._marks = 0

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        self.calls.append("copy")
        yield
        self.calls.append("end")

    def mark(self) -> int:
        assert self.calls[-1] == "copy"  # before it is over, and after the copies
        self._marks += 1
        return self._marks

    def wait(self, mark: object) -> None:
        self.calls.append(f"wait {mark}")


def clip(frames: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.rand((3, frames, 4, 6), generator=torch.Generator().manual_seed(seed))


def in_parts(*clips: torch.Tensor, calls: list[str] | None = None) -> Iterator[list[torch.Tensor]]:
    for start in range(0, clips[0].shape[1], 8):
        if calls is not None:
            calls.append(f"read {start}")
        yield [one[:, start : start + 8] for one in clips]


def test_the_next_piece_travels_while_the_present_one_is_used() -> None:
    lane, one = Recorder(), clip()
    arrived = []
    for piece in Uploader(CPU, lane).pieces(in_parts(one, calls=lane.calls)):
        lane.calls.append("use")
        arrived.append(piece)
    assert torch.equal(torch.cat(arrived, dim=2), one[None])
    assert lane.calls == [
        *("read 0", "copy", "end"),
        *("read 8", "copy", "end", "wait 1", "use"),
        *("read 16", "copy", "end", "wait 2", "use"),
        *("wait 3", "use"),
    ]


def test_where_memory_is_short_each_piece_travels_when_it_is_asked_for() -> None:
    lane, one = Recorder(), clip()
    for _ in Uploader(CPU, lane).pieces(in_parts(one), ahead=False):
        lane.calls.append("use")
    assert lane.calls == [
        call for number in (1, 2, 3) for call in ("copy", "end", f"wait {number}", "use")
    ]


def test_memory_is_not_handed_out_again_before_the_copies_into_it_are_over() -> None:
    lane = Recorder()
    pieces = Uploader(CPU, lane).pieces(in_parts(clip()))
    next(pieces)
    assert lane.calls[-1] == "wait 1"
    pieces.close()
    # The second one is on its way and nobody will use it.
    assert lane.calls[-1] == "wait 2"
    assert len(lane.calls) == 6


def test_an_error_on_the_way_leaves_no_copy_behind() -> None:
    lane = Recorder()

    def use() -> None:
        for _ in Uploader(CPU, lane).pieces(in_parts(clip())):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        use()
    gc.collect()
    assert lane.calls == ["copy", "end", "copy", "end", "wait 1", "wait 2"]


def test_a_piece_is_held_by_nobody_but_its_user() -> None:
    for lane in (Recorder(), None):
        pieces = Uploader(CPU, lane).pieces(in_parts(clip(), clip(seed=1)))
        seen = weakref.ref(next(pieces))
        assert seen() is None


def test_clips_travel_together_and_part_by_part_where_they_are_not_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources: list[torch.Tensor] = []
    copy = torch.Tensor.copy_

    def copying(place: torch.Tensor, source: torch.Tensor, **more: Any) -> torch.Tensor:
        sources.append(source)
        assert more == {"non_blocking": True}
        return copy(place, source)

    clips = [clip(9, seed) for seed in range(3)]
    monkeypatch.setattr(torch.Tensor, "copy_", copying)
    first, last = Uploader(CPU, Recorder()).pieces(in_parts(*clips))
    whole = torch.stack(clips)
    assert torch.equal(first, whole[:, :, :8])
    assert torch.equal(last, whole[:, :, 8:])
    # Torch would bring the others together first, in memory that is not pinned.
    assert all(source.is_contiguous() for source in sources)
    assert len(sources) == 2 * 3 * 3
    sources.clear()
    (found,) = Uploader(CPU, Recorder()).pieces([clips])
    assert (len(sources), torch.equal(found, whole)) == (3, True)


def test_on_the_cpu_nothing_is_copied() -> None:
    one = clip()
    up = Uploader(CPU)
    starts = [piece.data_ptr() for piece in up.pieces(in_parts(one))]
    assert starts == [one[:, at:].data_ptr() for at in (0, 8, 16)]


class Pinned:
    """Stands for pinned memory: counts what was asked for, and has so many bytes."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.most = most
        self.asked: list[int] = []
        self.given_back = 0
        self._pinned: list[weakref.ref[torch.Tensor]] = []

    def pin(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        assert device == GPU
        found = torch.empty(shape, dtype=dtype)
        self.asked.append(found.nbytes)
        if sum(self.asked) > self.most:
            raise RuntimeError("CUDA error: out of memory")
        self._pinned.append(weakref.ref(found))
        return found

    def has(self, tensor: torch.Tensor) -> bool:
        return any(one() is tensor for one in self._pinned)

    def give_back(self) -> None:
        self.given_back += 1

    def memory(self, limit: int, device: torch.device = GPU) -> HostMemory:
        return HostMemory(device, limit, pin=self.pin, give_back=self.give_back)


def test_pinned_memory_is_counted_as_torch_takes_it() -> None:
    memory = Pinned().memory(8 * MIB)
    assert [memory.bytes_for(size) for size in (1, MIB, MIB + 1, 5 * MIB, 8 * MIB + 1)] == [
        *(1, MIB, 2 * MIB, 8 * MIB, 8 * MIB + 1)
    ]
    # Nothing is pinned for the CPU.
    assert Pinned().memory(8 * MIB, CPU).bytes_for(5 * MIB) == 5 * MIB


def test_no_more_is_pinned_than_the_limit_and_what_is_free_is_used_again() -> None:
    system = Pinned()
    memory = system.memory(4 * MIB)
    shape = (3, MIB // 2)  # 1.5 MiB, for which torch takes 2
    held = [memory.empty(shape, torch.uint8) for _ in range(3)]
    assert [system.has(one) for one in held] == [True, True, False]
    assert (memory.pinned_bytes, held[2].shape, held[2].dtype) == (4 * MIB, shape, torch.uint8)
    del held[0]
    held.append(memory.empty(shape, torch.uint8))
    assert system.has(held[-1])
    assert memory.pinned_bytes == 4 * MIB
    # Of another size: what nobody uses goes back first.
    del held[0]
    before = system.given_back
    other = memory.empty((MIB,), torch.uint8)
    assert (system.has(other), system.given_back) == (True, before + 1)
    assert memory.pinned_bytes == 3 * MIB
    del held, other
    memory.release()
    assert (memory.pinned_bytes, system.given_back) == (0, before + 2)
    memory.release()
    assert system.given_back == before + 2


def test_a_view_of_a_clip_keeps_its_memory() -> None:
    system = Pinned()
    memory = system.memory(2 * MIB)
    view = memory.empty((2, MIB), torch.uint8)[1:]
    assert not system.has(memory.empty((MIB,), torch.uint8))
    del view
    assert system.has(memory.empty((2 * MIB,), torch.uint8))


def test_what_cannot_be_pinned_is_plain_memory_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    system = Pinned(most=3 * MIB)
    memory = system.memory(64 * MIB)
    with caplog.at_level(logging.WARNING):
        held = [memory.empty((2 * MIB,), torch.uint8) for _ in range(4)]
    assert [system.has(one) for one in held] == [True, False, False, False]
    assert len(system.asked) == 2
    (record,) = caplog.records
    assert "memory cannot be pinned" in record.getMessage()
    # What is there is still used.
    held.clear()
    assert memory.empty((2 * MIB,), torch.uint8).shape == (2 * MIB,)
    assert len(system.asked) == 3
