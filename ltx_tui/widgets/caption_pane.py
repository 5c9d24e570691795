"""The pane of a caption: sections or plain text, counted, kept and saved as it is typed."""

from __future__ import annotations

import contextlib
import time

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.geometry import Region
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static, TextArea

from engine.dataset.caption_db import Key
from engine.text import visible
from ltx_tui.captions.book import CaptionRows
from ltx_tui.captions.docs import Doc, Told
from ltx_tui.captions.editing import Captions
from ltx_tui.captions.parts import NAMES, PLAIN, CaptionParts, has_sections
from ltx_tui.captions.status import notice, status, written
from ltx_tui.children.token_counts import TokenCount, TokenCounts
from ltx_tui.drawing.colours import style
from ltx_tui.widgets.caption_area import CaptionArea, SectionRow
from ltx_tui.widgets.line import Line

_COUNT_AFTER = 0.25
_LOOKED_AT = 50  # captions, to see whether this dataset has sections
_STATUS_EVERY = 1.0


class _Status(Line):
    """How the caption stands."""

    def __init__(self, editor: CaptionPane) -> None:
        super().__init__(id="caption-status")
        self._editor = editor

    def content(self, width: int) -> Text:
        """Return the line."""
        return Text(self._editor.status(width), Style(bold=True), no_wrap=True)


class _Trigger(Line):
    """The trigger word, as it will stand before the caption."""

    def __init__(self, word: str) -> None:
        super().__init__(id="caption-trigger")
        self.word = word
        self.display = bool(word)

    def content(self, width: int) -> Text:
        """Return the line."""
        word = Text(visible(self.word), style(self.app, "accent", bold=True))
        end = written("trigger · fixed")
        word.truncate(max(1, width - len(end) - 2), overflow="ellipsis")
        gap = " " * max(2, width - word.cell_len - len(end))
        return Text.assemble(word, gap, (end, Style(dim=True)))


