"""What the commands that do a job share: checks, the worker or this process, view, exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.precompute.layout import Stage
from engine.project import Project
from ltx_tui.cli import session
from ltx_tui.cli.console import make_console, print_json, text
from ltx_tui.cli.errors import DONE, say_warning
from ltx_tui.cli.follow import follow, follow_here
from ltx_tui.cli.jobs import waiting_words
from ltx_tui.cli.output import make_view

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo, JobSpec

# At most 80 columns with the two spaces before them.
HINT = "Ctrl-C stops · close the terminal and the work goes on (ltx-tui attach)"
HINT_HERE = "Ctrl-C stops after the clip in hand"
HINT_ATTACHED = "Ctrl-C detaches, the work goes on · ltx-tui cancel stops it"


def run_stages(
    project: Project,
    stages: Sequence[Stage] | None,
    values: Mapping[str, object],
    *,
    folders: Mapping[Stage, Path] | None = None,
    only: Iterable[str] = (),
) -> int:
    """Run stages as a command was asked to, and return its exit code.

    Args:
        project: The project with the options on top.
        stages: What to run; None for the project's default.
        values: The command's parameters: `overwrite`, `video__buckets`, those of `do`.
        folders: Folders that the command line moved.
        only: Names of the clips to do; all if empty.

    Raises:
        LtxError: Something stops the job as a whole.
    """
    engine = session.open_engine(project, folders)
    chosen = tuple(stages or engine.default_stages)
    session.require(project, chosen, buckets_given=values.get("video__buckets") is not None)
    spec = engine.encoding(chosen, overwrite=bool(values["overwrite"]), only=only)
    return do(engine, spec, values)


def do(engine: Engine, spec: JobSpec, values: Mapping[str, object]) -> int:
    """Have a job done as a command was asked to, and return its exit code.

    Args:
        engine: The project's.
        spec: The job.
        values: The command's parameters: `foreground`, `detach`, `as_json`.

    Raises:
        LtxError: Something stops the job as a whole.
    """
    as_json = bool(values["as_json"])
    if values["foreground"] and values["detach"]:
        raise UsageError(
            "--foreground and --detach cannot both be given", remedy="leave one of them out"
        )
    if values["foreground"]:
        return follow_here(engine.foreground(spec), make_view(as_json=as_json, hint=HINT_HERE))
    if values["detach"]:
        return _detach(engine, spec, as_json=as_json)
    view = make_view(as_json=as_json, hint=HINT)
    return follow(engine, lambda: engine.start(spec), view, owns=True)


def _detach(engine: Engine, spec: JobSpec, *, as_json: bool) -> int:
    """Start a job, and say how to see it again."""

    async def start(engine: Engine) -> tuple[JobInfo, int]:
        job, worker = await engine.start(spec), await engine.worker()
        return job, worker.pid if worker is not None else 0

    job, pid = session.ask(engine, start)
    if engine.warning:
        say_warning(engine.warning)
    if as_json:
        print_json(job)
        return DONE
    console = make_console()
    words = waiting_words(job) or f"job {job.id} is in the hands of worker process {pid}"
    console.print(text(words))
    console.print(text(f"  {session.command_line('attach', engine.project)}", "accent"))
    return DONE
