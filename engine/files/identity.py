"""What a file is: its size and time for a quick look, a hash of its bytes for certainty."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import xxhash

_BLOCK = 1 << 22


class FileIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A file's content, as far as it is known.

    Attributes:
        size: Bytes.
        mtime_ns: Modification time; equal size and time count as the same content.
        digest: xxh3-128 of the bytes in hexadecimal; empty where not taken yet.
    """

    size: int
    mtime_ns: int
    digest: str = ""

    def same_stat(self, other: FileIdentity) -> bool:
        """Whether size and modification time agree, which spares reading the bytes."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


def stat_identity(path: Path) -> FileIdentity:
    """Look at size and time only."""
    stat = path.stat()
    return FileIdentity(size=stat.st_size, mtime_ns=stat.st_mtime_ns)


def stamp(path: Path) -> tuple[int, int]:
    """Return (size, modification time in ns) of a file; zeros where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # a name with a NUL in it is a ValueError
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def file_identity(path: Path) -> FileIdentity:
    """Read the whole file and hash it (several GB/s: the disk is the limit)."""
    stat = path.stat()
    with path.open("rb") as file:
        digest = hash_blocks(iter(lambda: file.read(_BLOCK), b""))
    return FileIdentity(size=stat.st_size, mtime_ns=stat.st_mtime_ns, digest=digest)


def hash_blocks(blocks: Iterable[bytes | memoryview]) -> str:
    """Return xxh3-128 of the blocks joined: identity, not security."""
    state = xxhash.xxh3_128()
    for block in blocks:
        state.update(block)
    return state.hexdigest()


def hash_text(text: str) -> str:
    """Return xxh3-128 of a text's UTF-8 bytes; lone surrogates are kept apart, not refused."""
    return hash_blocks([text.encode("utf-8", "surrogatepass")])
