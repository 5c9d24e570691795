"""Made-up scores of the made-up clips of `tests.tui.rows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.suspicion.file import Basis, Counted, Result, Scores, Stored, stored_of
from engine.suspicion.types import Reason

SPEECH = Reason("speech", "speech, but nothing is heard")
COPY = Reason("copy", "nearly the same as the caption of scene-0001.mp4")
OPENING = Reason("opening", "opens like a model's answer")
# By row; the others have nothing against them.
FOUND = {2: (0.25, (OPENING,)), 5: (0.9, (SPEECH, COPY)), 6: (0.5, (COPY,)), 9: (0.85, (SPEECH,))}
WORST_FIRST = [5, 9, 6, 2, 0, 1, 3, 4, 7, 8, 10, 11]


def scores_of(names: Sequence[str], found: dict[int, Any], basis: Basis | None = None) -> Scores:
    return Scores(stored(names, found, basis or Basis("", (0, 0), (0, 0))))


def stored(
    names: Sequence[str], found: dict[int, Any], basis: Basis, *, is_whole: bool = True
) -> Stored:
    results = [Result(row, *found.get(row, (0.0, ()))) for row in range(len(names))]
    return stored_of(names, results, basis=basis, is_whole=is_whole, counted=Counted())
