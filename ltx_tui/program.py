"""The workbench as a program: the project, the terminal, the exit code."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from engine.errors import ProjectError
from engine.project import PROJECT_FILE, Project, apply_overrides, find_project, load_project
from ltx_tui.app import FAULT, Workbench
from ltx_tui.config.user import load_config
from ltx_tui.terminal.guard import Guard, draw_plainly


def run_workbench(start: Path, *, mouse: bool | None = None) -> int:
    """Show the workbench until the user leaves it; return the exit code.

    Args:
        start: A folder, a dataset file or a project.toml.
        mouse: Whether the mouse is used; None as the configuration says.

    Raises:
        UsageError: The project, the configuration or the theme is wrong.
    """
    # What is made until the first picture stays for good: no need to look at it again and again.
    gc.disable()
    config = load_config()
    draw_plainly()
    guard = Guard()
    app = Workbench(start, find_project_of(start), config=config)
    try:
        with guard.watching(app.taken, last=app.keep_now):
            app.run(mouse=config.mouse if mouse is None else mouse)
    except BaseException:
        guard.restore()
        raise
    finally:
        app.keep_now()
    if app.farewell:
        sys.stdout.write(f"{app.farewell}\n")
    return FAULT if app._exception is not None else app.return_code or 0


def find_project_of(start: Path) -> Project | None:
    """Return the project of a folder, a dataset file or a project.toml; None where there is none.

    Raises:
        ProjectError: There is no such file or folder, or project.toml is wrong.
    """
    start = start.expanduser().absolute()
    if not start.exists():
        raise ProjectError("no such file or folder", file=start, remedy="check the path")
    if start.name == PROJECT_FILE:
        return load_project(start)
    found = find_project(start if start.is_dir() else start.parent)
    if found is None:
        return None
    project = load_project(found)
    return project if start.is_dir() else apply_overrides(project, {"dataset.path": start})
