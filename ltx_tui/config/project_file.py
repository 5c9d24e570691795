"""The project.toml of the project that is open, and writing to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.project import PROJECT_FILE, Project, update_project


def file_of(project: Project) -> Path:
    """Return the project.toml to write to."""
    return project.file or project.root / PROJECT_FILE


def write_settings(
    project: Project,
    values: Mapping[str, object],
    clips: Mapping[str, str | None] | None = None,
) -> Project:
    """Set keys in project.toml; return the project as it is then. Blocks.

    A file that is gone is made again, about the same dataset.

    Args:
        project: The settings so far.
        values: By full name, such as "video.buckets".
        clips: Buckets of single clips by media path; None takes a clip's own bucket away.

    Raises:
        ProjectError: The file cannot be read or written, or a value is wrong.
    """
    file = file_of(project)
    same: dict[str, object] = {}
    if not file.exists():
        same = {"dataset.path": project.dataset.path, "video.buckets": project.video.buckets}
    return update_project(file, {**same, **values}, clips=clips)
