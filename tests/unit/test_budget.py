"""Counting live bytes, and the budget that raises torch's own out-of-memory error."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.memory.budget import LiveBytes
from engine.memory.devices import CudaMemory, HostDeviceMemory, is_out_of_memory, memory_of
from engine.memory.host import HostRoom
from engine.memory.words import gib, share
from tests.video_models import CONFIGS, random_clip, random_encoder

MB = 1_000_000


def floats(count: int) -> torch.Tensor:
    return torch.empty(count, dtype=torch.uint8)


def test_bytes_are_counted_while_they_live() -> None:
    with LiveBytes() as counter:
        first = floats(MB)
        view = first[10:].view(-1, 2)
        assert counter.live == MB
        del first
        assert counter.live == MB
        second = floats(2 * MB)
        assert counter.live == 3 * MB
        second.add_(1)
        assert counter.live == 3 * MB
        del view, second
        assert counter.live == 0
    assert counter.peak == 3 * MB


def test_what_was_there_before_does_not_count() -> None:
    weights, clip = floats(MB), floats(2 * MB)
    with LiveBytes([weights]) as counter:
        counter.ignore([clip])
        views = weights.view(-1, 2), clip[:5]
        assert counter.live == 0
        del views, clip
        # Its memory may be given to this one, which counts.
        other = floats(2 * MB)
        assert counter.live == other.nbytes


def test_a_tree_of_results_counts_and_so_does_each_only_once() -> None:
    with LiveBytes() as counter:
        whole = floats(MB)
        parts = whole.split(MB // 4)
        assert counter.live == MB
        values, indices = torch.sort(whole)
        assert counter.live == MB + values.nbytes + indices.nbytes
        assert len(parts) == 4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_budget_raises_torchs_own_error_and_leaves_nothing_behind(mode: type) -> None:
    counter = LiveBytes(limit=4 * MB)
    with counter, mode():
        kept = floats(3 * MB)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            floats(2 * MB)
        assert str(caught.value) == (
            "allocation budget of 3.8 MiB exceeded: 2.9 MiB in use, 1.9 MiB more asked for"
        )
        del caught
        assert counter.live == 3 * MB == kept.nbytes
        # What fits still fits.
        assert floats(MB).nbytes == MB
    assert counter.peak == 4 * MB


def test_an_encode_that_fails_frees_all_that_it_made() -> None:
    encoder, clip = random_encoder(CONFIGS["2.0"]), random_clip(1, 3, 9, 64, 64)
    ours = [clip, *encoder.parameters(), *encoder.buffers()]
    with LiveBytes(ours) as counter:
        whole = encoder.encode(clip)
    enough, short = LiveBytes(ours, limit=counter.peak), LiveBytes(ours, limit=counter.peak - 1)
    with enough:
        assert torch.equal(encoder.encode(clip), whole)
    try:
        with short:
            encoder.encode(clip)
    except torch.OutOfMemoryError as error:
        problem = error.with_traceback(None)
    assert is_out_of_memory(problem)
    gc.collect()
    assert short.live == 0


def test_tensors_without_memory_use_up_no_limit() -> None:
    with LiveBytes(limit=10):
        model = torch.nn.Linear(1000, 1000, device="meta")
    assert model.weight.is_meta


def test_each_op_is_a_sign_of_life() -> None:
    ticks: list[int] = []
    with LiveBytes(tick=lambda: ticks.append(1)):
        (floats(10) + 1).sum()
    assert len(ticks) >= 3


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"
        ),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
    ],
)
def test_every_kind_of_shortage_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)
    outer = ValueError("cannot be loaded")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


def test_other_errors_are_no_shortage() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    assert not is_out_of_memory(ValueError("out of memory"))


class TestHostDeviceMemory:
    def memory(self, **kwargs: int) -> HostDeviceMemory:
        return HostDeviceMemory(**kwargs, look=lambda: HostRoom(10 * MB, 40 * MB))

    def test_free_is_what_is_available_less_the_reserve(self) -> None:
        assert self.memory(reserve=3 * MB).free() == 7 * MB
        # Never more than a quarter of all is kept in reserve.
        assert self.memory(reserve=30 * MB).free() == 0
        assert self.memory(reserve=30 * MB).most() == 30 * MB

    def test_a_limit_covers_weights_and_tensors(self) -> None:
        memory, weights, owner = self.memory(limit=4 * MB), floats(MB), object()
        assert (memory.free(), memory.total) == (4 * MB, 4 * MB)
        memory.hold(owner, [weights, weights.view(-1, 2)])
        assert (memory.weight_bytes, memory.free()) == (MB, 3 * MB)
        with memory.measure() as meter:
            view = weights[:5]
            assert floats(2 * MB).nbytes + view.nbytes == 2 * MB + 5
            with pytest.raises(torch.OutOfMemoryError):
                floats(3 * MB + 1)
        assert meter.peak == 2 * MB
        memory.drop(owner)
        assert memory.free() == 4 * MB


class FakeCuda:
    """What a GPU of 8 GB, of which others hold 2 GB, answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allocated, self.reserved, self.others = MB, 2 * MB, 2_000 * MB
        self.most = 0
        self.calls: list[tuple[str, object]] = []
        size = 8_000 * MB

        def patch(name: str, value: object) -> None:
            monkeypatch.setattr(torch.cuda, name, value)

        def note(name: str) -> None:
            patch(name, lambda *args: self.calls.append((name, args)))

        for name in ("set_device", "set_per_process_memory_fraction", "reset_peak_memory_stats"):
            note(name)
        note("empty_cache")
        patch("mem_get_info", lambda _: (size - self.others - self.reserved, size))
        patch("memory_allocated", lambda _: self.allocated)
        patch("memory_reserved", lambda _: self.reserved)
        patch("max_memory_allocated", lambda _: self.most)


