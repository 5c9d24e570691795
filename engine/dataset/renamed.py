"""What goes by a clip's name follows it to another name: its own bucket, and its caption's past."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from engine.dataset.caption_db import FILE, CaptionDatabase, Key
from engine.errors import LtxError
from engine.project import Project, load_project, update_project
from engine.text import visible

_TABLES = ("drafts", "histories", "versions", "marks", "origins")
# Names are safe to show, so that none of them begins like this.
_ON_THE_WAY = "\x01"


def carry_over(
    project: Project,
    before: Sequence[Key],
    after: Sequence[Key | None],
    aside: Mapping[Key, Key] | None = None,
) -> None:
    """Let a clip's own bucket, and drafts, versions and marks of its caption, follow its name.

    What cannot follow stays under the old name, and is there again when the change is undone.

    Args:
        project: The settings.
        before: What the rows went by.
        after: What the same rows go by now; None for one that is gone.
        aside: From where to where the past of captions goes that no row has, or had.
    """
    moves = {
        old: new for old, new in zip(before, after, strict=True) if new is not None and new != old
    }
    if moves:
        with contextlib.suppress(LtxError):
            _move_buckets(project, moves, {new.name for new in after if new is not None})
    if moves or aside:
        with contextlib.suppress(LtxError):
            _move_captions(project, {**moves, **(aside or {})})


def _move_buckets(project: Project, moves: Mapping[Key, Key], names: set[str]) -> None:
    """Give clips their own buckets under their new names; `names` are all that there are."""
    if project.file is None:
        return
    new_names = {old.name: new.name for old, new in moves.items()}
    clips = load_project(project.file).clips
    moved = {name: bucket for name, bucket in clips.items() if visible(name) in new_names}
    changes: dict[str, str | None] = {name: None for name in moved if visible(name) not in names}
    changes |= {new_names[visible(name)]: bucket for name, bucket in moved.items()}
    if changes:
        update_project(project.file, {}, clips=changes)


def _move_captions(project: Project, moves: Mapping[Key, Key]) -> None:
    if not (project.state_dir / FILE).is_file():
        return
    database = CaptionDatabase(project.state_dir)
    try:
        with database.transaction():
            # By way of names that nobody has: two rows may change places.
            for number, old in enumerate(moves):
                _rename(database, old, Key(_ON_THE_WAY, number))
            for number, new in enumerate(moves.values()):
                _rename(database, Key(_ON_THE_WAY, number), new)
    finally:
        database.close()


def _rename(database: CaptionDatabase, old: Key, new: Key) -> None:
    there = {name for (name,) in database.all("SELECT name FROM sqlite_master WHERE type='table'")}
    for table in _TABLES:
        if table in there:
            database.run(
                f"UPDATE OR REPLACE {table} SET name=?, nth=? WHERE name=? AND nth=?",  # noqa: S608
                (*new, *old),
            )
