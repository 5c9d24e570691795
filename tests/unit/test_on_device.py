"""Scaling on a device has the bits of the CPU, or is left to it. The CPU stands for the device."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.media import bicubic, on_device
from engine.media.bicubic import Bags
from engine.media.fused import fused, fused_sums
from engine.media.geometry import Geometry, fit
from engine.media.on_device import OnDevice, plan
from engine.media.source_frames import Scaling, SourceFrames
from engine.media.to_bucket import ToBucket
from engine.memory.budget import LiveBytes

CPU = torch.device("cpu")

vectors = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch has to scale on this processor",
)
pytestmark = vectors


def pictures(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    source = np.random.default_rng(seed)
    return source.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def cut(found: np.ndarray, how: Scaling, dtype: torch.dtype = torch.bfloat16) -> SourceFrames:
    (top, bottom), (left, right) = how.rows, how.columns
    kept = np.ascontiguousarray(found[:, top:bottom, left:right])
    return SourceFrames(torch.from_numpy(kept), how, dtype)


def scaled_there(device: OnDevice, clip: SourceFrames) -> torch.Tensor:
    out = torch.empty(clip.shape, dtype=clip.dtype)
    step = device.frames(clip.scaling)
    for at in range(0, len(clip.frames), step):
        device.scale(clip.frames[at : at + step], clip.scaling, out[:, at : at + step])
    return out


def by_cpu(found: np.ndarray, how: Scaling, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    to_bucket = ToBucket(how.size[1], how.size[0], how.place)
    place = how.place
    clip = torch.empty((3, len(found), place.crop_height, place.crop_width), dtype=dtype)
    for number, picture in enumerate(found):
        to_bucket(picture, clip[:, number])
    return clip


def planned(width: int, height: int, place: Geometry) -> Scaling:
    how = plan(width, height, place)
    assert how is not None
    return how


@pytest.fixture(params=[Bags.sums, fused_sums], ids=["bags", "plain operations"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OnDevice:
    monkeypatch.setattr(on_device, "_WAYS", (request.param,))
    return OnDevice(CPU)


SIZES = [(320, 180), (101, 181), (67, 131), (50, 33), (96, 64), (96, 90), (131, 64), (500, 70)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reshape", ["center", "random"])
@pytest.mark.parametrize("size", SIZES)
def test_frames_have_the_bits_of_the_cpu(
    device: OnDevice, size: tuple[int, int], reshape: str, dtype: torch.dtype
) -> None:
    how = planned(*size, fit(*size, 96, 64, reshape, seed=3, crop_key="a"))
    found = pictures(9, size[1], size[0])
    clip = cut(found, how, dtype)
    assert device.can(how)
    wanted = by_cpu(found, how, dtype)
    assert torch.equal(scaled_there(device, clip), wanted)
    assert torch.equal(clip.scaled(2, 5), wanted[:, 2:5])


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    bucket=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    reshape=st.sampled_from(["center", "random"]),
    way=st.sampled_from([Bags.sums, fused_sums]),
    seed=st.integers(0, 100),
)
def test_any_size_has_the_bits_of_the_cpu_or_is_left_to_it(
    width: int, height: int, bucket: tuple[int, int], reshape: str, way: bicubic.Sums, seed: int
) -> None:
    place = fit(width, height, 32 * bucket[0], 32 * bucket[1], reshape, seed=seed, crop_key="a")
    assume(place.width * place.height < 1 << 21)
    how = plan(width, height, place)
    if how is None:
        # A direction that torch scales in another order than is copied here.
        assert None in (
            bicubic.axis(width, place.width, 0, 1, 1),
            bicubic.axis(height, place.height, 0, 1, 1),
        )
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "_WAYS", (way,))
        there = OnDevice(CPU)
        assert there.can(how)
    found = pictures(2, height, width, seed)
    assert torch.equal(scaled_there(there, cut(found, how)), by_cpu(found, how))


@pytest.mark.parametrize("size", [(640, 360), (96, 64), (96, 301), (200, 2000), (20, 14)])
def test_it_takes_no_more_memory_than_it_says(device: OnDevice, size: tuple[int, int]) -> None:
    how = planned(*size, fit(*size, 96, 64))
    assert device.can(how)
    clip = cut(pictures(device.frames(how), size[1], size[0]), how)
    out = torch.empty(clip.shape, dtype=clip.dtype)
    with LiveBytes([clip.frames, out]) as counter:
        device.scale(clip.frames, how, out)
    assert counter.peak <= device.most_bytes(how)
    if on_device._WAYS[0] is Bags.sums:
        assert counter.peak >= 0.5 * device.most_bytes(how)


def test_large_sources_are_scaled_a_few_frames_at_a_time() -> None:
    frames = {
        size: OnDevice.frames(planned(*size, fit(*size, 960, 544)))
        for size in ((640, 360), (1920, 1080), (3840, 2160))
    }
    assert frames == {(640, 360): 8, (1920, 1080): 2, (3840, 2160): 1}
    how = planned(3840, 2160, fit(3840, 2160, 960, 544))
    assert OnDevice(CPU).most_bytes(how) < 256 << 20


def wrong_by_one_bit(bags: Bags, table: torch.Tensor) -> torch.Tensor:
    """Sum up in the right way, but for one value in the middle."""
    sums = bags.sums(table)
    middle = sums[len(sums) // 2, :1]
    sums[len(sums) // 2, :1] = torch.nextafter(middle, middle + 1)
    return sums


def unfused(bags: Bags, table: torch.Tensor) -> torch.Tensor:
    """Round each product before it is added, as a device without fused sums would."""
    ends: Sequence[int] = [*bags.starts.tolist()[1:], len(bags.rows)]
    sums = torch.zeros((len(ends), table.shape[1]))
    for number, (start, end) in enumerate(zip(bags.starts.tolist(), ends, strict=True)):
        for tap in range(start, end):
            product = table[int(bags.rows[tap])] * bags.weights[tap]
            sums[number] = sums[number] + product
    return sums


def missing(bags: Bags, table: torch.Tensor) -> torch.Tensor:
    """Be an operation that the device does not have."""
    raise NotImplementedError(f"{len(bags.rows)} rows of {table.shape[1]}")


@pytest.mark.parametrize("wrong", [wrong_by_one_bit, unfused, missing])
def test_other_bits_are_noticed_and_told_once(
    wrong: bicubic.Sums, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    how = planned(120, 90, fit(120, 90, 64, 32))
    # What the device itself does is left for what it can be made to do.
    monkeypatch.setattr(on_device, "_WAYS", (wrong, fused_sums))
    there = OnDevice(CPU)
    assert there.can(how)
    found = pictures(3, 90, 120)
    assert torch.equal(scaled_there(there, cut(found, how)), by_cpu(found, how))
    monkeypatch.setattr(on_device, "_WAYS", (wrong,))
    there = OnDevice(CPU)
    with caplog.at_level(logging.WARNING):
        assert there.verdict(how) == "unknown"
        assert not there.can(how)
        assert not there.can(how)
        # Another crop of the same scaling is no other question.
        assert there.verdict(planned(120, 90, fit(120, 90, 32, 32))) == "unknown"
        other = msgspec.structs.replace(how.place, left=0)
        assert there.verdict(planned(120, 90, other)) == "no"
    assert [record.getMessage() for record in caplog.records] == [
        "cpu: scaling 120x90 to 64x48 has other bits there; it is left to the CPU"
    ]


def test_nothing_has_to_be_known_of_frames_that_are_not_scaled() -> None:
    how = planned(120, 64, fit(120, 64, 96, 64))
    assert (how.is_copy, OnDevice(CPU).verdict(how)) == (True, "yes")


def test_what_torch_itself_has_to_scale_is_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "scaling", lambda *_: None)
    plan.cache_clear()
    assert plan(121, 90, fit(121, 90, 64, 32)) is None
    plan.cache_clear()


def test_a_sum_that_float64_alone_rounds_wrongly() -> None:
    """A little less than half-way up: rounded to 53 bits it is half-way, and then goes up."""
    figures = 2**-12 * (1 + 2**-15), 2**-12 * (1 - 2**-15), 1 + 2**-23
    first, second, third = (torch.tensor([value]) for value in figures)
    naive = (first.double() * second.double() + third.double()).float()
    assert naive.item() == 1 + 2**-22
    assert fused(first, second, third).item() == 1 + 2**-23
    assert fused(-first, second, -third).item() == -1 - 2**-23


def test_fused_sums_of_noise_are_those_of_a_fused_instruction() -> None:
    source = torch.Generator().manual_seed(0)
    table = torch.rand((2, 100_000), generator=source) * 2 - 1
    ints = {"dtype": torch.int32}
    for scale in (1.0, 2**-13, 2**-24, 2**13):
        for weight in scale * torch.rand(20, generator=source):
            bag = Bags(
                torch.tensor([0, 1], **ints),
                torch.tensor([0], **ints),
                torch.stack([torch.tensor(1.0), weight]),
            )
            assert torch.equal(fused(table[1], weight, table[0])[None], bag.sums(table))
