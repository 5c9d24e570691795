"""Outputs moved out of the trainer's sight, and back: never deleted, never overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.files.identity import stat_identity
from engine.files.safe import fsync_folder, inside
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord


class Aside:
    """Moves outputs between their folders and `.ltx-tui/`."""

    def __init__(self, state_dir: Path, folders: Mapping[Stage, Path], ledger: Ledger) -> None:
        """Keep where things are."""
        self._state_dir = state_dir
        self._folders = folders
        self._ledger = ledger

    @property
    def orphans_folder(self) -> Path:
        """Where files go that no clip accounts for."""
        return self._state_dir / "orphans"

    def orphan(self, stage: Stage, path: str) -> Path:
        """Move a file that no clip accounts for to `.ltx-tui/orphans`; return where it is."""
        target = self._move(stage, path, "orphans")
        record = self._record(stage, path)
        if record is not None:
            self._remember(stage, path, record, target)
        return target

    def set_aside(self, stage: Stage, path: str) -> Path | None:
        """Move an output to `.ltx-tui/aside` until its clip is whole; None if there is none."""
        source = inside(self._folders[stage], path)
        if not source.is_file():
            return None
        record = self._record(stage, path)
        target = self._move(stage, path, "aside" if record is not None else "orphans")
        if record is not None:
            self._remember(stage, path, record, target)
        return target

    def restore(self, stage: Stage, path: str) -> None:
        """Put an output back in its place."""
        record = self._record(stage, path)
        if record is None or not record.aside:
            return
        target = inside(self._folders[stage], path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(record.aside, target)
        fsync_folder(target.parent)
        identity = stat_identity(target)
        back = msgspec.structs.replace(record, aside="", identity=identity)
        self._ledger.record(self._folders[stage], path, back)

    def drop(self, stage: Stage, path: str) -> None:
        """Forget what was set aside of an output that has been made again."""
        record = self._record(stage, path)
        if record is not None and record.aside:
            Path(record.aside).unlink(missing_ok=True)

    def _record(self, stage: Stage, path: str) -> OutputRecord | None:
        return self._ledger.output(self._folders[stage], path)

    def _remember(self, stage: Stage, path: str, record: OutputRecord, target: Path) -> None:
        moved = msgspec.structs.replace(record, aside=str(target))
        self._ledger.record(self._folders[stage], path, moved)

    def _move(self, stage: Stage, path: str, kind: str) -> Path:
        source = inside(self._folders[stage], path)
        target = _free(inside(self._state_dir / kind / stage.value, path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        fsync_folder(target.parent)
        fsync_folder(source.parent)
        return target


def _free(path: Path) -> Path:
    """Return a path that is not taken, by numbering it."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem}~{number}{path.suffix}")
        number += 1
    return free
