"""One video that is cut into scenes: what is known of it, what a person chose, how far it is."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import LtxError
from engine.files.identity import FileIdentity
from engine.media.scene_options import Finding
from engine.media.scene_rules import cuts_by, measuring
from engine.media.scene_types import Found, Range
from engine.scenes.choices import Choices, Scene, ranges
from engine.scenes.sources import Source
from engine.scenes.store import Measured
from engine.worker.scene_messages import Progress, Scores

# How many changes can be taken back.
_MOST_UNDO = 500


class Lost(msgspec.Struct, frozen=True):
    """A piece that could not be made."""

    piece: str
    error: LtxError


class Making(msgspec.Struct):
    """What became of the pieces of a video in the last run.

    Attributes:
        wanted: How many pieces there are to be.
        made: How many were written.
        fresh: How many were there already.
        lost: Those that could not be made.
        has_ended: Whether all is done.
    """

    wanted: int
    made: int = 0
    fresh: int = 0
    lost: list[Lost] = []
    has_ended: bool = False


class VideoScenes:
    """A video.

    Attributes:
        source: The file.
        choices: What a person chose, or the project's defaults.
        is_own: Whether somebody chose anything.
        is_picked: Whether it is among those that are worked on together.
        identity: The file as it was looked at; None before.
        found: What looking gave; None before.
        scores: Of each frame that was looked at, as far as they are known.
        changes: The content scores of the same frames; adaptive alone.
        measured: What the scores depend on; None before the first.
        detected: The cuts of the detector.
        scenes: All scenes, as they are chosen.
        progress: How far it is that is being done; None for nothing.
        is_waiting: Whether it will be looked at when others are done.
        fault: Why it cannot be looked at or cut; None where it can.
        notes: What is worth knowing of it.
        making: What became of its pieces; None where nothing was cut.
    """

    def __init__(self, source: Source, choices: Choices, *, is_own: bool = False) -> None:
        """Know nothing of a video but where it is."""
        self.source = source
        self.choices = choices
        self.is_own = is_own
        self.is_picked = False
        self.identity: FileIdentity | None = None
        self.found: Found | None = None
        self.scores: array[float] = array("f")
        self.changes: array[float] = array("f")
        self.measured: Finding | None = None
        self.detected: tuple[int, ...] = ()
        self.scenes: list[Scene] = []
        self.progress: Progress | None = None
        self.is_waiting = False
        self.fault: LtxError | None = None
        self.notes: list[str] = []
        self.making: Making | None = None
        self._undo: list[Choices] = []
        self._looked_with: Finding | None = None
        self._timed: Found | None = None
        self._ticks: Sequence[int] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @property
    def is_known(self) -> bool:
        """Whether its scenes are known, by the options as they are chosen."""
        return self.found is not None and self.measured == measuring(self.choices.finding)

    @property
    def kept(self) -> tuple[Range, ...]:
        """The frames of the pieces that are to be written."""
        return ranges(self.scenes)

    @property
    def chosen(self) -> Found | None:
        """What is known, with the cuts that count."""
        if self.found is None:
            return None
        cuts = self.choices.cuts(self.detected, self.found.span)
        return msgspec.structs.replace(self.found, cuts=cuts)

    def seconds(self, frame: int) -> float:
        """Return when a frame is shown, in seconds after the first; 0 where nothing is known."""
        found = self.found
        if found is None:
            return 0.0
        if found is not self._timed:
            # Times of a variable rate take a while to unpack.
            self._timed, self._ticks = found, found.ticks() if found.vfr else None
        return float(found.seconds(max(0, min(frame, found.frames)), self._ticks))

    # Looking

    def forget(self) -> None:
        """Know nothing of its scenes: they will be looked for anew."""
        self.found = self.measured = self.fault = None
        self.scores, self.changes = array("f"), array("f")
        self.detected, self.scenes, self.notes = (), [], []

    def hear_scores(self, tell: Scores) -> None:
        """Take in scores of some more frames."""
        self.scores.frombytes(tell.values)
        self.changes.frombytes(tell.changes)

    def take(self, measured: Measured) -> None:
        """Take what looking gave."""
        self.found, self.measured = measured.found, measuring(measured.finding)
        self._looked_with = measured.finding
        self.scores, self.changes = array("f"), array("f")
        self.scores.frombytes(measured.scores)
        self.changes.frombytes(measured.changes)
        self.detected = self.found.cuts
        self.fault = None
        self._renew()

    def decide(self, finding: Finding) -> tuple[int, ...]:
        """Return the cuts that the known scores give by some options. Takes a while."""
        if self.found is None or finding == self._looked_with:
            return self.found.cuts if self.found is not None else ()
        return cuts_by(finding, self.scores, self.changes, self.found.frames)

    # Choosing

    def change(self, choices: Choices) -> bool:
        """Take other choices; return whether they differ. What was is kept for `undo`."""
        if choices == self.choices:
            return False
        self._undo = [*self._undo[1 - _MOST_UNDO :], self.choices]
        self._set(choices)
        return True

    def undo(self) -> bool:
        """Go back to the choices before; return whether there were any."""
        if not self._undo:
            return False
        self._set(self._undo.pop())
        return True

    def _set(self, choices: Choices) -> None:
        self.choices, self.is_own = choices, True
        self._renew()

    def detect(self, cuts: Sequence[int]) -> None:
        """Take other cuts of the detector."""
        self.detected = tuple(cuts)
        self._renew()

    def _renew(self) -> None:
        if self.found is not None:
            self.scenes = self.choices.scenes(self.found, self.detected)

    def scene_at(self, frame: int) -> int:
        """Return the place of the scene that a frame is of, or of the nearest."""
        for place, scene in enumerate(self.scenes):
            if frame < scene.whole.end:
                return place
        return max(0, len(self.scenes) - 1)
