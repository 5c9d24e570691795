"""Has a clip read for the frames' screen: the strip, the frame at the cursor, the sound."""

from __future__ import annotations

from pathlib import PurePath

import msgspec
from textual.timer import Timer

from engine.errors import LtxError
from engine.text import visible
from engine.worker.thumbnail_types import Ask, Errors, Facts, Failed, Shot, Sound, Tell
from ltx_tui.children.frames import FramesChild, ask_of
from ltx_tui.drawing.colours import style
from ltx_tui.frames import words
from ltx_tui.frames.grid import LEAD
from ltx_tui.screens.window_picker import WindowPicker
from ltx_tui.widgets.frame_strip import FrameStrip
from ltx_tui.widgets.waveform import Waveform

# Frames at first, and with two pictures of each beside each other.
_COUNT, _PAIRS = 6, 4


class Known(msgspec.Struct):
    """What has been told of the clip so far."""

    facts: Facts | None = None
    sound: Sound | None = None
    errors: tuple[float, ...] = ()
    sound_fault: str = ""


class FrameReader(WindowPicker):
    """The part of the frames' screen that has them read."""

    def __init__(self, strip: FrameStrip, wave: Waveform) -> None:
        """Read nothing yet.

        Args:
            strip: Gets the pictures.
            wave: As wide as the sound's outline is to be.
        """
        super().__init__()
        self.strip, self.wave = strip, wave
        self._counts = [_COUNT, _PAIRS]
        self._known = Known()
        self._is_reading = False
        # Ends when a clip that was gone to is to be read.
        self._rest: Timer | None = None
        # Whether the strip is to be read, and which turn of reading follows the cursor.
        self._is_due = False
        self._turn = self._following = 0
        # What the large picture shows.
        self._lead: Ask | None = None
        self._child = FramesChild()

    @property
    def facts(self) -> Facts | None:
        """What the child told of the clip."""
        return self._known.facts

    def read_anew(self) -> None:
        """Show the clip from the beginning."""
        self._rest = None
        if self.is_mounted and self.strip.size.width:
            self._known = Known()
            self._clear()
            self.read_again()

    def show_large(self) -> None:
        """Make room for the large picture, or take it away."""
        self._clear()
        self._lay_out()
        self.read_again()

    def read_again(self) -> None:
        """Read what is shown once more; it stays until that is there."""
        self._is_due = True
        self.follow_cursor(anew=True)

    def follow_cursor(self, *, anew: bool = False) -> None:
        """Read the frame at the cursor, unless that is being done."""
        if not self.is_mounted or (self._following and not anew):
            return
        self._is_reading = self._is_due
        self.tell()
        # Not begun yet: a request that is replaced at once would leave a coroutine behind.
        self.run_worker(self._show, group="frames", exclusive=True)  # type: ignore[arg-type]

    def _clear(self) -> None:
        self.strip.clear()
        self._lead = None

    async def _show(self) -> None:
        self._turn += 1
        turn, self._following = self._turn, 0
        try:
            await self._show_cursor(turn)
            if self._is_due:
                await self._show_strip()
                self._is_due = False
                await self._show_cursor(turn)
        except LtxError as error:
            self._fail("clip", error)
        finally:
            if self._following == turn:
                self._following = 0
        self._is_reading = False
        self.tell()

    async def _show_cursor(self, turn: int) -> None:
        """Show the frame at the cursor, and again until the cursor stays where it is."""
        while (ask := self._cursor_ask()) is not None and ask != self._lead:
            self._following = turn
            async for tell in self._child.show(ask):
                if isinstance(tell, Shot):
                    self.strip.put_lead(tell)
                else:
                    self._take(tell)
            self._lead = ask
        self._following = 0

    def _cursor_ask(self) -> Ask | None:
        timing = self.timing
        if timing is None or not self.strip.grid.lead[0]:
            return None
        at = self.cursor_of(timing)
        return self._ask(count=1, size=self.strip.pixels(LEAD), columns=0, at=at)

    def _lay_out(self) -> tuple[int, tuple[int, int]]:
        """Make room for pictures; return how many, and the most pixels of each."""
        row = self.row
        aspect = words.aspect_of(row, self.facts, compare=self.compare)
        has_two = self.compare or self.canny
        count = self._counts[has_two]
        most = int(row.bucket.rpartition("x")[2]) if self.compare and row.bucket else row.frames
        count = min(count, most or count)
        self.strip.is_compared = self.compare
        lead = self.is_large and not self.compare
        return count, self.strip.lay_out(count, aspect, 2 if has_two else 1, lead=lead)

    def _ask(self, *, count: int, size: tuple[int, int], columns: int, at: int = -1) -> Ask:
        ask = ask_of(
            self.picked_row()[0],
            self.project,
            count=count,
            size=size,
            columns=columns,
            compare=self.compare,
            palette=self.strip.way == "sixel",
            canny=self.thresholds if self.canny else None,
            at=at,
        )
        if self.strip.way == "blocks":
            return ask
        triplet = style(self.app, "warning").color
        line = triplet.get_truecolor() if triplet is not None else (255, 200, 0)
        return msgspec.structs.replace(ask, line=tuple(line))

    async def _show_strip(self) -> None:
        count, size = self._lay_out()
        ask = self._ask(count=count, size=size, columns=self.wave.steps)
        async for tell in self._child.show(ask):
            self._take(tell)

    def _take(self, tell: Tell) -> None:
        if isinstance(tell, Shot):
            self.strip.put(tell)
            return
        if isinstance(tell, Facts):
            self._known.facts = tell
            self.strip.expect(tell.numbers)
        elif isinstance(tell, Sound):
            self._known.sound = tell
        elif isinstance(tell, Errors):
            self._known.errors = tell.values
        elif isinstance(tell, Failed):
            self._fail(tell.part, tell.fault.to_error())
        self.tell()

    def _fail(self, part: str, error: LtxError) -> None:
        file = PurePath(str(error.file)).name if error.file is not None else ""
        message = visible(f"{file}: {error.message}" if file else error.message)
        if part == "sound":
            self._known.sound_fault = f"sound: {message}"
            return
        if part == "decoded" and not file:
            message = f"the clip {message}"
        self.strip.say(message, visible(error.remedy))
