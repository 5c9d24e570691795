"""Threads that each do their own share of the work, without helpers of torch's below them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os

import torch

# Threads that scale frames of one clip while it is decoded; more would wait for the decoder.
SCALERS = max(1, min(4, (os.cpu_count() or 1) // 2))
# Threads that decode it: what is left.
DECODERS = max(1, (os.cpu_count() or 1) - SCALERS)


def keep_to_one_core() -> None:
    """Let torch do what this thread asks of it in this thread, as long as it lives.

    Small operations that are shared out wait for one another, the longer the busier the machine
    is. `torch.set_num_threads` would hold for all threads that begin afterwards as well.
    """
    torch.get_num_threads()  # the first question sets the thread up, which would undo the rest
    _set_threads(1)


def _set_threads(count: int) -> None:
    # OpenMP keeps this number for each thread. A torch without OpenMP has no such function.
    with contextlib.suppress(OSError, AttributeError):
        _openmp().omp_set_num_threads(count)


@functools.cache
def _openmp() -> ctypes.CDLL:
    """Return the library in which torch's own OpenMP is found."""
    return ctypes.CDLL(torch._C.__file__)