class CaptionPane(Vertical):
    """One caption at a time; see `show`."""

    DEFAULT_CSS = """
    CaptionPane {
        height: 1fr;
        #caption-notice { height: auto; max-height: 6; color: $warning; display: none; }
        #caption-body { height: 1fr; scrollbar-size-vertical: 1; }
    }
    """

    class Moved(Message):
        """Another clip is in hand, by one of the editor's own keys."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Again(Message):
        """A clip is to be captioned again."""

        def __init__(self, key: Key) -> None:
            super().__init__()
            self.key = key

    class Left(Message):
        """The user wants to go back to the clips."""

    def __init__(self, captions: Captions, store: CaptionRows) -> None:
        super().__init__()
        self.captions = captions
        self.doc: Doc | None = None
        self.by_section = True
        self._store = store
        self._wants: bool | None = None  # by section or not, where the user chose
        self._parts = CaptionParts("", by_section=True)
        self._rows = {name: SectionRow(name, self.collect, self._leave) for name in NAMES}
        self._tokens: TokenCount | None = None
        self._counts = TokenCounts(captions.project.text_encoder_path)
        self._outside = self._arrived = 0
        self._is_opening = False
        self._told = ""  # the last trouble of the tokenizer
        self._told_at = 0.0
        self._status_timer: Timer | None = None
        self._count_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield status, trigger word, notice and the sections."""
        yield _Status(self)
        yield _Trigger(self.captions.project.text.trigger)
        yield Static(id="caption-notice", markup=False)
        with VerticalScroll(id="caption-body", can_focus=False):
            yield from self._rows.values()

    def on_mount(self) -> None:
        """Listen to what becomes of captions."""
        self._unsubscribe = self.captions.subscribe(self._hear)
        self._load(at=0)

    async def on_unmount(self) -> None:
        """Leave nothing behind that was typed."""
        self._unsubscribe()
        self.collect()
        await self._counts.close()

    # What is in hand

    async def show(self, name: str, nth: int = 0) -> None:
        """Take a caption in hand; the one before is saved.

        Args:
            name: The clip; empty for none.
            nth: Which of the rows of that name.
        """
        self.collect()
        if self.doc is not None:
            if self.doc.key == Key(name, nth):
                return
            self.captions.save_soon(0)
        self._is_opening = True  # what is typed meanwhile is for the new one
        try:
            doc = await self.captions.open(Key(name, nth)) if name else None
        except KeyError:
            doc = None
        finally:
            self._is_opening = False
        self.doc, self._tokens, self._outside, self._arrived = doc, None, 0, 0
        self.captions.shown = doc.key if doc is not None else None
        self._wants = None if self.by_section else False
        if self.is_mounted:
            self._load(at=0, unfold=False)
            self._count_soon()

    def collect(self) -> None:
        """Take what the areas have into the caption; whatever follows finds it there."""
        if self.doc is None or self.captions.is_read_only or self._is_opening:
            return
        shown = {name: self._rows[name].area.text for name in self._parts.names}
        self.captions.edit(self.doc, self._parts.caption(shown))

    def status(self, width: int) -> str:
        """Return how the caption stands, in words."""
        if self.doc is None:
            return "no clip"
        return status(self.captions, self.doc, self._tokens, width)

    def _load(self, at: int | None = None, *, unfold: bool = True) -> None:
        """Show the caption as it is; the cursor goes to an offset of it, or stays."""
        doc = self.doc
        text = doc.text if doc is not None else ""
        had_focus = self.has_focus_within  # what is no longer shown loses it
        wants = self._wants if self._wants is not None else self._has_sections(text)
        self._parts = CaptionParts(text, by_section=wants)
        for name, row in self._rows.items():
            is_shown = name in self._parts.names
            if name != PLAIN and not is_shown and row.is_folded:
                row.fold(folded=False)
            row.lay_out(is_shown=is_shown, is_plain=self._parts.is_plain)
            row.area.read_only = doc is None or self.captions.is_read_only
            if is_shown:
                row.area.show(self._parts.shown[name])
                if row.is_folded:
                    row.fold(folded=True)
        if at is not None:
            self._put_cursor(at, unfold=unfold, focus=had_focus)
        self._tell_now()

    def _has_sections(self, text: str) -> bool:
        """Whether a caption is shown by section; an empty one is as the first that is not."""
        if text.strip():
            return has_sections(text)
        for index in self._store.shown[:_LOOKED_AT]:
            if other := self._store.get(index).caption.strip():
                return has_sections(other)
        return True

    def _put_cursor(self, offset: int, *, unfold: bool, focus: bool) -> None:
        name, there = self._parts.place(offset)
        for row in self._rows.values():
            if row.section != name:
                row.area.put_cursor(0)
        row = self._rows[name]
        if focus:
            if row.is_folded and unfold:
                row.fold(folded=False)
            row.take_focus()
        row.area.put_cursor(there)

    def focus(self, scroll_visible: bool = True) -> CaptionPane:
        """Go to the text."""
        row = next((row for row in self._rows.values() if row.display), None)
        if row is not None:
            (row.head if row.is_folded else row.area).focus(scroll_visible)
        return self

    @property
    def _focused(self) -> SectionRow | None:
        return next((row for row in self._rows.values() if row.has_focus_within), None)

    # What happens

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Keep the cursor in sight."""
        event.stop()
        self.call_after_refresh(self._follow_cursor)

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Keep the cursor in sight."""
        event.stop()
        self.call_after_refresh(self._follow_cursor)

    def _leave(self, area: CaptionArea, by: int) -> None:
        """Go on in the section above or below."""
        rows = [row for row in self._rows.values() if row.display]
        at = next(n for n, row in enumerate(rows) if row.area is area) + by
        if 0 <= at < len(rows):
            row = rows[at]
            row.take_focus()
            row.area.put_cursor(0 if by > 0 else len(row.area.text))

    def _follow_cursor(self) -> None:
        row = self._focused
        if row is None or row.is_folded:
            return
        try:
            body = self.query_one("#caption-body", VerticalScroll)
        except NoMatches:
            return
        place = row.area.cursor_screen_offset - body.content_region.offset + body.scroll_offset
        body.scroll_to_region(Region(0, place.y, 1, 1), animate=False, force=True)

    def _hear(self, told: Told) -> None:
        """Take in what became of captions."""
        doc = self.doc
        mine = doc is not None and told.key == doc.key
        if told.what == "text" and mine and doc is not None:
            self._load(at=doc.cursor if self.has_focus_within else None)
        if told.what == "outside":
            self._outside += told.count
        if told.what == "arrived":
            self._arrived += told.count
        if mine and told.what in ("text", "state"):
            self._count_soon()
        self._tell_soon()

    # Status and tokens

    def _tell_soon(self) -> None:
        """Renew the status, at most once a second."""
        if self._status_timer is None:
            wait = max(0.02, self._told_at + _STATUS_EVERY - time.monotonic())
            self._status_timer = self.set_timer(wait, self._tell_now)

    def _tell_now(self) -> None:
        if self._status_timer is not None:
            self._status_timer.stop()
            self._status_timer = None
        self._told_at = time.monotonic()
        with contextlib.suppress(NoMatches):
            self.query_one(_Status).redraw()
            words = notice(self.captions, self.doc, self._outside, self._arrived)
            words = words or self._parts.reason
            words = written(words)
            static = self.query_one("#caption-notice", Static)
            if words != str(static.content):
                static.update(Text(words))
                static.display = bool(words)

    def _count_soon(self) -> None:
        if self._count_timer is not None:
            self._count_timer.stop()
        self._count_timer = self.set_timer(_COUNT_AFTER, self._count)

    def _count(self) -> None:
        self.run_worker(self._count_tokens(), name="tokens")

    async def _count_tokens(self) -> None:
        doc = self.doc
        if doc is None:
            return
        tokens = await self._counts.count(self.captions.prompt(doc.text))
        if tokens is not None and doc is self.doc and tokens != self._tokens:
            self._tokens = tokens
            self._tell_soon()
            if tokens.problem and tokens.problem != self._told:
                self._told = tokens.problem
                self.app.notify(visible(tokens.problem), severity="warning")
