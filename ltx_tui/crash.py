"""When the workbench itself fails: a report in the log, and a line that says where it is."""

from __future__ import annotations

import contextlib
import tempfile
import time
import traceback
from pathlib import Path

from rich.text import Text

from engine.text import visible
from engine.worker.logs import LOG_BYTES, EncoderLog

LOG_FILE = "workbench.log"


def report(error: BaseException, folder: Path | None) -> Path | None:
    """Write what happened to a log; return its path, or None where it cannot be written.

    Args:
        error: What happened.
        folder: The project's folder of logs; None for the folder of temporary files.
    """
    path = (folder or Path(tempfile.gettempdir())) / LOG_FILE
    before = _size(path)
    log = EncoderLog(path, limit=LOG_BYTES)
    log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} the workbench failed")
    for line in "".join(traceback.format_exception(error)).splitlines():
        log.write(visible(line, keep="\t"))
    log.close()
    return path if _size(path) != before else None


def words(error: BaseException, log: Path | None) -> Text:
    """Return what to print after a crash."""
    what = f"{type(error).__name__}: {error}".strip(": ")
    lines = [
        f"error: the workbench failed: {visible(what)}",
        f"  the report is in {visible(log)}" if log else "  no report could be written",
        "  what runs goes on: `ltx-tui attach` shows it; captions that were typed are kept",
    ]
    return Text("\n".join(lines))


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
