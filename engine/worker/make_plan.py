"""Run as `python -m engine.worker.make_plan`: makes a plan beside the process that shows it.

Reads a `Wanted` as a line of JSON from stdin, which then stays open: when it is closed, nobody
waits any more. Prints JSON lines: how far the probing is, then the plan in short, or what keeps
it from being made. Loads no model.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec

from engine.child import Seldom, answer, when_stdin_ends
from engine.client import Engine
from engine.errors import LtxError
from engine.memory.monitor import Monitor
from engine.precompute.digest import Digest, digest
from engine.precompute.estimate import estimates
from engine.precompute.ledger import Ledger
from engine.worker.plan_types import Planned, Wanted
from engine.worker.scan_types import Failed, Scanning
from engine.worker.spec import Fault, decoder

# Seconds between two tidings of progress.
_TELL = 0.2


def main() -> None:
    """Make the plan that is asked for on stdin."""
    wanted: Wanted = decoder(Wanted).decode(sys.stdin.buffer.readline())
    # Nothing is half written then, since a plan only reads.
    when_stdin_ends(lambda: os._exit(0))
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
    plan = engine.plan(only=wanted.only, progress=Seldom(_tell, _TELL))
    with Ledger(wanted.project.state_dir) as ledger:
        known = estimates(wanted.project, plan, engine.folders, ledger, Monitor().sample())
    free = _free(wanted.project.output_dir)
    return msgspec.structs.replace(digest(plan, known), disk_free=free)


def _tell(done: int, total: int) -> None:
    answer(Scanning(done, total))


def _free(folder: Path) -> int:
    """Return the bytes that are free where a folder is or will be."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    try:
        return shutil.disk_usage(there).free if there is not None else 0
    except OSError:
        return 0


if __name__ == "__main__":
    main()
