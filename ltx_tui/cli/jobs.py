"""Jobs in words, and which of them a command means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.text import plural
from ltx_tui.cli.console import make_console, print_json, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.session import command_line

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.worker.spec import JobInfo

# In this order one of them is meant where no job is named.
_OPEN = ("running", "queued", "paused")


def find_job(jobs: Sequence[JobInfo], number: int | None) -> JobInfo | None:
    """Return a job by its number; without one the job that runs, waits, is paused, or the latest.

    Raises:
        UsageError: There is no job of that number.
    """
    if number is not None:
        for job in jobs:
            if job.id == number:
                return job
        raise UsageError(f"there is no job {number}", remedy="`ltx-tui status` lists them")
    for state in _OPEN:
        # The next one to run is the oldest that waits.
        if found := [job for job in jobs if job.state == state]:
            return found[0] if state == "queued" else found[-1]
    return jobs[-1] if jobs else None


async def is_elsewhere(engine: Engine, job: JobInfo) -> bool:
    """Whether a job runs in the foreground of another process, where nobody can reach it."""
    if job.state != "running":
        return False
    news = engine.events(start=False)
    try:
        async for one in news:
            return getattr(one, "active", job.id) != job.id
    finally:
        await news.aclose()
    return is_held(engine)


def is_held(engine: Engine) -> bool:
    """Whether some process runs a job in the project."""
    from engine.precompute.ledger import BusyError, run_lock

    try:
        with run_lock(engine.project.state_dir):
            return False
    except BusyError:
        return True


def refuse_elsewhere(job: JobInfo) -> UsageError:
    """Return the error of a command that cannot reach a job."""
    return UsageError(
        f"job {job.id} runs in the foreground of another process",
        remedy="press Ctrl-C there to stop it; `ltx-tui status` shows when it has ended",
    )


async def pick(engine: Engine, number: int | None, *states: str) -> int:
    """Return the number of the job that a command means, without starting a worker for nothing.

    Args:
        engine: The project's.
        number: The one that is named.
        states: Without a name, the latest in the first of these that has any.

    Raises:
        UsageError: There is none, or it cannot be reached.
    """
    jobs = await engine.jobs()
    if number is not None:
        job = find_job(jobs, number)
    else:
        job = next((one for state in states for one in reversed(jobs) if one.state == state), None)
    if job is None:
        wanted = f"{', '.join(states[:-1])} or {states[-1]}"
        raise UsageError(f"no job is {wanted}", remedy="`ltx-tui status` lists them")
    if await is_elsewhere(engine, job):
        raise refuse_elsewhere(job)
    return job.id


def say_begun(engine: Engine, job: JobInfo, words: str, *, as_json: bool) -> None:
    """Say that a job goes on, and how to see it."""
    if engine.warning:
        say_warning(engine.warning)
    if as_json:
        print_json(job)
        return
    attach = command_line("attach", engine.project)
    make_console().print(text(f"{waiting_words(job) or words}; {attach} shows it"))


def waiting_words(job: JobInfo) -> str:
    """Return what a job waits for as a line; empty where it does not."""
    if not job.waiting:
        return ""
    words = job.waiting if job.waiting.startswith("waits") else f"waits: {job.waiting}"
    return f"job {job.id} {words}"


def paused_words(job: JobInfo) -> str:
    """Return how far a paused job has come."""
    return f"job {job.id} is paused after {plural(job.done, 'output')}"
