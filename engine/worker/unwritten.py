"""Why a dataset file was not written, for whoever asked a child process to do it."""

from __future__ import annotations

from pathlib import Path

from engine.errors import DatasetError, LtxError
from engine.worker.spec import Fault


def unwritten(error: LtxError | OSError, dataset: Path) -> Fault:
    """Put into words why nothing was written.

    Args:
        error: What happened.
        dataset: The dataset file.
    """
    if isinstance(error, LtxError):
        return Fault.of(error)
    return Fault.of(
        DatasetError(
            f"cannot be written: {error.strerror or error}",
            remedy="make the file and its folder writable, .ltx-tui too, and space on the disk",
            file=dataset,
        )
    )
