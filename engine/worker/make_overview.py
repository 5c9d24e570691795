"""Run as `python -m engine.worker.make_overview`: makes a project's overview and keeps it.

Reads the project as JSON from stdin, which then stays open: when it is closed, nobody waits any
more. Prints JSON lines: how far it is, each time that the overview's file has been written, and
what keeps it from being made.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.child import Seldom, answer, when_stdin_ends
from engine.errors import LtxError
from engine.overview.file import FILE, open_overview, write_overview
from engine.overview.scan import Scan
from engine.overview.types import Identity, Overview
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.scan_types import Failed, Scanning, Written
from engine.worker.spec import Fault, decoder

_TELL = 0.5  # seconds between two tidings of progress
_KINDNESS = 5  # the user's own programs, and the worker, come first


def main() -> None:
    """Make the overview of the project on stdin."""
    project: Project = decoder(Project).decode(sys.stdin.buffer.readline())
    # A half-written file is left to the next one.
    when_stdin_ends(lambda: os._exit(1))
    os.nice(_KINDNESS)
    try:
        make(project)
    except LtxError as error:
        answer(Failed(Fault.of(error)))


def make(project: Project) -> None:
    """Make the overview, telling of it.

    Raises:
        LtxError: The dataset, a bucket or a model path is unusable as a whole.
    """
    target = project.state_dir / FILE
    with Ledger(project.state_dir) as ledger:
        scan = Scan(project, ledger)
        before = open_overview(target)
        if before is None or not _is_of(before.overview, scan.identity):
            _write(target, scan.first(before))
        _write(target, scan.whole(Seldom(_tell, _TELL)))


def _is_of(overview: Overview, now: Identity) -> bool:
    """Whether the rows of an overview are those that the dataset has now."""
    return (overview.identity.dataset, overview.identity.captions) == (now.dataset, now.captions)


def _write(target: Path, overview: Overview) -> None:
    write_overview(target, overview)
    answer(Written(rows=len(overview.rows), whole=overview.whole))


def _tell(done: int, total: int) -> None:
    answer(Scanning(done=done, total=total))


if __name__ == "__main__":
    main()
