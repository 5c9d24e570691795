"""Writes that never lose anything, and paths that never leave their folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from engine.errors import LtxError

BOM = b"\xef\xbb\xbf"
_PART = ".part"


def read_text(path: Path, kind: type[LtxError], remedy: str) -> str:
    """Return the text of a UTF-8 file, without a mark of the byte order.

    Args:
        path: The file.
        kind: What is raised.
        remedy: What to do where it cannot be read.

    Raises:
        LtxError: It cannot be read, or is not UTF-8; of `kind`.
    """
    try:
        return path.read_bytes().removeprefix(BOM).decode()
    except OSError as error:
        raise kind(f"cannot be read: {error.strerror}", remedy=remedy, file=path) from error
    except UnicodeDecodeError as error:
        raise kind(
            f"is not UTF-8 (byte {error.start})", remedy="save it as UTF-8", file=path
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable; a file system that cannot is left as it is."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it takes the target's place.

    The temporary file is hidden and keeps the suffix of none of our outputs, so that a trainer
    that globs `**/*.pt` never sees half a file. On an error it is removed, `target` untouched.
    The mode of a file that is replaced is kept; a link is followed, and stays a link.
    """
    target = target.resolve() if target.is_symlink() else target
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", suffix=_PART, dir=target.parent)
    os.close(fd)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)


def atomic_write(target: Path, data: bytes) -> None:
    """Replace `target` by `data`: temporary file, flush, fsync, rename."""
    with atomic_path(target) as part:
        part.write_bytes(data)


def remove_partial_files(folder: Path) -> None:
    """Remove what writers that were killed left behind at any depth of `folder`.

    Only where nobody else can be writing, since a file that is being written looks the same.
    """
    for path in folder.rglob(f".*{_PART}"):
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def _umask() -> int:
    # There is no way to read the mask but to set it; the value is asked for once, at import.
    return _UMASK


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _read_umask()


def inside(folder: Path, relative: PurePosixPath | str) -> Path:
    """Return `folder / relative`, refusing a path that leaves the folder.

    Raises:
        LtxError: The path is absolute, or climbs out with `..`.
    """
    relative = PurePosixPath(relative)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise LtxError(f"the output path {str(relative)!r} leaves its folder", file=folder)
    return folder / relative
