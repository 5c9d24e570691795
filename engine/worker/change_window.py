"""Run as `python -P -m engine.worker.change_window`: changes the window of one row of the dataset.

A request comes as one JSON object on stdin, the answer goes as one to stdout. What goes by the name
of the row follows it.
"""

from __future__ import annotations

import contextlib
import sys

import msgspec

from engine.child import answer
from engine.dataset.caption_db import FILE, CaptionDatabase, Key
from engine.dataset.caption_marks import Marks
from engine.dataset.renamed import carry_over
from engine.dataset.versions import Kind, Versions
from engine.dataset.write_captions import alone
from engine.dataset.write_windows import Change, Changed, change_window
from engine.errors import LtxError
from engine.project import Project
from engine.worker.spec import Fault, decoder
from engine.worker.unwritten import unwritten


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, in which project."""

    project: Project
    change: Change


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        key: What the row goes by that was changed or added; for one that is gone, what it did.
        row: 0-based row of it.
        is_gone: Whether the row was taken out.
        fault: Why nothing was written; None when all went well.
    """

    key: Key = Key("")
    row: int = 0
    is_gone: bool = False
    fault: Fault | None = None


def do(wanted: Wanted) -> Done:
    """Change a window; nothing is raised for what a user can mend."""
    project, change = wanted.project, wanted.change
    path, section = project.dataset_path, project.dataset
    try:
        with alone(project.state_dir / "editing" / "write.lock"):
            changed = change_window(
                path,
                change,
                video_column=section.video_column,
                caption_column=section.caption_column,
            )
            carry_over(project, changed.before, changed.after)
            with contextlib.suppress(LtxError):
                _note(project, change, changed)
    except (LtxError, OSError) as error:
        return Done(fault=unwritten(error, path))
    return Done(key=changed.key, row=changed.row, is_gone=changed.is_gone)


def _note(project: Project, change: Change, changed: Changed) -> None:
    """Let an added row be reviewed, whatever was marked of an earlier one of its name.

    The caption of a row that is gone stays among its versions.
    """
    is_added = change.what == "add" and (project.state_dir / FILE).is_file()
    if not (is_added or changed.caption.strip()):
        return
    database = CaptionDatabase(project.state_dir)
    try:
        if is_added:
            Marks(database).clear(changed.key)
        else:
            Versions(database).note(change.key, Kind.SET_ASIDE, changed.caption)
    finally:
        database.close()


def main() -> None:
    """Read the request, change the window, print the answer."""
    answer(do(decoder(Wanted).decode(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
