"""The outputs in a stage's folder, looked at once for a whole plan."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.files.identity import FileIdentity


class OutputFolder:
    """What lies in a folder of outputs, as it is when this is made.

    Listing a folder is many times quicker than asking for each file by its name.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        """List the files below a folder.

        Args:
            folder: The folder; there need not be one.
            suffix: Of the outputs, such as ".pt".
        """
        self._folder = str(folder)
        self._files = dict(_files(self._folder, "", suffix))

    def look(self, output: str) -> FileIdentity | None:
        """Return size and time of an output by its path in the folder; None where there is none.

        What the listing has not, such as what lies behind a linked folder, is asked for.
        """
        found = self._files.get(output)
        return found if found is not None else _identity(os.path.join(self._folder, output))  # noqa: PTH118 - a Path for each output takes longer than to look at it

    def __iter__(self) -> Iterator[str]:
        """Yield the paths of all files with the suffix, but for those in linked folders."""
        return iter(self._files)


def _files(folder: str, inside: str, suffix: str) -> Iterator[tuple[str, FileIdentity]]:
    """Yield the path inside the folder, with size and time, of each file."""
    # A folder that cannot be read is as one that is not there.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{inside}{entry.name}/", suffix)
            elif entry.name.endswith(suffix) and (found := _identity(entry)) is not None:
                yield inside + entry.name, found


def _identity(path: str | os.DirEntry[str]) -> FileIdentity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except (OSError, ValueError):  # a name with a NUL in it is a ValueError
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileIdentity(size=found.st_size, mtime_ns=found.st_mtime_ns)
