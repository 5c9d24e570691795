"""What the user has done to jobs and to the buckets of clips; each returns what to say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.project import Project
from engine.text import plural, visible
from ltx_tui.config.project_file import write_settings
from ltx_tui.worker.watch import Watcher

if TYPE_CHECKING:
    from ltx_tui.captions.captioning import Ask


async def run(watcher: Watcher, only: Iterable[str] = ()) -> str:
    """Have the worker do what the project asks for, starting a worker if there is none.

    Args:
        watcher: The project's.
        only: Names of the clips to do; all if empty.

    Raises:
        LtxError: The settings lack something, or the worker does not start.
    """
    from ltx_tui.cli.session import MissingSettingError, require

    clips = tuple(only)
    engine = await watcher.engine()
    try:
        require(engine.project, engine.default_stages)
    except MissingSettingError as error:
        raise UsageError(error.message, remedy=f"set {error.key} in the settings (f2)") from error
    job = await engine.start(engine.encoding(only=clips))
    watcher.wake()
    what = plural(len(clips), "marked clip") if clips else "all that is not fresh"
    return _beside(engine.warning, job.waiting or f"job {job.id} begins: {what}")


async def caption(watcher: Watcher, wanted: Ask) -> str:
    """Have the worker caption clips, starting a worker if there is none.

    Args:
        watcher: The project's.
        wanted: What is to be captioned, and how.

    Raises:
        LtxError: The worker does not start, or refuses.
    """
    engine = await watcher.engine()
    spec = engine.captioning(
        override=wanted.override,
        keep_edited=wanted.keep_edited,
        only=wanted.clips,
        instruction=wanted.instruction,
    )
    job = await engine.start(spec)
    watcher.wake()
    one = visible(wanted.clips[0]) if len(wanted.clips) == 1 else ""
    what = one or (f"{len(wanted.clips):,} clips" if wanted.clips else "all without a caption")
    return _beside(engine.warning, job.waiting or f"job {job.id} begins to caption {what}")


async def keep_instruction(project: Project, instruction: str) -> Project:
    """Write into project.toml what is asked about clips; return the project.

    Raises:
        ProjectError: project.toml cannot be read or written.
    """
    return await asyncio.to_thread(write_settings, project, {"captions.instruction": instruction})


async def pause(watcher: Watcher) -> str:
    """Hold the job that runs, or go on with the one that is paused or was interrupted.

    Raises:
        UsageError: There is none, or it runs in the foreground elsewhere.
    """
    job = watcher.job
    if job is None or job.state not in ("running", "paused"):
        raise UsageError("no job runs or is paused", remedy="R runs what is not fresh")
    if watcher.interrupted and job.state == "running":
        watcher.go_on()
        return f"job {job.id} goes on where it was interrupted"
    _refuse_elsewhere(watcher, job.id, job.state)
    engine = await watcher.engine()
    if job.state == "running":
        await engine.pause(job.id)
        return f"job {job.id} pauses after the clips in hand; the device is free then"
    await engine.resume(job.id)
    watcher.wake()
    return _beside(engine.warning, f"job {job.id} goes on")


async def cancel(watcher: Watcher) -> str:
    """End the job that runs, waits or is paused: after the clips in hand, then at once.

    Raises:
        UsageError: There is none, or it runs in the foreground elsewhere.
    """
    job = watcher.job
    if job is None or job.state.has_ended:
        raise UsageError("no job runs, waits or is paused", remedy="R runs what is not fresh")
    _refuse_elsewhere(watcher, job.id, job.state)
    again = job.id in watcher.stopping
    watcher.stopping.add(job.id)
    info = await (await watcher.engine()).cancel(job.id)
    watcher.wake()
    if info.state.has_ended:
        watcher.stopping.discard(job.id)
        return f"job {job.id} is {info.state}"
    if again:
        return f"job {job.id} stops at once"
    return f"job {job.id} stops after the clips in hand; cancel again to stop at once"


async def retry(watcher: Watcher, clips: Iterable[str] = ()) -> str:
    """Try again what failed, in a new job.

    Args:
        watcher: The project's.
        clips: Names of clips; all that failed in the latest job with failures if empty.

    Raises:
        UsageError: None of them failed.
    """
    names = tuple(clips)
    engine = await watcher.engine()
    job = await engine.retry(clips=names)
    watcher.wake()
    what = visible(names[0]) if len(names) == 1 else "what failed"
    return _beside(engine.warning, f"job {job.id} tries {what} again")


def leaving(watcher: Watcher) -> str:
    """Return what to say to a user who leaves: whether anything goes on."""
    if not watcher.active:
        return ""
    return "the work goes on: `ltx-tui attach` shows it, `ltx-tui cancel` stops it"


async def give_bucket(project: Project, names: Iterable[str], bucket: str | None) -> Project:
    """Give clips a bucket of their own in project.toml, or take it from them; return the project.

    Args:
        project: The settings.
        names: The clips as rows name them.
        bucket: "WxHxF"; None for the nearest one of all.

    Raises:
        ProjectError: project.toml cannot be read or written.
    """
    clips = dict.fromkeys(names, bucket)
    if bucket is None:
        # A name may stand in the file as the dataset has it, or with its escapes.
        clips |= {own: None for own in project.clips if visible(own) in clips}
    return await asyncio.to_thread(write_settings, project, {}, clips)


def _refuse_elsewhere(watcher: Watcher, job: int, state: str) -> None:
    if state == "running" and job != watcher.active and not watcher.interrupted:
        raise UsageError(
            f"job {job} runs in the foreground of another process",
            remedy="press Ctrl-C there to stop it",
        )


def _beside(warning: str, words: str) -> str:
    return f"{words}; {warning}" if warning else words
