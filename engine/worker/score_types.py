"""What the child that scores captions is asked and tells: data, without what it takes to do it."""

from __future__ import annotations

import msgspec

from engine.events import Event
from engine.project import Project

STAGE = "sound"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Captions to score.

    Attributes:
        first: Rows whose clips are listened to before all others.
        workers: Clips side by side; 0: as many as suit the machine.
        given_up: Rows whose clips are not listened to: the program died of them.
    """

    project: Project
    first: tuple[int, ...] = ()
    workers: int = 0
    given_up: tuple[int, ...] = ()


class Scored(Event, frozen=True, tag="scored"):
    """The file of scores has been written.

    Attributes:
        rows: How many captions there are.
        is_whole: False where clips are still to be listened to.
    """

    rows: int
    is_whole: bool