class TestCudaMemory:
    device = torch.device("cuda", 1)

    def test_it_touches_the_device_only_when_it_is_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cuda = FakeCuda(monkeypatch)
        memory = memory_of(self.device, reserve=500 * MB)
        assert isinstance(memory, CudaMemory)
        assert cuda.calls == []
        # What others left, and what torch holds without using it, less the reserve.
        assert memory.free() == (6_000 - 1 - 500) * MB
        assert cuda.calls == [
            ("set_device", (self.device,)),
            ("set_per_process_memory_fraction", (1.0, self.device)),
        ]
        assert memory.total == 8_000 * MB
        cuda.others = 7_900 * MB
        assert memory.free() == 0
        assert memory.most() == 8_000 * MB - (600 << 20) - MB - 500 * MB

    def test_a_limit_is_a_fraction_of_the_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda = FakeCuda(monkeypatch)
        memory = CudaMemory(self.device, limit=1_000 * MB)
        assert memory.free() == 999 * MB
        assert memory.total == 1_000 * MB
        assert cuda.calls[-1] == ("set_per_process_memory_fraction", (0.125, self.device))

    def test_the_peak_leaves_out_what_was_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda = FakeCuda(monkeypatch)
        memory = CudaMemory(self.device)
        with memory.measure() as meter:
            cuda.most = 41 * MB
            assert meter.peak == 40 * MB
        memory.release()
        assert cuda.calls[-1] == ("empty_cache", ())


def test_words() -> None:
    assert gib(33_500_000_000) == "31.2 GiB"
    assert gib(12_582_912) == "12.0 MiB"
    assert share(1 << 29, 8 << 30) == "0.5 of 8.0 GiB"
    assert share(1 << 20, 8 << 30) == "1.0 MiB of 8.0 GiB"


def test_an_error_that_a_library_makes_of_it_is_told_as_what_it_was() -> None:
    def library() -> None:
        try:
            floats(MB)
        except torch.OutOfMemoryError:
            raise ValueError("no idea") from None

    with pytest.raises(torch.OutOfMemoryError, match=r"0\.0 MiB exceeded"), LiveBytes(limit=10):
        library()
    with pytest.raises(ValueError, match="of its own"), LiveBytes(limit=10):
        raise ValueError("of its own")


def test_counting_does_not_load_the_compiler() -> None:
    """Torch would, at the first op: seconds in the start of every encoder on a CPU."""
    code = (
        "import sys, torch; from engine.memory.budget import LiveBytes\n"
        "with LiveBytes() as counter: torch.zeros(8).add(1)\n"
        "assert counter.peak == 64, counter.peak\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
