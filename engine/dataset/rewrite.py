"""A dataset file changed as a whole, atomically; what others write meanwhile is never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.dataset.manifest import dataset_bytes
from engine.dataset.write_cells import refuse_read_only
from engine.errors import DatasetError
from engine.files.safe import atomic_path

_ATTEMPTS = 5
_Done = TypeVar("_Done")


class _ChangedMeanwhileError(Exception):
    """Another program wrote between our reading and our writing."""


def rewrite(path: Path, make: Callable[[bytes], tuple[bytes, _Done]]) -> _Done:
    """Replace a dataset file by what is made of it.

    Args:
        path: The dataset file.
        make: Takes the file as it is, and returns it as it is to be, and what is returned here.
            Called again where another program wrote meanwhile.

    Raises:
        DatasetError: The file cannot be read, is read-only, or keeps changing.
        OSError: The folder cannot be written.
    """
    for _ in range(_ATTEMPTS):
        was = dataset_bytes(path)
        data, done = make(was)
        if data == was:
            return done
        refuse_read_only(path)
        try:
            with atomic_path(path) as part:
                part.write_bytes(data)
                # The last look before the rename.
                if path.read_bytes() != was:
                    raise _ChangedMeanwhileError
        except _ChangedMeanwhileError:
            continue
        return done
    raise DatasetError(
        "the file keeps changing", remedy="stop the other program and try again", file=path
    )
