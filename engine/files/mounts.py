"""The file systems that are mounted here, as Linux lists them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import msgspec


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `/proc/self/mountinfo`.

    Attributes:
        root: The folder of the file system that is seen here; "/" for all of it.
        point: Where it is seen.
        kind: The type of the file system, such as "ext4".
        options: Those of the file system.
    """

    root: PurePosixPath
    point: PurePosixPath
    kind: str
    options: tuple[str, ...]


def mounts(text: str) -> list[Mount]:
    """Read the text of a mountinfo file; lines of another form are passed over."""
    found = []
    for line in text.split("\n"):
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) < 6 or len(right) < 3:
            continue
        found.append(
            Mount(
                root=PurePosixPath(_plain(left[3])),
                point=PurePosixPath(_plain(left[4])),
                kind=right[0],
                options=tuple(right[2].split(",")),
            )
        )
    return found


def read_mountinfo(root: Path = Path("/")) -> str:
    """Return the mountinfo of this process; empty on a system without it.

    Args:
        root: Where the system's own files lie.
    """
    try:
        text = (root / "proc" / "self" / "mountinfo").read_bytes()
    except OSError:
        return ""
    return text.decode("utf-8", "surrogateescape")


def _plain(field: str) -> str:
    # Space, tab, newline and backslash stand there as octal numbers.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
