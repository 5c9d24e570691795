"""The window picker of a clip: a cursor on its frames, in and out point."""

from __future__ import annotations

import msgspec
from textual.timer import Timer

from engine.dataset.windows import Span
from engine.errors import UsageError
from engine.overview.types import Row
from engine.project import Project
from engine.worker.thumbnail_types import Facts
from ltx_tui.clips.store import Store
from ltx_tui.drawing.signs import Signs
from ltx_tui.frames.window_pick import Outcome, Points, Timing, outcome, written_span
from ltx_tui.screens.canny_view import CannyView

# Pictures are read anew when points rest for so long, in seconds.
_REST = 0.25


class Spot(msgspec.Struct):
    """Where one is in a clip.

    Attributes:
        cursor: A frame; None for the first that is kept.
        points: The window as it was picked; None for that of the dataset.
    """

    cursor: int | None = None
    points: Points | None = None


class WindowPicker(CannyView):
    """The part of the frames' screen that picks windows.

    Attributes:
        is_large: Whether the frame at the cursor is shown large.
    """

    store: Store
    project: Project
    how: Signs
    is_large = False
    _points_rest: Timer | None = None

    def __init__(self) -> None:
        super().__init__()
        self._spots: dict[str, Spot] = {}

    # What the screen has

    @property
    def row(self) -> Row:
        """The clip."""
        raise NotImplementedError

    @property
    def facts(self) -> Facts | None:
        """What the child told of it."""
        raise NotImplementedError

    def tell(self) -> None:
        """Say what is known."""
        raise NotImplementedError

    def show_large(self) -> None:
        """Make room for the large picture, or take it away."""
        raise NotImplementedError

    def follow_cursor(self) -> None:
        """Read the frame at the cursor."""
        raise NotImplementedError

    # The window

    @property
    def spot(self) -> Spot:
        """Where one is in the clip."""
        return self._spots.setdefault(self.row.name, Spot())

    @property
    def timing(self) -> Timing | None:
        """The time of the clip, where windows of it can be picked."""
        facts = self.facts
        if facts is None or facts.kind != "video" or not facts.frames or not facts.rate[0]:
            return None
        return Timing.of(facts)

    def points_of(self, timing: Timing) -> Points:
        """Return in and out point as they are picked, or those of the dataset."""
        return self.spot.points or Points.of(written_span(self.row), timing)

    @property
    def is_picked(self) -> bool:
        """Whether another window is picked than the dataset has."""
        timing = self.timing
        return timing is not None and self.spot.points is not None

    def cursor_of(self, timing: Timing) -> int:
        """Return the frame at the cursor."""
        if self.spot.cursor is not None:
            return max(0, min(timing.frames - 1, self.spot.cursor))
        return self.points_of(timing).first or 0

    def picked_row(self) -> tuple[Row, Outcome | None]:
        """Return the row as it would be with the picked window, and what comes of that.

        The row as it is where none is picked, or nothing is known of its time yet.
        """
        row, timing, facts = self.row, self.timing, self.facts
        if timing is None or facts is None or not (self.is_large or self.is_picked):
            return row, None
        span = self.points_of(timing).span(timing)
        what = outcome(span, timing, facts.size, self.project, row.name)
        if not self.is_picked:
            return row, what
        bucket = str(what.bucket) if what.bucket is not None else ""
        return msgspec.structs.replace(row, bucket=bucket, kept=what.kept), what

    def picked_outcome(self, span: Span) -> Outcome | None:
        """Return what comes of a window of the clip; None while nothing is known of it."""
        timing, facts = self.timing, self.facts
        if timing is None or facts is None:
            return None
        return outcome(span, timing, facts.size, self.project, self.row.name)

    def picking(self) -> Timing:
        """Return the time of the clip, for a command about its frames.

        Raises:
            UsageError: No window of it can be picked.
        """
        timing, facts = self.timing, self.facts
        if timing is not None:
            return timing
        if facts is None:
            raise UsageError("the clip is not read yet", remedy="try again in a moment")
        if facts.kind == "image":
            raise UsageError("an image has no window")
        raise UsageError(
            "a sound without a picture has no frames to pick from",
            remedy="write window_start and window_end into the dataset, in seconds",
        )

    # The cursor

    def _move(self, frame: int) -> None:
        timing = self.picking()
        self.spot.cursor = max(0, min(timing.frames - 1, frame))
        if self.compare:
            self.compare, self.is_large = False, True
            self.read_anew()
        elif not self.is_large:
            self.is_large = True
            self.show_large()
        else:
            self.tell()
            self.follow_cursor()

    def _step(self, by: int, *, seconds: bool = False) -> None:
        timing = self.picking()
        step = max(1, round(timing.fps)) if seconds else 1
        # The first key shows where the cursor is.
        cursor = self.cursor_of(timing)
        self._move(cursor + by * step)

    def do_frame_back(self) -> None:
        """Go to the frame before."""
        self._step(-1)

    def do_frame_on(self) -> None:
        """Go to the next frame."""
        self._step(1)

    def do_second_back(self) -> None:
        """Go back a second."""
        self._step(-1, seconds=True)

    def do_second_on(self) -> None:
        """Go on a second."""
        self._step(1, seconds=True)

    def do_begin(self) -> None:
        """Go to the clip's first frame."""
        self._move(0)

    def do_end(self) -> None:
        """Go to the clip's last frame."""
        self._move(self.picking().frames - 1)

    def do_large(self) -> None:
        """Show the frame at the cursor large, or not."""
        if not self.is_large:
            self._move(self.cursor_of(self.picking()))
            return
        self.is_large = False
        self.show_large()

    # In and out point

    def do_in_point(self) -> None:
        """Let the window begin at the cursor."""
        timing = self.picking()
        self._set(self.points_of(timing).with_first(self.cursor_of(timing)), timing)

    def do_out_point(self) -> None:
        """Let the window end after the frame at the cursor."""
        timing = self.picking()
        self._set(self.points_of(timing).with_last(self.cursor_of(timing), timing), timing)

    def _set(self, points: Points, timing: Timing) -> None:
        written = Points.of(written_span(self.row), timing)
        self.spot.points = None if points == written else points
        self._move(self.cursor_of(timing))
        self._read_when_at_rest()

    def _read_when_at_rest(self) -> None:
        if self._points_rest is not None:
            self._points_rest.stop()
        self._points_rest = self.set_timer(_REST, self.read_again)
