"""The errors that reach a user: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class LtxError(Exception):
    """Something the user can mend.

    Attributes:
        message: What is wrong, in one sentence, without the place.
        remedy: What to do about it; empty when there is nothing to add.
        file: The file it is about.
        row: The 1-based row of a dataset, as the user counts it.
        column: The column or key.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        file: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message, remedy, file, row, column)
        self.message = message
        self.remedy = remedy
        self.file = file
        self.row = row
        self.column = column

    @property
    def headline(self) -> str:
        """Where and what, without the remedy."""
        where = [str(self.file)] if self.file is not None else []
        if self.row is not None:
            where.append(f"row {self.row}")
        if self.column is not None:
            where.append(f"column {self.column!r}")
        return f"{', '.join(where)}: {self.message}" if where else self.message

    def __str__(self) -> str:
        head = self.headline
        return f"{head} — {self.remedy}" if self.remedy else head


class UsageError(LtxError):
    """An option, a project key or a bucket that makes no sense."""


class ProjectError(UsageError):
    """project.toml cannot be used as it is."""


class DatasetError(LtxError):
    """The dataset file cannot be read, or one of its rows cannot be used."""


class MediaError(LtxError):
    """A video, an image or a sound cannot be used."""


class ModelError(LtxError):
    """A checkpoint or a model folder cannot be used."""


class EnvironmentFaultError(LtxError):
    """The machine lacks something: memory, disk space, a device, a package."""
