"""Run as `python -m engine.worker.make_plan`: makes a plan beside the process that shows it.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, nobody
waits any more. Prints JSON lines: how far the probing is, then the plan in short, or what keeps
it from being made. Loads no model.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import msgspec

from engine.child import answer
from engine.client import Engine
from engine.errors import LtxError
from engine.memory.monitor import Monitor
from engine.precompute.digest import Digest, digest
from engine.precompute.estimate import estimates
from engine.precompute.ledger import Ledger
from engine.project import Project
from engine.worker.spec import Fault, decoder

# Seconds between two tidings of progress.
_TELL = 0.2


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        only: Names of the clips to look at; empty for all.
    """

    project: Project
    only: tuple[str, ...] = ()


class Scanning(msgspec.Struct, frozen=True, tag="scanning", tag_field="tell"):
    """Media are being probed."""

    done: int
    total: int


class Planned(msgspec.Struct, frozen=True, tag="planned", tag_field="tell"):
    """The plan is made."""

    digest: Digest


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="tell"):
    """The plan cannot be made."""

    fault: Fault


Tell = Scanning | Planned | Failed


def main() -> None:
    """Make the plan that is asked for on stdin."""
    wanted: Wanted = decoder(Wanted).decode(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        answer(Planned(make(wanted)))
    except LtxError as error:
        answer(Failed(Fault.of(error)))


def make(wanted: Wanted) -> Digest:
    """Return the plan in short, telling how far it is.

    Raises:
        LtxError: The dataset, a bucket or a model path is unusable as a whole.
    """
    engine = Engine(wanted.project)
    plan = engine.plan(only=wanted.only, progress=_Teller())
    with Ledger(wanted.project.state_dir) as ledger:
        known = estimates(wanted.project, plan, engine.folders, ledger, Monitor().sample())
    free = _free(wanted.project.output_dir)
    return msgspec.structs.replace(digest(plan, known), disk_free=free)


def _free(folder: Path) -> int:
    """Return the bytes that are free where a folder is or will be."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    try:
        return shutil.disk_usage(there).free if there is not None else 0
    except OSError:
        return 0


class _Teller:
    """Tells of progress, but not of every file."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _TELL
            answer(Scanning(done, total))


def _end_with_stdin() -> None:
    # Whoever asked has gone: nothing is half written, since a plan only reads.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
