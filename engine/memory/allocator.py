"""How the C library hands memory out, in processes that make the same large arrays repeatedly."""

from __future__ import annotations

import contextlib
import ctypes

# Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
# Blocks below this come from the heap; glibc allows no more.
_FROM_THE_HEAP = 32 << 20
# Free memory at a heap's end that is kept, and how much it grows by at least.
_KEPT = 256 << 20
_STEP = 16 << 20


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to a bound, and take it again for the next array.

    By default glibc gives blocks of some hundred kilobytes back to the kernel at once, in threads
    always, and the kernel clears each page anew when it hands it out again: for scaled frames that
    takes longer than the scaling. Elsewhere than with glibc this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # The end of a thread's own heap could not be given back by others.
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_THRESHOLD, _FROM_THE_HEAP)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_TOP_PAD, _STEP)


def give_back() -> None:
    """Return the memory that `keep_freed_memory` keeps to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
