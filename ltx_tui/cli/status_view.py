"""What `ltx-tui status` prints."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.events import ClipFailed, Standing
from engine.progress import Progress
from engine.text import plural, visible
from ltx_tui.cli.bars import hand_lines, pace, stage_table
from ltx_tui.cli.console import duration, glyph, size, text
from ltx_tui.cli.progress import guard_words, stage_name
from ltx_tui.cli.session import command_line
from ltx_tui.cli.summary import print_failures

if TYPE_CHECKING:
    from engine.memory.nvml import GpuMemory
    from engine.project import Project

from engine.memory.monitor import MemorySample
from engine.worker.lock import WorkerInfo
from engine.worker.spec import JobInfo

# Jobs that have ended, and failures, that are listed.
_MOST_ENDED, _MOST_FAILED = 5, 20

_STYLES = {
    "queued": "",
    "running": "accent",
    "paused": "warn",
    "done": "ok",
    "failed": "error",
    "cancelled": "warn",
    "interrupted": "warn",
}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand in a project.

    Attributes:
        worker: None where none runs.
        active: The job that the worker does; 0 where it does none.
        standing: Of that job.
        interrupted: The job that is said to run does not: its worker is gone.
    """

    jobs: tuple[JobInfo, ...]
    memory: MemorySample
    worker: WorkerInfo | None = None
    active: int = 0
    standing: Standing = Standing()
    interrupted: bool = False


def print_state(console: Console, state: State, project: Project) -> None:
    """Print all of it."""
    progress = Progress()
    progress.take(state.standing)
    head = text(project.root.name or str(project.root), "strong")
    console.print(Text.assemble(head, text(f" · {worker_line(state.worker)}")))
    if state.interrupted:
        goes_on = command_line("attach", project)
        sign = glyph(console, "warn")
        console.print(text(f"{sign} A job was interrupted: {goes_on} goes on with it", "warn"))
    console.print()
    if state.jobs:
        console.print(_job_table(state, progress))
    else:
        console.print(text("no job yet: `ltx-tui run` starts one"))
    if state.active:
        _print_active(console, progress)
    _print_failures(console, state)
    console.print()
    console.print(_memory_table(state))


def worker_line(worker: WorkerInfo | None) -> str:
    """Return who works, in words."""
    if worker is None:
        return "no worker runs"
    up = duration(max(0.0, time.time() - worker.started))
    return f"worker process {worker.pid} · version {worker.version} · up {up}"


def _job_table(state: State, progress: Progress) -> Table:
    ended = [job.id for job in state.jobs if job.state.has_ended][-_MOST_ENDED:]
    shown = [job for job in state.jobs if job.id in ended or not job.state.has_ended]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="quiet")
    table.add_column("job", justify="right")
    table.add_column("state", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("began", no_wrap=True)
    table.add_column("", overflow="fold")
    for job in shown:
        word = "interrupted" if state.interrupted and job.state == "running" else job.state.value
        table.add_row(
            str(job.id),
            Text(word, style=_STYLES[word]),
            job.kind,
            f"{job.done:,}",
            Text(f"{job.failed:,}", style="error" if job.failed else ""),
            _when(job.started or job.created),
            text(_remark(job, state, progress)),
        )
    return table


def _remark(job: JobInfo, state: State, progress: Progress) -> str:
    """Return what else there is to say of a job."""
    if job.id == state.active:
        running = [one for one in progress.stages.values() if one.state == "running"]
        if not progress.planned and not running:
            return "looking at the media" if progress.scanned else "reading the dataset"
        return "; ".join(
            f"{stage_name(one.stage)} {', '.join(pace(progress, one))}" for one in running
        )
    if job.state == "queued":
        return job.waiting or "begins soon"
    if job.state == "running" and not state.interrupted:
        return "in the foreground of another process"
    if job.fault is not None:
        return job.fault.to_error().headline
    return duration(job.busy) if job.busy else ""


def _when(seconds: float) -> str:
    """Return a time of today as "14:05", of another day as "12 Mar 14:05"."""
    then = datetime.fromtimestamp(seconds).astimezone()
    is_today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M" if is_today else "%d %b %H:%M")


def _print_active(console: Console, progress: Progress) -> None:
    if progress.stages:
        console.print()
        console.print(stage_table(console, progress))
    for line in hand_lines(console, progress):
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)
    if progress.guards:
        style = "warn" if progress.waiting else "quiet"
        console.print(Padding(text(guard_words(progress.guards[-1]), style), (0, 0, 0, 2)))


def _print_failures(console: Console, state: State) -> None:
    """Print what failed in the job that runs, or else in the latest one."""
    failures: tuple[ClipFailed, ...] = state.standing.failures
    latest = state.jobs[-1] if state.jobs else None
    if not state.active and latest is not None and latest.result is not None:
        failures = latest.result.failures
    if not failures:
        return
    console.print()
    console.print(text(f"Failed: {plural(len(failures), 'output')}", "strong error"))
    print_failures(console, failures[-_MOST_FAILED:])


def _memory_table(state: State) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="quiet", no_wrap=True)
    table.add_column()
    host = state.memory.host
    limit = " (limit of its control group)" if host.limited_by else ""
    ours = f", {size(host.ours)} ours" if state.worker is not None else ""
    table.add_row("memory", f"{size(host.used)} of {size(host.total)} used{ours}{limit}")
    for gpu in state.memory.gpus:
        table.add_row(f"GPU {gpu.index}", text(_gpu_words(gpu)))
    if state.memory.fault:
        table.add_row("GPUs", text(state.memory.fault, "warn"))
    for one in state.memory.nodes:
        words = f"memory {size(one.host.used)} of {size(one.host.total)} used"
        device = f"; {_gpu_words(one.gpu)}" if one.gpu is not None else ""
        table.add_row(visible(f"{one.node}/{one.device}"), text(f"{words}{device}"))
    return table


def _gpu_words(gpu: GpuMemory) -> str:
    """Return what is known of a GPU; drivers leave out what they do not know."""
    if gpu.fault:
        return f"{visible(gpu.title)}: {gpu.fault}"
    facts = []
    if gpu.unified:
        facts.append("shares the machine's memory")
    elif gpu.used is not None and gpu.total is not None:
        ours = f", {size(gpu.ours)} ours" if gpu.ours is not None else ""
        facts.append(f"{size(gpu.used)} of {size(gpu.total)} used{ours}")
    for figure, unit in ((gpu.utilisation, "% busy"), (gpu.temperature, "°C"), (gpu.power, "W")):
        if figure is not None:
            facts.append(f"{figure:.0f} {unit}")
    return " · ".join([*facts, visible(gpu.title)])
