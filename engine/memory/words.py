"""Bytes in words."""

from __future__ import annotations

_GIB = 1 << 30
_MIB = 1 << 20


def gib(size: int) -> str:
    """Return a number of bytes as "31.2 GiB", or "12.5 MiB" where that says more."""
    if size >= _GIB / 10:
        return f"{size / _GIB:.1f} GiB"
    return f"{size / _MIB:.1f} MiB"


def share(part: int, whole: int) -> str:
    """Return "0.3 of 8.0 GiB", or both with their units where they differ."""
    some, all_ = gib(part), gib(whole)
    number, _, unit = some.partition(" ")
    return f"{number} of {all_}" if all_.endswith(unit) else f"{some} of {all_}"
