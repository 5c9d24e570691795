"""Run as `python -P -m engine.worker.take_out`: takes rows out of the dataset, or gives them back.

A request comes as one JSON object on stdin, the answer goes as one to stdout. What goes by the
names of rows that are called otherwise then follows them, and waits for those that are out.
"""

from __future__ import annotations

import sys

import msgspec

from engine.child import answer
from engine.dataset.caption_db import Key
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.give_back import give_back
from engine.dataset.keyed_rows import Moved
from engine.dataset.renamed import carry_over
from engine.dataset.take_out import take_out
from engine.dataset.taken_rows import TakenRows
from engine.dataset.write_captions import alone
from engine.errors import LtxError
from engine.project import Project
from engine.worker.spec import Fault, decoder
from engine.worker.unwritten import unwritten


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, in which project.

    Attributes:
        keys: The rows to take out.
        names: Further ones by the names that are listed; of those to give back the only way, and
            without any the last ones that were taken out.
        is_back: Whether they are to be given back.
    """

    project: Project
    keys: tuple[Key, ...] = ()
    names: tuple[str, ...] = ()
    is_back: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        keys: What the rows go by; that are out, what they did.
        rows: 0-based rows of them, in the file that has them.
        by_hand: How many of their captions a person edited or reviewed.
        there: Names of rows that were not given back, for the clip has a row again.
        fault: Why nothing was written; None when all went well.
    """

    keys: tuple[Key, ...] = ()
    rows: tuple[int, ...] = ()
    by_hand: int = 0
    there: tuple[str, ...] = ()
    fault: Fault | None = None


def do(wanted: Wanted) -> Done:
    """Take rows out or give them back; nothing is raised for what a user can mend."""
    project = wanted.project
    path, state_dir = project.dataset_path, project.state_dir
    try:
        with alone(state_dir / "editing" / "write.lock"):
            return _back(wanted) if wanted.is_back else _out(wanted)
    except (LtxError, OSError) as error:
        return Done(fault=unwritten(error, path))


def _out(wanted: Wanted) -> Done:
    project, section = wanted.project, wanted.project.dataset
    known = KnownCaptions.readable(project.state_dir)
    moved = take_out(
        project.dataset_path,
        TakenRows(project.state_dir, project.dataset_path),
        keys=wanted.keys,
        names=wanted.names,
        drafts=known.drafts,
        video_column=section.video_column,
        caption_column=section.caption_column,
    )
    by_hand = _by_hand(known, moved)
    carry_over(project, moved.before, moved.after, moved.aside)
    return Done(keys=moved.keys, rows=moved.rows, by_hand=by_hand)


def _back(wanted: Wanted) -> Done:
    project, section = wanted.project, wanted.project.dataset
    moved = give_back(
        project.dataset_path,
        TakenRows(project.state_dir, project.dataset_path),
        names=wanted.names,
        video_column=section.video_column,
        caption_column=section.caption_column,
    )
    carry_over(project, moved.before, moved.after, moved.aside)
    by_hand = _by_hand(KnownCaptions.readable(project.state_dir), moved)
    return Done(keys=moved.keys, rows=moved.rows, by_hand=by_hand, there=moved.there)


def _by_hand(known: KnownCaptions, moved: Moved) -> int:
    """Return how many of the captions a person edited or reviewed."""
    states = [known.look_up(*one)[1] for one in zip(moved.keys, moved.captions, strict=True)]
    return sum(state in ("draft", "edited", "reviewed") for state in states)


def main() -> None:
    """Read the request, do it, print the answer."""
    answer(do(decoder(Wanted).decode(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
