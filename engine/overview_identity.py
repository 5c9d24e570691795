"""What an overview was made from, told in a moment: without reading dataset or media."""

from __future__ import annotations

from pathlib import Path

from engine.dataset.caption_db import FILE as CAPTIONS_FILE
from engine.identity import hash_text
from engine.overview_types import Identity
from engine.project import Project
from engine.worker.outcomes import latest
from engine.worker.spec import encode


def identity_of(project: Project) -> Identity:
    """Return what an overview of the project would be made from now."""
    return Identity(
        dataset=_stat(project.dataset_path),
        project=_stat(project.file) if project.file is not None else (0, 0),
        settings=hash_text(encode(project).decode()),
        captions=_stat(project.state_dir / CAPTIONS_FILE),
        journal=latest(project.state_dir),
    )


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
