"""Uploading and scaling on a real GPU: the bits of the CPU, and copies beside the encode.

Run it where there is one: `pytest tests/unit/test_upload_gpu.py -s` prints what adds up rightly
there, how long copies and a load take alone and together, and the true memory of scaling.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.media.bicubic import Bags
from engine.media.fused import fused, fused_sums
from engine.media.geometry import fit
from engine.media.on_device import OnDevice
from engine.media.source_frames import SourceFrames
from engine.models.pinned import HostMemory
from engine.models.upload import Uploader
from engine.precompute.stages.video import VideoStage
from tests.small_set import write_clip
from tests.stage_guards import Models, go_on, latents, nobody
from tests.unit.test_on_device import by_cpu, cut, pictures, planned, unfused
from tests.unit.test_scale_on import FRAMES, SIZE, setup_of, step_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

GPU = torch.device("cuda", 0)
GIB = 1 << 30
SIZES = [(1920, 1080), (1280, 720), (640, 360), (1080, 1920), (320, 180), (101, 181), (960, 544)]


@pytest.mark.parametrize("size", SIZES)
def test_a_gpu_scales_with_the_bits_of_the_cpu(size: tuple[int, int]) -> None:
    how = planned(*size, fit(*size, 960, 544, "random", seed=1, crop_key="a"))
    there = OnDevice(GPU)
    assert there.can(how)
    print(size, [getattr(one, "__name__", "") for one in there._sums.values()])
    found = pictures(5, size[1], size[0])
    clip = cut(found, how)
    (whole,) = Uploader(GPU).pieces([[clip.frames]])
    out = torch.empty(clip.shape, dtype=clip.dtype, device=GPU)
    step = there.frames(how)
    torch.cuda.reset_peak_memory_stats(GPU)
    before = torch.cuda.memory_allocated(GPU)
    for at in range(0, 5, step):
        there.scale(whole[0, at : at + step], how, out[:, at : at + step])
    peak = torch.cuda.max_memory_allocated(GPU) - before
    print(f"  {peak / 2**20:.0f} of {there.most_bytes(how) / 2**20:.0f} MiB")
    assert torch.equal(out.cpu(), by_cpu(found, how))
    # The allocator rounds up to 512 bytes, and what is large to 2 MiB.
    assert peak <= there.most_bytes(how) + (32 << 20)


def test_both_ways_of_adding_up_are_right_and_a_third_is_not() -> None:
    how = planned(320, 180, fit(320, 180, 96, 64))
    assert how.across is not None
    table = torch.rand((how.across.high - how.across.low, 500))
    wanted = torch.cat([part for _, part in how.across.scaled(table)])
    for sums, right in ((Bags.sums, True), (fused_sums, True), (unfused, False)):
        axis = how.across if sums is unfused else how.across.to(GPU)
        place = table if sums is unfused else table.to(GPU)
        found = torch.cat([part for _, part in axis.scaled(place, sums)]).cpu()
        assert torch.equal(found, wanted) == right, sums


def test_fused_out_of_plain_operations_is_the_same_there() -> None:
    source = torch.Generator().manual_seed(0)
    values = [torch.rand(1_000_000, generator=source) * 2 - 1 for _ in range(3)]
    there = fused(*(value.to(GPU) for value in values)).cpu()
    assert torch.equal(there, fused(*values))


def test_pinned_memory_is_pinned_and_taken_as_it_is_counted() -> None:
    memory = HostMemory(GPU, GIB)
    size = 40 << 20
    before = torch.cuda.host_memory_stats()["allocated_bytes.current"]
    tensor = memory.empty((size,), torch.uint8)
    assert tensor.is_pinned()
    assert not memory.empty((GIB + 1,), torch.uint8).is_pinned()
    taken = torch.cuda.host_memory_stats()["allocated_bytes.current"] - before
    assert taken in (size, memory.bytes_for(size))
    del tensor
    memory.release()
    assert memory.pinned_bytes == 0


def test_parts_arrive_whole_however_the_gpu_is_kept_busy() -> None:
    """Each part is used late, behind a load: what was written over in the meantime would show."""
    shape = (3, 97, 544, 960)
    clip = HostMemory(GPU, 2 * GIB).empty(shape, torch.bfloat16)
    clip.copy_(torch.rand(shape))
    plain = clip.clone()
    assert not plain.is_pinned()
    matrix = torch.rand((4096, 4096), device=GPU)
    for source in (clip, plain):
        for _ in range(3):
            parts = ([source[:, at : at + 8]] for at in range(0, 97, 8))
            kept = []
            for part in Uploader(GPU).pieces(parts):
                for _ in range(5):
                    torch.mm(matrix, matrix)
                kept.append((part * 1).cpu() if len(kept) % 3 else part * 1)
                torch.empty_like(part).fill_(-7)
                del part
            assert torch.equal(torch.cat([one.cpu() for one in kept], dim=2)[0], plain)


def test_copies_run_beside_the_load() -> None:
    shape = (3, 193, 544, 960)
    clip = HostMemory(GPU, 4 * GIB).empty(shape, torch.bfloat16)
    clip.zero_()
    assert clip.is_pinned()
    matrix, uploader = torch.rand((4096, 4096), device=GPU), Uploader(GPU)

    def load(times: int) -> None:
        for _ in range(times):
            torch.mm(matrix, matrix)

    def copies(times: int) -> None:
        for part in uploader.pieces([clip[:, at : at + 16]] for at in range(0, 193, 16)):
            load(times)
            part.mul_(1)

    load(20)
    copies(0)
    alone = _seconds(lambda: copies(0))
    times = max(1, round(alone / _seconds(lambda: load(100)) * 100 / 13))
    busy = _seconds(lambda: load(13 * times))
    both = _seconds(lambda: copies(times))
    print(f"copies {alone:.4f} s, load {busy:.4f} s, both {both:.4f} s")
    assert both < 0.8 * (alone + busy)


def test_a_stage_makes_the_same_latents_in_both_ways(models: Models, tmp_path: Path) -> None:
    for number, size in enumerate([(144, 96), SIZE]):
        write_clip(tmp_path / f"{number}.mp4", size=size, count=FRAMES + 2, sound=False)
    steps = [step_of(tmp_path / f"{number}.mp4") for number in range(2)]
    for chunk in (0, 8):
        found = []
        for place in ("cpu", "device"):
            setup = setup_of(models, device="cuda", scale_on=place, chunk=chunk)
            stage = VideoStage(setup, nobody)
            stage.open()
            prepared = [stage.prepare(step) for step in steps]
            kept = [isinstance(one, SourceFrames) for one in prepared]
            assert kept == [place == "device", True]
            found.append([one.cpu() for one in latents(stage.make(steps, prepared, go_on))])
            stage.close()
        assert all(map(torch.equal, *found))


def _seconds(run: Callable[[], object]) -> float:
    torch.cuda.synchronize(GPU)
    began = time.perf_counter()
    run()
    torch.cuda.synchronize(GPU)
    return time.perf_counter() - began
