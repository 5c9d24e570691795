"""Run as `python -m engine.worker.begin_project START`: looks at a folder, then makes a project.

Prints a JSON line with what it found. Each line of JSON on stdin then is the keys to write; it
prints what became of that, and ends with the first success, or when stdin is closed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from engine import init
from engine.child import answer
from engine.errors import LtxError
from engine.worker.begin_types import Begun, Seen, Unable
from engine.worker.spec import Fault


def main() -> None:
    """Look, then make what is asked for."""
    try:
        found = init.look(Path(sys.argv[1]))
    except (LtxError, OSError) as error:
        answer(Unable(fault=_fault(error)))
        return
    answer(
        Seen(
            folder=str(found.folder),
            dataset=found.dataset.name,
            is_new=found.is_new,
            clips=found.clips,
            reference_column=found.reference_column,
            buckets=";".join(map(str, found.buckets)),
            audio=found.audio,
            notes=found.notes,
        )
    )
    for line in sys.stdin.buffer:
        try:
            project = init.write(found, msgspec.json.decode(line, type=dict[str, object]))
        except (LtxError, OSError) as error:
            answer(Unable(fault=_fault(error)))
            continue
        answer(Begun(file=str(project.file)))
        return


def _fault(error: LtxError | OSError) -> Fault:
    if isinstance(error, LtxError):
        return Fault.of(error)
    return Fault(
        kind="EnvironmentFaultError",
        message=f"cannot be read or written: {error.strerror}",
        remedy="check the path, its permissions and space",
        file=error.filename,
    )


if __name__ == "__main__":
    main()
