"""Run as `python -m engine.worker.make_overview`: makes a project's overview and keeps it.

Reads the project as JSON from stdin, which then stays open: when it is closed, nobody waits any
more. Prints JSON lines: how far it is, each time that the overview's file has been written, and
what keeps it from being made.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from engine.child import answer
from engine.errors import LtxError
from engine.overview import Scan
from engine.overview_file import FILE, open_overview, write_overview
from engine.overview_types import Identity, Overview
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.spec import Fault, decoder

_TELL = 0.5  # seconds between two tidings of progress
_KINDNESS = 5  # the user's own programs, and the worker, come first


class Scanning(msgspec.Struct, frozen=True, tag="scanning", tag_field="tell"):
    """Media are being probed."""

    done: int
    total: int


class Written(msgspec.Struct, frozen=True, tag="written", tag_field="tell"):
    """The overview's file is there.

    Attributes:
        whole: False after the dataset alone was read: more is to come.
    """

    rows: int
    whole: bool


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="tell"):
    """The overview cannot be made."""

    fault: Fault


Tell = Scanning | Written | Failed


def main() -> None:
    """Make the overview of the project on stdin."""
    project: Project = decoder(Project).decode(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
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
        _write(target, scan.whole(_Teller()))


def _is_of(overview: Overview, now: Identity) -> bool:
    """Whether the rows of an overview are those that the dataset has now."""
    return (overview.identity.dataset, overview.identity.captions) == (now.dataset, now.captions)


def _write(target: Path, overview: Overview) -> None:
    write_overview(target, overview)
    answer(Written(rows=len(overview.rows), whole=overview.whole))


class _Teller:
    """Tells of progress now and then."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._told >= _TELL:
            self._told = now
            answer(Scanning(done=done, total=total))


def _end_with_stdin() -> None:
    """End when whoever started this hangs up; a half-written file is left to the next one."""
    # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
    while os.read(0, 1 << 10):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
