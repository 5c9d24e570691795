"""What the worker tells, as changes to the rows of the clip list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from engine.overview.types import Made, OutputState, StageState
from engine.precompute.layout import CAPTIONS, Stage

if TYPE_CHECKING:
    from engine.events import AnyEvent, ClipDone, ClipFailed, ClipStarted, InHand, Standing
    from engine.worker.protocol import News

_SHOWN = frozenset({*Stage, CAPTIONS})

Find = Callable[[int, str], int | None]
"""Returns the index of the row that the dataset's row number and the clip's name tell."""


class Change(msgspec.Struct, frozen=True):
    """How one output of one row stands now.

    Attributes:
        stage: `CAPTIONS` for the caption itself, which is no output but is made like one.
        state: None where it does not run any more and stands as it did before.
        made: How it was made.
    """

    index: int
    stage: str
    state: StageState | None = None
    made: Made | None = None


def changes_of(news: News, running: Iterable[tuple[int, str]], find: Find) -> Iterator[Change]:
    """Yield what changes in the rows.

    Args:
        news: What was told.
        running: The outputs that were being made so far.
        find: Finds the row of an event.
    """
    from engine.worker.protocol import Changed, Goodbye, Snapshot, Told

    match news:
        case Told():
            yield from _of_event(news.event, running, find)
        case Snapshot():
            yield from _of_standing(news.standing, running, find)
        case Changed():
            # One job runs at a time; one that is queued meanwhile changes nothing.
            if news.job.state.has_ended or news.job.state == "paused":
                yield from _over(running)
        case Goodbye():
            yield from _over(running)


def _of_event(event: AnyEvent, running: Iterable[tuple[int, str]], find: Find) -> Iterator[Change]:
    from engine.events import ClipDone, ClipFailed, ClipStarted, JobDone, Standing

    match event:
        case ClipStarted():
            yield from _one(event, find, StageState(event.stage, OutputState.RUNNING))
        case ClipDone():
            made = Made(
                stage=event.stage,
                seconds=event.seconds,
                rung=event.detail,
                device=event.device,
                peak=event.peak,
            )
            yield from _one(event, find, StageState(event.stage, OutputState.FRESH), made)
        case ClipFailed():
            yield from _one(event, find, _failed(event))
        case Standing():
            yield from _of_standing(event, running, find)
        case JobDone():
            yield from _over(running)


def _of_standing(
    standing: Standing, running: Iterable[tuple[int, str]], find: Find
) -> Iterator[Change]:
    places = {(find(one.row, one.clip), one.stage): one for one in standing.in_hand}
    yield from _over(place for place in running if place not in places)
    for failure in standing.failures:
        yield from _one(failure, find, _failed(failure))
    for one in standing.in_hand:
        yield from _one(one, find, StageState(one.stage, OutputState.RUNNING))


def _failed(event: ClipFailed) -> StageState:
    return StageState(event.stage, OutputState.FAILED, event.reason, event.remedy)


def _one(
    event: ClipStarted | ClipDone | ClipFailed | InHand,
    find: Find,
    state: StageState,
    made: Made | None = None,
) -> Iterator[Change]:
    if event.stage not in _SHOWN:
        return
    index = find(event.row, event.clip)
    if index is not None:
        yield Change(index, event.stage, state, made)


def _over(running: Iterable[tuple[int, str]]) -> Iterator[Change]:
    for index, stage in running:
        yield Change(index, stage)
