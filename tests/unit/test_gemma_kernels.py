"""The choice among attention kernels, with made-up kernels and a made-up clock."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.models.gemma_kernels import Attend, Heads, Kernel, attention, fastest


def heads(length: int = 7, *, padded: bool = False, dtype: torch.dtype = torch.bfloat16) -> Heads:
    draw = torch.Generator().manual_seed(length)
    query, key, value = (
        torch.randn(3, count, length, 16, generator=draw).to(dtype) for count in (4, 2, 2)
    )
    mask = None
    if padded:
        mask = torch.ones(length, length, dtype=torch.bool).tril().repeat(3, 1, 1, 1)
        mask[:, :, :, :2] = False  # the first two tokens see nothing
    return Heads(query, key, value, mask, 0.25)


class Bench:
    """Kernels that count their calls, and a clock that says of each what it was told."""

    def __init__(self, seconds: dict[str, float], **others: Kernel) -> None:
        self.seconds = seconds
        self.calls: list[str] = []
        self.timed: list[str] = []
        self.prompts: set[int] = set()
        made = {name: others.get(name, attention) for name in seconds}
        self.kernels = {name: self._counted(name, kernel) for name, kernel in made.items()}

    def _counted(self, name: str, kernel: Kernel) -> Kernel:
        def run(heads: Heads) -> Tensor:
            self.calls.append(name)
            self.prompts.add(heads.query.shape[0])
            return kernel(heads)

        return run

    def clock(self, run: Callable[[], object]) -> float:
        run()
        self.timed.append(self.calls[-1])
        return self.seconds[self.calls[-1]]


def unable(_: Heads) -> Tensor:
    raise RuntimeError("No available kernel. Aborting execution.")


def off(share: float) -> Kernel:
    """Return a kernel that errs by a share of the largest value, at one place."""

    def kernel(heads: Heads) -> Tensor:
        out = attention(heads).float()
        out[:, :, -1, 0] += share * heads.value.float().abs().max()
        return out

    return kernel


@pytest.mark.parametrize("padded", [False, True])
def test_the_fastest_is_taken(padded: bool) -> None:
    bench = Bench({"flash": 2.0, "cudnn": 1.0, "math": 3.0})
    assert fastest(bench.kernels, heads(padded=padded), bench.clock) == "cudnn"
    assert sorted(bench.timed) == ["cudnn", "flash", "math"]
    assert bench.prompts == {1}


def test_math_is_taken_where_it_is_the_fastest() -> None:
    bench = Bench({"flash": 2.0, "math": 1.0})
    assert fastest(bench.kernels, heads(), bench.clock) == "math"


@pytest.mark.parametrize(
    ("dtype", "share", "wanted"),
    [
        (torch.bfloat16, 2**-8, "flash"),
        (torch.bfloat16, 2**-5, "math"),
        (torch.float32, 2**-8, "math"),
        (torch.float32, 1e-6, "flash"),
    ],
)
def test_what_differs_by_more_than_rounding_is_not(
    dtype: torch.dtype, share: float, wanted: str
) -> None:
    bench = Bench({"flash": 1.0, "math": 2.0}, flash=off(share))
    assert fastest(bench.kernels, heads(dtype=dtype), bench.clock) == wanted


def test_what_cannot_run_is_not() -> None:
    bench = Bench({"flash": 1.0, "math": 2.0}, flash=unable)
    assert fastest(bench.kernels, heads(), bench.clock) == "math"
    assert bench.timed == ["math"]


@pytest.mark.parametrize(("value", "wanted"), [(9.0, "flash"), (torch.nan, "math")])
def test_padding_may_become_anything_that_is_a_number(value: float, wanted: str) -> None:
    def kernel(heads: Heads) -> Tensor:
        out = attention(heads)
        out[:, :, :2] = value
        return out

    bench = Bench({"flash": 1.0, "math": 2.0}, flash=kernel)
    assert fastest(bench.kernels, heads(padded=True), bench.clock) == wanted
    # Without a mask each token sees itself, and counts.
    assert fastest(bench.kernels, heads(), bench.clock) == "math"


def test_without_anything_to_compare_with_torch_chooses() -> None:
    bench = Bench({"flash": 1.0, "math": 2.0}, math=unable)
    assert fastest(bench.kernels, heads(), bench.clock) is None
    one = heads()
    assert torch.equal(Attend(bench.kernels, bench.clock)(one), attention(one))
    assert bench.timed == []


def short_of_memory(_: Heads) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("name", ["flash", "math"])
def test_short_memory_is_told_and_nothing_is_decided(name: str) -> None:
    others: dict[str, Any] = {name: short_of_memory}
    bench = Bench({"flash": 1.0, "math": 2.0}, **others)
    attend = Attend(bench.kernels, bench.clock)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            attend(heads())
    assert bench.timed == []


def test_a_tower_chooses_once_with_a_mask_and_once_without() -> None:
    bench = Bench({"flash": 1.0, "math": 2.0})
    attend = Attend(bench.kernels, bench.clock)
    for length in (9, 7, 5):
        for padded in (False, True):
            one = heads(length, padded=padded)
            assert torch.equal(attend(one), attention(one))
    assert len(bench.timed) == 4
    assert bench.calls[-4:] == ["flash"] * 4


def test_a_length_that_the_kernel_does_not_take_goes_to_torch() -> None:
    def kernel(heads: Heads) -> Tensor:
        return attention(heads) if heads.query.shape[2] > 5 else unable(heads)

    bench = Bench({"flash": 1.0, "math": 2.0}, flash=kernel)
    attend = Attend(bench.kernels, bench.clock)
    for length in (9, 4, 9):
        one = heads(length)
        assert torch.equal(attend(one), attention(one))
    assert bench.calls[-3:] == ["flash"] * 3


def test_short_memory_in_the_chosen_kernel_is_told() -> None:
    calls = []

    def kernel(heads: Heads) -> Tensor:
        calls.append(heads)
        return attention(heads) if len(calls) < 3 else short_of_memory(heads)

    bench = Bench({"flash": 1.0, "math": 2.0}, flash=kernel)
    with pytest.raises(torch.OutOfMemoryError):
        Attend(bench.kernels, bench.clock)(heads())


def test_on_the_cpu_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("engine.models.gemma_kernels.fastest", never)
    one = heads(padded=True)
    assert torch.equal(Attend()(one), attention(one))


def test_torch_s_own_kernels_can_be_asked_for_one_by_one() -> None:
    """The CPU has two of them; the others say so in the way that is expected."""
    from engine.models.gemma_kernels import _KERNELS

    one = heads()
    wanted = attention(one).float()
    assert (_KERNELS["math"](one).float() - wanted).abs().max() <= 2**-7 * one.value.abs().max()
    assert fastest(_KERNELS, one, lambda _: 1.0) in {"flash", "math"}
    with pytest.raises(RuntimeError):
        _KERNELS["efficient"](one)
