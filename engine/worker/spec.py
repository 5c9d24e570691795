"""What a job is asked to do, and where it stands: plain data for the journal and for clients."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine import errors
from engine.errors import LtxError
from engine.events import JobDone
from engine.precompute.layout import Stage
from engine.project import Project
from engine.text import is_utf8

# What `caption-videos` looks for in a folder.
EXTENSIONS = ("mp4", "avi", "mov", "mkv", "webm", "jpg", "jpeg", "png")

Kind = Literal["encode", "adopt", "decode", "caption"]


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"  # stopped as a whole; its fault says why
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do by itself."""
        return self in (JobState.QUEUED, JobState.RUNNING)

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens any more unless the user asks for it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that a job depends on, the settings as they were when it was asked for.

    Attributes:
        kind: "encode" carries out a plan, "adopt" verifies outputs of another tool, "decode"
            turns folders of latents into media, "caption" captions clips (`project.captions`
            says how) and writes the captions into the project's dataset.
        stages: In the order in which they run.
        folders: Where stages write that do not write under the project's output folder.
        overwrite: Encode fresh outputs too; caption clips that have a caption.
        keep_edited: `caption`: with `overwrite`, leave alone what a person typed or reviewed.
        only: Names of the clips to do; empty for all.
        sample: `adopt`: outputs a stage that are encoded again and compared.
        latents: `decode`: the folder of video latents.
        out: `decode`: the folder of the media.
        audio_latents: `decode`: the folder of audio latents; None for none.
        source: `caption`: a folder of media, or one file; None for the rows of the dataset.
        extensions: `caption`: which files of the folder, without dots.
        recursive: `caption`: whether folders inside the folder are looked at.
    """

    kind: Kind
    project: Project
    stages: tuple[Stage, ...] = ()
    folders: dict[Stage, Path] = {}
    overwrite: bool = False
    keep_edited: bool = False
    only: tuple[str, ...] = ()
    sample: int = 4
    latents: Path | None = None
    out: Path | None = None
    audio_latents: Path | None = None
    source: Path | None = None
    extensions: tuple[str, ...] = EXTENSIONS
    recursive: bool = False


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as data; `raise_it` makes it an error again."""

    kind: str
    message: str
    remedy: str = ""
    file: str | None = None
    row: int | None = None
    column: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Put an error into data; one that is not ours is a fault of ltx-tui."""
        if not isinstance(error, LtxError):
            return cls(
                kind="LtxError",
                message=f"unexpected {type(error).__name__}: {error}",
                remedy="this is a fault of ltx-tui; `ltx-tui logs` has the details",
            )
        # One that is at home elsewhere travels as what it is a kind of.
        kinds = (
            kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__
        )
        return cls(
            kind=next(kinds),
            message=error.message,
            remedy=error.remedy,
            file=str(error.file) if error.file is not None else None,
            row=error.row,
            column=error.column,
        )

    def to_error(self) -> LtxError:
        """Return the error."""
        kind = getattr(errors, self.kind, LtxError)
        if not (isinstance(kind, type) and issubclass(kind, LtxError)):
            kind = LtxError
        return kind(
            self.message, remedy=self.remedy, file=self.file, row=self.row, column=self.column
        )


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job as clients see it.

    Attributes:
        created, started, ended: Seconds since the epoch; 0 where it has not come to that.
        busy: Seconds that it ran, pauses and interruptions left out.
        fault: Why it stopped as a whole.
        result: How it ended.
        waiting: What a job that could run waits for, in words.
    """

    id: int
    kind: Kind
    state: JobState
    stages: tuple[Stage, ...]
    created: float
    started: float = 0.0
    ended: float = 0.0
    busy: float = 0.0
    done: int = 0
    failed: int = 0
    fault: Fault | None = None
    result: JobDone | None = None
    waiting: str = ""


def encode(value: object) -> bytes:
    """Return JSON; paths become text."""
    return _ENCODER.encode(value)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of what `encode` writes."""
    return msgspec.json.Decoder(kind, dec_hook=_from_text)


def _to_text(value: object) -> str:
    if isinstance(value, Path):
        text = str(value)
        # JSON holds UTF-8 only; a NUL stands in no path, so it can mark one of other bytes.
        return text if is_utf8(text) else "\0" + os.fsencode(value).decode("latin-1")
    raise NotImplementedError(type(value).__name__)


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        if value.startswith("\0"):
            return Path(os.fsdecode(value[1:].encode("latin-1")))
        return Path(value)
    raise NotImplementedError(kind.__name__)


_ENCODER = msgspec.json.Encoder(enc_hook=_to_text, order="deterministic")


def clips_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return clip names as a spec keeps them: each once, sorted, so that equal asks are equal."""
    return tuple(sorted(set(names)))
