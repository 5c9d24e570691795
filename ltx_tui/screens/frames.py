"""Frames: what the model sees of a clip, what it hears, and what comes back from the latents."""

from __future__ import annotations

import time
from typing import TypedDict

import msgspec
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult

from engine.dataset.windows import WHOLE as EVERYTHING
from engine.overview.types import Row
from engine.project import Project
from engine.text import plural, visible
from engine.worker.thumbnail_types import MOST_FRAMES, Facts
from ltx_tui.clips.store import Changes, Store
from ltx_tui.drawing.blocks import depth_of
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, plain, signs
from ltx_tui.frames import words
from ltx_tui.frames.window_pick import Outcome, cursor_labels, window_words
from ltx_tui.host import workbench_of
from ltx_tui.screens.frame_reader import FrameReader, Known
from ltx_tui.screens.window_writer import WindowWriter
from ltx_tui.terminal import graphics
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.frame_strip import WHOLE, FrameStrip, Place
from ltx_tui.widgets.waveform import Waveform
from ltx_tui.widgets.words import Words

# While a key is held down nothing is read until the clip rests, in seconds.
_REST = 0.08


class WindowMarks(TypedDict, total=False):
    """What the line of time shows of a window."""

    cursor: float
    points: tuple[float, float]


class FramesScreen(FrameReader, WindowWriter):
    """The frames of one clip after another; ends with the name of the last one."""

    SCOPE = "frames"
    AUTO_FOCUS = "FrameStrip"

    def __init__(
        self, store: Store, project: Project, index: int, *, how: Signs | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            store: The clips, in the order in which they are gone through.
            project: The settings.
            index: The clip to begin with, as the store numbers it.
            how: The signs; by default what the terminal can write.
        """
        how = how or signs()
        super().__init__(FrameStrip(how=how, id="strip"), Waveform(how=how, id="wave"))
        self.store, self.project, self.how = store, project, how
        self._index = index
        self._row = store.get(index)
        self._moved = 0.0
        self._title = Words(id="title", classes="title")
        self._source = Words(id="source")
        self._kept = Words(id="kept")

    def compose(self) -> ComposeResult:
        """Yield what there is to read, the pictures, the sound."""
        yield self._title
        yield self._source
        yield self._kept
        yield self.strip
        yield self.wave
        yield Footer()

    # Beginning and end

    async def on_mount(self) -> None:
        """Choose how pictures are drawn."""
        self.wave.fit(self.app.size.height)
        wanted = workbench_of(self).config.graphics
        why = await self._obstacle(wanted)
        if why:
            self.notify(why, severity="warning", timeout=6)
        self.strip.way = "blocks" if why else wanted
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.tell())
        self._unsubscribe = self.store.subscribe(self._clips_changed)

    def on_resize(self, event: events.Resize) -> None:
        """Read pictures of another size."""
        self.wave.fit(event.size.height)
        self.call_after_refresh(self.read_anew)

    def on_screen_resume(self) -> None:
        """Draw pictures that something else was drawn over."""
        self.strip.repaint()

    async def on_unmount(self) -> None:
        """End the child."""
        self._unsubscribe()
        await self._child.close()

    def _clips_changed(self, changes: Changes) -> None:
        """Follow the row where the dataset was read again."""
        if changes is None or self._row.name in changes:
            before, row = self._row, self.row
            if (before.kept, before.bucket, before.media) != (row.kept, row.bucket, row.media):
                self.read_again()
            elif row != before:
                self.tell()

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project."""
        self.project = project
        self.read_anew()

    @property
    def row(self) -> Row:
        """The clip as it is now, or as it was last where the dataset has it no more."""
        place = self._find()
        if place is None:
            return self._row
        row = self.store.get(place)
        if not row.seconds and self._row.seconds and row.media == self._row.media:
            # Its media will be looked at again, for it has another name.
            row = msgspec.structs.replace(self._row, row=row.row, caption=row.caption)
        self._row = row
        return row

    @property
    def index(self) -> int:
        """The number of the row in the store, or what it was where the dataset has it no more."""
        self._find()
        return self._index

    def _find(self) -> int | None:
        """Return the number of the row in the store, which may have others now; None for none."""
        name, names = self._row.name, self.store.table.names
        if self._index < len(names) and names[self._index] == name:
            return self._index
        found = self.store.find(name)
        if found is not None:
            self._index = found
        return found

    # Words

    def tell(self) -> None:
        """Say what is known."""
        (row, what), facts, how = self.picked_row(), self._known.facts, self.how
        width = self.app.size.width - 2
        self._title.say(Text(visible(row.name), Style(bold=True)), self._where())
        source = self.canny_words() if self.canny else words.source_words(row, facts)
        role = "primary" if self.canny else ""
        self._source.say(Text(words.joined(source, width, how), self._role(role)))
        if self.compare and row.bucket:
            frames = int(row.bucket.rpartition("x")[2])
            said, role = words.psnr_words(self._known.errors, frames), "primary"
        else:
            said, role = self._kept_words(row, what)
        self._kept.say(Text(words.joined(said, width, how), self._role(role)))
        self._tell_places(row)

    def _role(self, role: str) -> Style:
        return style(self.app, role) if role else Style()

    def _kept_words(self, row: Row, what: Outcome | None) -> tuple[list[str], str]:
        """Return what is said of what is kept, and the role of its colour."""
        timing, role = self.timing, "primary" if row.kept[1] else "warning"
        if what is None or timing is None:
            return words.kept_words(row, self.facts, self.project), role
        span = self.points_of(timing).span(timing)
        if span == EVERYTHING and not self.is_picked:
            return words.kept_words(row, self.facts, self.project), role
        role = "primary" if what.bucket is not None else "warning"
        return window_words(span, timing, what, is_written=not self.is_picked), role

    def _where(self) -> str:
        shown, place = self.store.shown, self._place()
        where = f"{place + 1:,} of {len(shown):,}" if place is not None else ""
        parts = ["reading" if self._is_reading else "", where, self._way_words()]
        return words.joined(parts, 60, self.how)

    def _way_words(self) -> str:
        return "" if self.strip.way == "blocks" else self.strip.way

    def _tell_places(self, row: Row) -> None:
        facts, sound = self._known.facts, self._known.sound
        width = self.app.size.width - 2
        room = self.strip.grid.across * self.strip.grid.down
        places, marks = [], []
        if facts is not None:
            numbers = facts.numbers[:room]
            first = row.kept[0] if self.compare else 0.0
            places = [self._place_of(row, number, facts) for number in numbers]
            marks = [first + self._seconds(number, facts) for number in numbers]
        box = facts.box if facts is not None and row.bucket else WHOLE
        self.strip.label(places, box)
        said = self._known.sound_fault
        seconds = facts.seconds if facts is not None else row.seconds
        is_image = facts is not None and facts.kind == "image"
        self.wave.show(
            seconds=0.0 if is_image else seconds,
            kept=row.kept,
            marks=marks,
            sound=sound,
            words=said or ("" if is_image else words.sound_words(row, sound, width, self.how)),
            **self._window_marks(),
        )

    def _place_of(self, row: Row, number: int, facts: Facts) -> Place:
        """Return what is said of a frame of the strip."""
        is_kept = self.compare or self._is_kept(row, number, facts)
        errors = self._known.errors
        labels = words.labels(
            number if facts.kind == "video" else None,
            self._seconds(number, facts),
            is_kept=is_kept,
            error=errors[number] if self.compare and number < len(errors) else None,
            how=self.how,
        )
        return Place(labels, is_kept)

    def _is_kept(self, row: Row, number: int, facts: Facts) -> bool:
        """Whether a frame is kept, by the window that is being picked."""
        if not self.is_picked or not facts.fps:
            return facts.kept[0] <= number <= facts.kept[1]
        slack = 0.5 / facts.fps
        return row.kept[0] - slack <= number / facts.fps < row.kept[1] - slack

    def _window_marks(self) -> WindowMarks:
        """Return cursor and points on the line of time, and name the large picture."""
        timing = self.timing
        if timing is None or self.compare:
            return {}
        points, marks = self.points_of(timing), WindowMarks()
        span = points.span(timing)
        if span != EVERYTHING:
            marks["points"] = (span.start, timing.duration if span.end is None else span.end)
        if self.is_large:
            cursor = self.cursor_of(timing)
            marks["cursor"] = timing.seconds(cursor)
            labels = cursor_labels(cursor, timing, points)
            self.strip.label_lead(Place(tuple(plain(one, self.how) for one in labels)))
        return marks

    def _seconds(self, number: int, facts: Facts) -> float:
        """Return when a frame is shown: of the clip, or of the kept ones."""
        rate = facts.fps
        if self.compare and self.project.video.fps:
            rate = self.project.video.fps
        return number / rate if rate else 0.0

    # Graphics

    async def _obstacle(self, way: graphics.Way) -> str:
        """Return why pictures cannot be drawn in some way; empty where they can."""
        if way != "blocks" and depth_of(self.app) not in ("truecolor", "256"):
            return f"this terminal has too few colours for {way}"
        return await graphics.obstacle(way)

    async def do_graphics(self) -> None:
        """Draw in the next way that this terminal has."""
        ways, why = graphics.WAYS, []
        at = ways.index(self.strip.way)
        for step in range(1, len(ways) + 1):
            way = ways[(at + step) % len(ways)]
            obstacle = await self._obstacle(way)
            if not obstacle:
                break
            why.append(obstacle)
        if why:
            self.notify("\n".join(why), severity="warning", timeout=8)
        if way != self.strip.way:
            self.strip.clear()
            self.strip.way = way
            bench = workbench_of(self)
            # For the rest of this session; the configuration file is the user's.
            bench.config = msgspec.structs.replace(bench.config, graphics=way)
            if way != "blocks":
                self.notify(f"pictures by {way}; i again where the terminal shows none", timeout=4)
            self.read_anew()

    def take_row(self, row: Row) -> None:
        """Go on with a row under another name, or with another row."""
        self._row = row
        self.read_again()

    # Commands

    def do_close(self) -> None:
        """Go back to the clips."""
        waiting = sum(spot.points is not None for spot in self._spots.values())
        if waiting:
            self.notify(f"{plural(waiting, 'window')} not written", severity="warning", timeout=5)
        self.dismiss(self._row.name)

    def _place(self) -> int | None:
        """Return where the clip is in the list; None where it is not."""
        try:
            return self.store.shown.index(self.index)
        except ValueError:
            return None

    def _go(self, by: int) -> None:
        shown, place = self.store.shown, self._place()
        target = max(0, min(len(shown) - 1, place + by)) if place is not None else 0
        if not len(shown) or target == place:
            return
        self._index = shown[target]
        self._row = self.store.get(self._index)
        now = time.monotonic()
        if self._rest is not None:
            self._rest.stop()
        if now - self._moved >= _REST:
            self.read_anew()
        else:
            self.workers.cancel_group(self, "frames")
            self._known = Known()
            self._clear()
            self.tell()
            self._rest = self.set_timer(_REST, self.read_anew)
        self._moved = now

    def do_next(self) -> None:
        """Go to the next clip of the list."""
        self._go(1)

    def do_previous(self) -> None:
        """Go to the previous clip of the list."""
        self._go(-1)

    def do_more(self) -> None:
        """Show more frames."""
        self._change_count(1)

    def do_fewer(self) -> None:
        """Show fewer frames."""
        self._change_count(-1)

    def _change_count(self, by: int) -> None:
        has_two = self.compare or self.canny
        before = self._counts[has_two]
        count = max(1, min(MOST_FRAMES, before + by))
        if count != before:
            self._counts[has_two] = count
            self.read_anew()

    def do_decoded(self) -> None:
        """Show the decoded clip beside its source, or the source alone."""
        self.compare, self.canny = not self.compare, False
        self.read_anew()
