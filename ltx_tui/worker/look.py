"""Looking for a project's worker, without importing the engine until it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.project import Project

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.lock import WorkerInfo


def open_engine(project: Project) -> Engine:
    """Return an engine; its modules take a while to import."""
    from engine.client import Engine

    return Engine(project)


def find_worker(state_dir: Path) -> WorkerInfo | None:
    """Return the worker that holds a project, if there is one; never starts one."""
    from engine.worker.place import address

    return address(state_dir)


def changed(path: Path) -> int:
    """Return when a file was changed; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def is_held(state_dir: Path) -> bool:
    """Whether some process runs a job in the project."""
    from engine.precompute.ledger import BusyError, run_lock

    try:
        with run_lock(state_dir):
            return False
    except BusyError:
        return True
