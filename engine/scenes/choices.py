"""What a person chose about the scenes of a video: how they are found, joined, split, left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeVar

import msgspec

from engine.errors import UsageError
from engine.media.scene_options import Choosing, Finding, parse_length
from engine.media.scene_types import Found, Range, is_shorter, piece_of, trimmed

State = Literal["kept", "dropped", "short"]
_Value = TypeVar("_Value")


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A scene, and what becomes of it.

    Attributes:
        number: From 1, among all scenes.
        whole: Its frames.
        part: Those that are written where it is kept.
        start: Seconds after the first frame of the video.
        seconds: How long the part is.
        state: "short": left out because it is too short, and nobody wanted it all the same.
    """

    number: int
    whole: Range
    part: Range
    start: float
    seconds: float
    state: State

    def has(self, frame: int) -> bool:
        """Whether a frame is one of its own."""
        return self.whole.first <= frame < self.whole.end


class Choices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a person chose about one video.

    Attributes:
        finding: How scenes are found.
        choosing: The guard, and how long scenes must be.
        joined: Cuts of the detector that are none.
        split: Cuts where the detector has none.
        dropped: Scenes that are left out, by their frames.
        wanted: Scenes that are kept although they are too short.
    """

    finding: Finding = Finding()
    choosing: Choosing = Choosing()
    joined: tuple[int, ...] = ()
    split: tuple[int, ...] = ()
    dropped: tuple[Range, ...] = ()
    wanted: tuple[Range, ...] = ()

    @property
    def has_edits(self) -> bool:
        """Whether scenes were joined, split, left out or kept by hand."""
        return bool(self.joined or self.split or self.dropped or self.wanted)

    def without_edits(self) -> Choices:
        """Return them with nothing changed by hand."""
        return Choices(finding=self.finding, choosing=self.choosing)

    def cuts(self, found: Iterable[int], span: Range) -> tuple[int, ...]:
        """Return the cuts that count, rising.

        Args:
            found: Those of the detector.
            span: The frames that were looked at.
        """
        own = {cut for cut in self.split if span.first < cut < span.end}
        return tuple(sorted((set(found) - set(self.joined)) | own))

    def scenes(self, found: Found, detected: Collection[int]) -> list[Scene]:
        """Return all scenes of a video.

        Args:
            found: The video.
            detected: The cuts of the detector.

        Raises:
            UsageError: The length that scenes must have cannot be read.
        """
        times = found.ticks() if found.vfr else None
        least = parse_length(self.choosing.filter_shorter_than, "the shortest length")
        exact = set(self.split) - set(detected)
        cut = msgspec.structs.replace(found, cuts=self.cuts(detected, found.span))
        scenes = []
        for number, whole in enumerate(cut.scenes, 1):
            part = trimmed(whole, found.span, self.choosing.trim, exact)
            piece = piece_of(found, times, number, part, whole)
            is_short = least is not None and is_shorter(piece, least, found)
            scenes.append(
                Scene(
                    number=number,
                    whole=whole,
                    part=part,
                    start=piece.start,
                    seconds=piece.seconds,
                    state=self._state(whole, is_short=is_short),
                )
            )
        return scenes

    def _state(self, whole: Range, *, is_short: bool) -> State:
        if whole in self.dropped:
            return "dropped"
        return "short" if is_short and whole not in self.wanted else "kept"

    def split_at(self, frame: int, scenes: Sequence[Scene], detected: Collection[int]) -> Choices:
        """Return them with a scene that begins at a frame.

        Raises:
            UsageError: One begins there already, or the frame is not of the video.
        """
        if not any(one.has(frame) and one.whole.first < frame for one in scenes):
            raise UsageError(
                f"a scene begins at frame {frame:,} already"
                if any(one.whole.first == frame for one in scenes)
                else f"frame {frame:,} was not looked at",
                remedy="go to another frame with ← →, then split",
            )
        if frame in self.joined and frame in detected:
            return msgspec.structs.replace(self, joined=_less(self.joined, frame))
        return msgspec.structs.replace(self, split=tuple(sorted((*self.split, frame))))

    def join_at(self, cut: int, detected: Collection[int]) -> Choices:
        """Return them without a cut: the scenes before and behind it become one."""
        split, joined = _less(self.split, cut), self.joined
        if cut in detected:
            joined = tuple(sorted({*joined, cut}))
        return msgspec.structs.replace(self, split=split, joined=joined)

    def turned(self, scene: Scene) -> Choices:
        """Return them with a scene kept that is left out, or the other way round."""
        whole = scene.whole
        if scene.state == "kept":
            if whole in self.wanted:
                return msgspec.structs.replace(self, wanted=_less(self.wanted, whole))
            return msgspec.structs.replace(self, dropped=(*self.dropped, whole))
        if scene.state == "short":
            return msgspec.structs.replace(self, wanted=(*self.wanted, whole))
        return msgspec.structs.replace(self, dropped=_less(self.dropped, whole))


def ranges(scenes: Iterable[Scene]) -> tuple[Range, ...]:
    """Return the frames of the pieces that are to be written."""
    return tuple(one.part for one in scenes if one.state == "kept")


def _less(values: tuple[_Value, ...], value: _Value) -> tuple[_Value, ...]:
    return tuple(one for one in values if one != value)
