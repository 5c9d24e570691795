"""From options to a project, and from a project to an engine."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.errors import UsageError
from engine.precompute.layout import Stage, parse_stages
from engine.project import (
    PROJECT_FILE,
    STATE_FOLDER,
    Project,
    apply_overrides,
    find_project,
    load_project,
)

if TYPE_CHECKING:
    from engine.client import Engine

T = TypeVar("T")


class MissingSettingError(UsageError):
    """A key of project.toml that a job cannot do without is not set.

    Attributes:
        key: Its name.
    """

    def __init__(self, message: str, *, remedy: str, key: str) -> None:
        super().__init__(message, remedy=remedy)
        self.key = key


def open_engine(project: Project, folders: Mapping[Stage, Path] | None = None) -> Engine:
    """Return an engine; tests put another one in its place."""
    from engine.client import Engine  # loads FFmpeg, which --help can do without

    return Engine(project, folders=folders)


def chosen_stages(names: str, project: Project) -> tuple[Stage, ...]:
    """Return the stages of a --stages option; "decode" is that of what the project encodes.

    Raises:
        UsageError: One is unknown.
    """
    return parse_stages(
        names.split(","),
        audio=project.audio.enabled,
        references=bool(project.dataset.reference_column),
    )


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


def known_engine(start: Path | None) -> Engine:
    """Return the engine of a project in which jobs were done, or that has a project.toml.

    Args:
        start: A dataset file, a folder or a project.toml; None for the current folder.

    Raises:
        UsageError: There is none, or its project.toml is wrong.
    """
    from engine.client import open_project

    if start is not None:
        if not start.exists():
            raise UsageError("no such file or folder", remedy="check the path", file=start)
        return open_engine(open_project(start))
    root = _root_here()
    if root is None:
        raise UsageError(
            "there is no project here or above",
            remedy="go to its folder, or name it with --project",
        )
    file = root / PROJECT_FILE
    return open_engine(load_project(file) if file.is_file() else Project.defaults(root))


def _root_here() -> Path | None:
    """Return the folder of the project that the current folder is in."""
    file = find_project(Path.cwd())
    if file is not None:
        return file.parent
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / STATE_FOLDER).is_dir()), None)


def command_line(name: str, project: Project) -> str:
    """Return "ltx-tui attach", and what names the project where the current folder does not."""
    line = f"ltx-tui {name}"
    if _root_here() == project.root:
        return line
    path = os.path.relpath(project.root)
    shown = str(project.root) if path.startswith(os.pardir) else path
    return f"{line} --project {shlex.quote(shown)}"


def ask(engine: Engine, question: Callable[[Engine], Awaitable[T]]) -> T:
    """Ask an engine something, and hang up."""

    async def inside() -> T:
        async with engine:
            return await question(engine)

    return asyncio.run(inside())


def require(project: Project, stages: Sequence[Stage], *, buckets_given: bool = True) -> None:
    """Check, before anything is read, that the project names what the stages cannot do without.

    Args:
        project: The project with the options on top.
        stages: What will run.
        buckets_given: Whether an option gave buckets.

    Raises:
        MissingSettingError: A model or the buckets; the remedy says both ways to give them.
        UsageError: Two settings do not go together.
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


def _missing(what: str, option: str, key: str) -> MissingSettingError:
    return MissingSettingError(
        f"no {what} {'are' if what.endswith('s') else 'is'} given",
        remedy=f"add {option}, or set {key} in {PROJECT_FILE}",
        key=key,
    )
