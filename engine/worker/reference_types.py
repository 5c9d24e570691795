"""What the child that makes references is asked: data, without what it takes to make them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.events import Event
from engine.project import Project
from engine.worker.spec import Fault

STAGE = "references"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """References to make.

    Attributes:
        project: Names the dataset and its columns; its file is made where it is not there yet.
        folder: Only clips in this folder; None for all.
        condition: "canny", or "module:function".
        low: Lower threshold of Canny.
        high: Upper threshold of Canny.
        modules: Folders in which modules are looked for first.
        override: Make again what is there already.
        batch_size: The dataset is written after so many references.
        workers: Clips side by side; 0: as many as suit the machine.
        given_up: Rows that are not tried: the program died of them.
    """

    project: Project
    folder: Path | None = None
    condition: str = "canny"
    low: float = 100.0
    high: float = 200.0
    modules: tuple[Path, ...] = ()
    override: bool = False
    batch_size: int = 100
    workers: int = 0
    given_up: tuple[int, ...] = ()


class Stopped(Event, frozen=True, tag="stopped"):
    """The work as a whole cannot be done, or not go on."""

    fault: Fault
