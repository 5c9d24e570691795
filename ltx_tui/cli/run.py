"""What the encoding commands share: project, checks, engine, view, exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.precompute.layout import Stage
from engine.project import Project
from ltx_tui.cli import session
from ltx_tui.cli.output import make_view


def run_stages(
    project: Project,
    stages: Sequence[Stage] | None,
    values: Mapping[str, object],
    *,
    folders: Mapping[Stage, Path] | None = None,
) -> int:
    """Run stages as a command was asked to, and return its exit code.

    Args:
        project: The project with the options on top.
        stages: What to run; None for the project's default.
        values: The command's parameters: `overwrite`, `as_json`, `video__buckets`.
        folders: Folders that the command line moved.

    Raises:
        LtxError: Something stops the job as a whole.
    """
    engine = session.open_engine(project, folders)
    chosen = tuple(stages or engine.default_stages)
    session.require(project, chosen, buckets_given=values.get("video__buckets") is not None)
    view = make_view(as_json=bool(values["as_json"]))
    events = engine.run(chosen, overwrite=bool(values["overwrite"]))
    return session.follow(engine, events, view)
