"""What every machine of a cluster has to see alike: gathered from the work, proved by probes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from engine.errors import EnvironmentFaultError
from engine.files.identity import stat_identity
from engine.precompute.steps import (
    AnySetup,
    AnyStep,
    AudioStep,
    CaptionStep,
    DecodeStep,
    StageSetup,
    VideoStep,
)
from engine.worker.ray_messages import File

# Files that are looked at on each machine: of a model's folder, and one of each folder of media.
_MOST_MODEL_FILES, _MOST_FOLDERS = 64, 256
_PREFIX = ".ltx-tui-probe-"


def files_of(setup: AnySetup, steps: Sequence[AnyStep]) -> list[Path]:
    """Return files that an encoder will read: the models', and some of the media."""
    if isinstance(setup, StageSetup):
        models = [setup.checkpoint, setup.text_encoder]
    else:
        models = [setup.model]
    files: list[Path] = []
    for model in filter(None, models):
        path = Path(model)
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.is_file())
            files += inside[:_MOST_MODEL_FILES]
        elif path.is_file():
            files.append(path)
    media: dict[str, Path] = {}
    for step in steps:
        source = _source(step)
        if source and len(media) < _MOST_FOLDERS:
            media.setdefault(os.path.dirname(source), Path(source))  # noqa: PTH120 - a million
    return files + [path for path in media.values() if path.is_file()]


def folders_of(steps: Iterable[AnyStep]) -> list[Path]:
    """Return the folder that an encoder will write to, or what there is of it."""
    outputs = {os.path.dirname(step.output) for step in steps}  # noqa: PTH120 - a million
    if not outputs:
        return []
    folder = Path(os.path.commonpath(outputs))
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return [folder]


def seen_here(paths: Iterable[Path]) -> list[File]:
    """Return what this machine sees of files; those that vanish meanwhile are left out."""
    files = []
    for path in paths:
        try:
            identity = stat_identity(path)
        except OSError:
            continue  # whoever needs it will say so
        files.append(File(path=str(path), size=identity.size, mtime_ns=identity.mtime_ns))
    return files


def _source(step: AnyStep) -> str:
    if isinstance(step, (VideoStep, AudioStep, CaptionStep)):
        return step.media
    return step.source if isinstance(step, DecodeStep) else ""


class Probes:
    """A file with a number that nobody can know, in each of some folders; removed at the end."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Write nothing yet."""
        self.folders = tuple(dict.fromkeys(folders))
        self.name = f"{_PREFIX}{secrets.token_hex(8)}"
        self.nonce = secrets.token_hex(16)

    def __enter__(self) -> Self:
        for folder in self.folders:
            self.remove(folder, _PREFIX)  # of one that was killed
            try:
                (folder / self.name).write_text(self.nonce)
            except OSError as error:
                raise EnvironmentFaultError(
                    f"the folder cannot be written: {error.strerror}",
                    file=folder,
                    remedy="make it writable",
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self.folders:
            self.remove(folder, self.name)

    def not_from(self, node: str) -> Path | None:
        """Return the first folder in which nothing has arrived that a machine wrote."""
        for folder in self.folders:
            try:
                if (folder / f"{self.name}-{node}").read_text() != self.nonce:
                    return folder
            except OSError:
                return folder
        return None

    @staticmethod
    def remove(folder: Path, prefix: str) -> None:
        """Remove all probes in a folder whose name begins so."""
        for path in folder.glob(f"{prefix}*"):
            path.unlink(missing_ok=True)
