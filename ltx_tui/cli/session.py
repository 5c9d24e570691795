"""From options to a project, from a project to an engine, from an engine to an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.errors import UsageError
from engine.events import AnyEvent, JobDone, Scanning
from engine.precompute.layout import Stage
from engine.project import PROJECT_FILE, Project, apply_overrides, find_project
from ltx_tui.cli.errors import DONE, ENVIRONMENT, SOME_FAILED, STOPPED

if TYPE_CHECKING:
    from engine.client import Engine

STOPPING = "stopping after this clip; press Ctrl-C again to stop at once"
STOPPING_NOW = "stopping now"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Cancellable(Protocol):
    """What Ctrl-C needs of an engine."""

    async def cancel(self) -> None:
        """Finish what is safe; called again, stop at once."""


class Shows(Protocol):
    """What draws a job."""

    def show(self, event: AnyEvent) -> None:
        """Take an event."""

    def note(self, text: str) -> None:
        """Say something beside the events."""

    def close(self) -> None:
        """Leave the terminal clean."""


def open_engine(project: Project, folders: Mapping[Stage, Path] | None = None) -> Engine:
    """Return an engine; tests put another one in its place."""
    from engine.client import Engine  # loads FFmpeg, which --help can do without

    return Engine(project, folders=folders)


def read_project(dataset: Path | None, values: Mapping[str, object]) -> Project:
    """Return the project of a dataset, or of the current folder, with the options on top.

    Args:
        dataset: The DATASET argument: a dataset file, a folder, or a project.toml.
        values: Keys and values that options gave.

    Raises:
        UsageError: No dataset is given and there is no project.toml, or one that is wrong.
    """
    from engine.client import open_project

    if dataset is None:
        dataset = find_project(Path.cwd())
        if dataset is None:
            raise UsageError(
                f"no dataset is given, and there is no {PROJECT_FILE} here or above",
                remedy="name the dataset file, or make a project with `ltx-tui init`",
            )
    elif not dataset.exists():
        raise UsageError("no such file or folder", remedy="check the path", file=dataset)
    return apply_overrides(open_project(dataset), values)


def require(project: Project, stages: Sequence[Stage], *, buckets_given: bool = True) -> None:
    """Check, before anything is read, that the project names what the stages cannot do without.

    Args:
        project: The project with the options on top.
        stages: What will run.
        buckets_given: Whether an option gave buckets.

    Raises:
        UsageError: A model or the buckets are missing; the remedy says both ways to give them.
    """
    video = {Stage.LATENTS, Stage.REFERENCE_LATENTS} & set(stages)
    if video and project.file is None and not buckets_given:
        raise _missing("buckets", "--resolution-buckets 960x544x49", "video.buckets")
    own_files = {
        Stage.LATENTS: project.models.video_vae,
        Stage.REFERENCE_LATENTS: project.models.video_vae,
        Stage.DECODED_VIDEOS: project.models.video_vae,
        Stage.DECODED_REFERENCE_VIDEOS: project.models.video_vae,
        Stage.AUDIO_LATENTS: project.models.audio_vae,
        Stage.DECODED_AUDIO: project.models.audio_vae,
    }
    if not project.models.checkpoint and not all(own_files.get(stage) for stage in stages):
        raise _missing("LTX-2 checkpoint", "--model-path FILE", "models.checkpoint")
    if Stage.CONDITIONS in stages and not project.models.text_encoder:
        raise _missing("text encoder", "--text-encoder-path FOLDER", "models.text_encoder")
    many = len([part for part in project.video.buckets.split(";") if part.strip()]) > 1
    if project.reference.downscale > 1 and many:
        raise UsageError(
            f"a reference downscale factor of {project.reference.downscale} needs exactly one "
            f"bucket, not {project.video.buckets}",
            remedy="keep one bucket, or set the factor to 1",
        )


def _missing(what: str, option: str, key: str) -> UsageError:
    return UsageError(
        f"no {what} {'are' if what.endswith('s') else 'is'} given",
        remedy=f"add {option}, or set {key} in {PROJECT_FILE}",
    )


def follow(engine: Cancellable, events: AsyncIterator[AnyEvent], view: Shows) -> int:
    """Show a job to its end and return its exit code.

    The first Ctrl-C (or SIGTERM) asks the engine to finish what is safe, the next one to stop at
    once.

    Raises:
        LtxError: Something stopped the job as a whole.
    """
    try:
        return asyncio.run(_follow(engine, events, view))
    finally:
        view.close()


async def _follow(engine: Cancellable, events: AsyncIterator[AnyEvent], view: Shows) -> int:
    stop = _Stop(engine, view)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.press)
    end: JobDone | None = None
    try:
        async for event in events:
            stop.is_working = stop.is_working or not isinstance(event, Scanning)
            view.show(event)
            end = event if isinstance(event, JobDone) else end
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    if end is None or end.cancelled:
        return STOPPED if stop.presses else ENVIRONMENT
    return SOME_FAILED if end.failures else DONE


class _Stop:
    """Ctrl-C: first what is safe, then at once."""

    def __init__(self, engine: Cancellable, view: Shows) -> None:
        self._engine = engine
        self._view = view
        self._tasks: list[asyncio.Future[None]] = []  # the loop alone would let them be collected
        self.presses = 0
        self.is_working = False

    def press(self) -> None:
        """Stop, as far as it is the first press or another one."""
        self.presses += 1
        if not self.is_working:
            # Only the planning goes on, in threads that cannot be stopped and hold nothing.
            self._view.close()
            leave_at_once(STOPPED)
        self._view.note(STOPPING if self.presses == 1 else STOPPING_NOW)
        self._tasks.append(asyncio.ensure_future(self._engine.cancel()))


def leave_at_once(code: int) -> None:
    """End this process without waiting for its threads."""
    sys.stdout.flush()
    os._exit(code)
