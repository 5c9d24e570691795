"""Names of colour tags."""

from __future__ import annotations

from typing import Literal

# Code points of ISO/IEC 23091-2, which FFmpeg uses as they are.
_MATRICES = {
    0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco",
    9: "bt2020nc", 10: "bt2020c", 14: "ictcp",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film",
    9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    9: "log", 10: "log_sqrt", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1",
    14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
PQ, HLG = 16, 18


def matrix_name(code: int) -> str:
    """Return the name of a matrix by its code point; "unspecified" for none."""
    return _MATRICES.get(code, "unspecified")


def primaries_name(code: int) -> str:
    """Return the name of colour primaries by their code point."""
    return _PRIMARIES.get(code, "unspecified")


def transfer_name(code: int) -> str:
    """Return the name of a transfer characteristic by its code point."""
    return _TRANSFERS.get(code, "unspecified")


def range_name(code: int, pixel_format: str) -> str:
    """Return "limited", "full" or "unspecified"; the yuvj formats are full by definition."""
    if code == 2 or pixel_format.startswith("yuvj"):
        return "full"
    return "limited" if code == 1 else "unspecified"


def hdr_kind(transfer: int) -> Literal["", "pq", "hlg"]:
    """Return which HDR transfer this is, if any."""
    return "pq" if transfer == PQ else "hlg" if transfer == HLG else ""
