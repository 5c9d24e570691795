"""What an overview was made from, told in a moment: without reading dataset or media."""

from __future__ import annotations

from engine.dataset.caption_db import FILE as CAPTIONS_FILE
from engine.files.identity import hash_text, stamp
from engine.overview.types import Identity
from engine.project import Project
from engine.worker.outcomes import latest
from engine.worker.spec import encode


def identity_of(project: Project) -> Identity:
    """Return what an overview of the project would be made from now."""
    return Identity(
        dataset=stamp(project.dataset_path),
        project=stamp(project.file) if project.file is not None else (0, 0),
        settings=hash_text(encode(project).decode()),
        captions=stamp(project.state_dir / CAPTIONS_FILE),
        journal=latest(project.state_dir),
    )
