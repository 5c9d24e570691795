"""Attention over heads, by the fastest of torch's kernels that says the same.

On the CPU torch has one kernel, and it is called as it is. On a GPU there are several, and which
is fastest depends on the GPU, the heads' size and on whether there is a mask: they are tried once a
tower. The tests do that with made-up kernels and a made-up clock; it has not been run on a GPU yet.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

_TRIES = 3
# float32 is summed in another order by each kernel, which costs more than its own rounding.
_LEAST_TOLERANCE = 1e-5
_MATH = "math"
_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    _MATH: SDPBackend.MATH,
}
# The widest head for which CUDA's kernels share keys among heads by themselves.
_WIDEST_SHARED = 256


class Heads(NamedTuple):
    """What attention is computed from.

    Attributes:
        query: [B, heads, T, head_dim].
        key: [B, fewer heads, T, head_dim]; each serves as many of the query's.
        value: As `key`.
        mask: bool [B or 1, 1, T, T], False where a token does not see another; None where each
            sees itself and all before it.
        scale: What the scores are multiplied by.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float


# Each gives [B, heads, T, head_dim].
Kernel = Callable[[Heads], Tensor]
# Gives the seconds that a call takes.
Clock = Callable[[Callable[[], object]], float]


class Attend:
    """One tower's attention, which remembers the kernels that it found fastest."""

    def __init__(
        self, kernels: Mapping[str, Kernel] | None = None, clock: Clock | None = None
    ) -> None:
        """Try nothing yet.

        Args:
            kernels: To choose from, "math" among them; by default torch's on a GPU, and on the CPU
                none.
            clock: By default the GPU's own time.
        """
        self._kernels = kernels
        self._clock = clock
        # With a mask or without → what is used; None is torch's own choice.
        self._chosen: dict[bool, Kernel | None] = {}

    def __call__(self, heads: Heads) -> Tensor:
        """Return [B, heads, T, head_dim]."""
        if self._kernels is None and not heads.query.is_cuda:
            return attention(heads)
        has_mask = heads.mask is not None
        if has_mask not in self._chosen:
            self._chosen[has_mask] = self._choose(heads)
        kernel = self._chosen[has_mask]
        if kernel is None:
            return attention(heads)
        try:
            return kernel(heads)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # it does not take this length
            return attention(heads)

    def _choose(self, heads: Heads) -> Kernel | None:
        kernels = _KERNELS if self._kernels is None else self._kernels
        clock = self._clock or functools.partial(_seconds_on_gpu, heads.query.device)
        name = fastest(kernels, heads, clock)
        return None if name is None else kernels[name]


def attention(heads: Heads, *, repeats: bool = False) -> Tensor:
    """Compute attention by the kernel that torch chooses.

    Args:
        heads: From what.
        repeats: Repeat keys and values for the heads that share them, on a GPU, for kernels that
            cannot share; with a mask all of CUDA's are so. The bits are the same.
    """
    query, key, value, mask, scale = heads
    times = query.shape[1] // key.shape[1]
    repeats |= mask is not None or query.shape[-1] > _WIDEST_SHARED
    if query.is_cuda and repeats and times > 1:
        key, value = (x.repeat_interleave(times, dim=1) for x in (key, value))
        times = 1
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, is_causal=mask is None, enable_gqa=times > 1
    )


def fastest(kernels: Mapping[str, Kernel], heads: Heads, clock: Clock) -> str | None:
    """Return the name of the fastest kernel that agrees with "math"; None where "math" fails.

    Two kernels agree where they differ by no more than a rounding of the largest value, and
    whatever they make of tokens that see nothing (padding) is finite. The heads of one prompt are
    tried, so that it takes less memory than the states that are still to come.

    Args:
        kernels: By name.
        heads: Real ones: lengths and sizes matter.
        clock: Takes a call.

    Raises:
        torch.OutOfMemoryError: Memory is short; nothing is decided.
    """
    mask = None if heads.mask is None else heads.mask[:1]
    one = Heads(heads.query[:1], heads.key[:1], heads.value[:1], mask, heads.scale)
    wanted = _result(kernels[_MATH], one)
    if wanted is None:
        return None
    seconds = {}
    for name, kernel in kernels.items():
        found = wanted if name == _MATH else _result(kernel, one)
        if found is not None and _agree(found, wanted, one):
            seconds[name] = clock(functools.partial(kernel, one))
    return min(seconds, key=lambda name: seconds[name], default=None)


def _result(kernel: Kernel, heads: Heads) -> Tensor | None:
    """Return None where the kernel cannot compute it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of all that a kernel cannot do
            return kernel(heads)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None


def _agree(found: Tensor, wanted: Tensor, heads: Heads) -> bool:
    if not bool(found.isfinite().all()):
        return False
    tolerance = max(torch.finfo(wanted.dtype).eps, _LEAST_TOLERANCE)
    error = (found.float() - wanted.float()).abs()
    if heads.mask is not None:
        error = error.masked_fill(~heads.mask.any(-1, keepdim=True), 0)
    return bool(error.max() <= tolerance * heads.value.float().abs().max())


def _through(backend: SDPBackend) -> Kernel:
    def kernel(heads: Heads) -> Tensor:
        with sdpa_kernel(backend):
            return attention(heads, repeats=backend is SDPBackend.EFFICIENT_ATTENTION)

    return kernel


_KERNELS = {name: _through(backend) for name, backend in _BACKENDS.items()}


def _seconds_on_gpu(device: torch.device, run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(1 + _TRIES):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        run()
        torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])  # the first one takes memory and chooses algorithms
