"""The clip list: 100,000 clips, sorted, filtered and marked from the keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from ltx_tui.clips.filter_types import FilterError
from ltx_tui.clips.sorting import COLUMNS
from ltx_tui.clips.store import Changes, Store
from ltx_tui.clips.words import fault_words, headline
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs
from ltx_tui.host import focus_now, workbench_of
from ltx_tui.widgets.clip_review import ClipReview
from ltx_tui.widgets.clip_rows import ClipHeader, ClipRows
from ltx_tui.widgets.clip_taking import ClipTaking
from ltx_tui.widgets.filter_bar import FilterBar
from ltx_tui.widgets.lines import Lines

# While a key is held down the other panes wait until the cursor rests.
_REST = 0.08
# Seconds after a change until rows come, go and move.
_SETTLE = 1.0


class ClipList(ClipReview, ClipTaking, Commanded, Vertical):
    """Titles, rows and the filter's line."""

    SCOPE = "clips"
    DEFAULT_CSS = """
    ClipList { height: 1fr; width: 1fr; }
    #clip-note { height: auto; max-height: 4; display: none; }
    """

    class Selected(Message):
        """Another clip is under the cursor.

        Attributes:
            name: Its name; empty where there is none.
        """

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Edit(Selected):
        """The caption of a clip is to be edited."""

    class Wanted(Message):
        """Something is wanted of clips.

        Attributes:
            names: The marked clips, or the one under the cursor.
        """

        def __init__(self, names: tuple[str, ...]) -> None:
            super().__init__()
            self.names = names

    class Reviewed(Wanted):
        """Their captions are reviewed, or not any more."""

    class ChooseBucket(Wanted):
        """They are to get a bucket of their own."""

    class RunMarked(Wanted):
        """They are to be run."""

    class Caption(Wanted):
        """They are to be captioned."""

    class Headline(Message):
        """What is shown has another headline.

        Attributes:
            text: Such as "14 of 1,248 · /state:stale".
        """

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, store: Store, *, how: Signs | None = None, id: str | None = None) -> None:  # noqa: A002
        """Show a store's clips.

        Args:
            store: The clips.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(id=id)
        self.store = store
        self.rows = ClipRows(store, how=how)
        self.header = ClipHeader(self.rows)
        self.bar = FilterBar(store)
        self.note = Static(id="clip-note", markup=False)
        self._selected = ""
        self._told = 0.0
        self._rest: Timer | None = None
        self._settle: Timer | None = None
        self._headline = self._fault = ""
        self._anchor = ""
        self._end: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """Put the rows between titles and filter."""
        yield self.header
        yield self.rows
        yield self.note
        yield self.bar

    def on_mount(self) -> None:
        """Begin to listen."""
        self._end = self.store.subscribe(self._changed)
        self._changed(None)

    def on_unmount(self) -> None:
        """Stop listening."""
        if self._end is not None:
            self._end()

    def on_resize(self) -> None:
        """Give the titles the width of the rows."""
        self.call_after_refresh(self.header.redraw)

    # Where the user is

    @property
    def clip(self) -> str:
        """The name of the clip under the cursor; empty where there is none."""
        return self.rows.held

    @property
    def chosen(self) -> tuple[str, ...]:
        """The marked clips in the dataset's order, or the one under the cursor."""
        marked = self.store.marked
        if marked:
            return tuple(sorted(marked, key=lambda name: self.store.find(name) or 0))
        return (self.clip,) if self.clip else ()

    def restore(
        self,
        *,
        clip: str = "",
        text: str = "",
        sort: str = "",
        reverse: bool = False,
        scroll: int = 0,
    ) -> None:
        """Go where the user was; what is not there any more is left out.

        Args:
            clip: Under the cursor.
            text: The filter.
            sort: The column that is sorted by.
            reverse: Whether the order is turned around.
            scroll: The first line that is seen.
        """
        if sort in COLUMNS or not sort:
            self.store.set_sort(sort, reverse)
        try:
            self.store.set_filter(text)
        except FilterError:
            self.store.set_filter("")
        self.go_to(clip)
        self.rows.begin_at(scroll)

    def go_to(self, name: str) -> bool:
        """Put the cursor on a clip; return whether it is shown."""
        index = self.store.find(name)
        place = self._place(index)
        if place is None:
            return False
        self.rows.move_to(place)
        self._select()
        return True

    def _place(self, index: int | None) -> int | None:
        try:
            return self.store.shown.index(index) if index is not None else None
        except ValueError:
            return None

    def _remember(self) -> None:
        store = self.store
        if not len(store):
            return
        workbench_of(self).remember(
            clip=self.clip,
            filter=store.filter.text,
            sort=store.sort,
            reverse=store.is_reversed,
            scroll=self.rows.first,
        )

    # Changes of the store

    def _changed(self, changes: Changes) -> None:
        if changes is None:
            self.rows.follow(self._place(self.store.find(self.rows.held)))
            self.rows.renew()
            self.rows.show_line(self.rows.cursor)
            self.header.redraw()
            self.bar.update_count()
            self._select()
        elif changes:
            self.rows.renew_rows({row for name in changes for row in self.store.rows_of(name)})
        self._say_headline()
        if not self.store.is_settled and self._settle is None:
            self._settle = self.set_timer(_SETTLE, self._settle_now)

    def _settle_now(self) -> None:
        self._settle = None
        # Not the row in hand: it must not go away while its caption is edited.
        self.store.settle(keep=self.rows.index)

    def _say_headline(self) -> None:
        text = headline(self.store)
        if text != self._headline:
            self._headline = text
            self.post_message(self.Headline(text))
        # With no clips the list itself says so.
        fault = " — ".join(fault_words(self.store)) if len(self.store) else ""
        if fault != self._fault:
            self._fault = fault
            self.note.display = bool(fault)
            self.note.update(Text(f"✗ {fault}", style(self.app, "error")))

    # Selection

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Tell which clip is under the cursor: at once, or when the key is let go."""
        event.stop()
        now = time.monotonic()
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        if now - self._told >= _REST:
            self._select()
        else:
            self._rest = self.set_timer(_REST, self._select)
        self._told = now

    def _select(self) -> None:
        self._rest = None
        if self.clip != self._selected:
            self._selected = self.clip
            self.post_message(self.Selected(self.clip))
            self._remember()

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Edit the caption of a clip that was clicked twice."""
        event.stop()
        self.do_edit()

    def on_clip_header_picked(self, event: ClipHeader.Picked) -> None:
        """Sort by the title that was clicked, or turn the order around."""
        event.stop()
        reverse = self.store.sort == event.column and not self.store.is_reversed
        self.sort_by(event.column, reverse=reverse)

    def on_filter_bar_left(self, event: FilterBar.Left) -> None:
        """Go back to the clips."""
        event.stop()
        focus_now(self.rows)
        self.bar.update_count()
        self._remember()

    # Commands

    def do_down(self) -> None:
        """Go to the next clip."""
        self.rows.move(1)

    def do_up(self) -> None:
        """Go to the previous clip."""
        self.rows.move(-1)

    def do_page_down(self) -> None:
        """Go a page down."""
        self.rows.move(self.rows.page)

    def do_page_up(self) -> None:
        """Go a page up."""
        self.rows.move(-self.rows.page)

    def do_first(self) -> None:
        """Go to the first clip."""
        self.rows.move_to(0)

    def do_last(self) -> None:
        """Go to the last clip."""
        self.rows.move_to(self.rows.count() - 1)

    def do_filter(self) -> None:
        """Type a filter."""
        self.bar.open()

    def do_clear_filter(self) -> None:
        """Show all clips."""
        if self.store.filter.text:
            self.store.set_filter("")
            self._remember()

    def do_sort(self) -> None:
        """Sort by the next column; after the last one in the order of the dataset."""
        names = ["", *COLUMNS]
        self.sort_by(names[(names.index(self.store.sort) + 1) % len(names)])

    def do_sort_back(self) -> None:
        """Turn the order around."""
        self.sort_by(self.store.sort, reverse=not self.store.is_reversed)

    def sort_by(self, column: str, *, reverse: bool = False) -> None:
        """Sort by a column; empty for the order of the dataset."""
        self.store.set_sort(column, reverse)
        self._remember()

    def do_mark(self) -> None:
        """Mark the clip or remove its mark, and go on to the next."""
        name = self.clip
        if name:
            self.store.mark([name], on=name not in self.store.marked)
            self._anchor = name
            self.rows.move(1)

    def do_mark_all(self) -> None:
        """Mark all that are shown."""
        names = self.store.table.names
        self.store.mark(names[index] for index in self.store.shown)

    def do_unmark_all(self) -> None:
        """Remove all marks."""
        self.store.mark(self.store.marked, on=False)

    def do_mark_range(self) -> None:
        """Mark from the last clip that was marked to this one."""
        start = self._place(self.store.find(self._anchor)) if self._anchor else None
        end = self.rows.cursor
        if start is None:
            start = end
        if self.rows.index is None:
            return
        low, high = sorted((start, end))
        names = self.store.table.names
        self.store.mark(names[index] for index in self.store.shown[low : high + 1])
        self._anchor = self.clip

    def do_edit(self) -> None:
        """Edit the caption."""
        if self.clip:
            self._select()
            self.post_message(self.Edit(self.clip))

    def do_reviewed(self) -> None:
        """Mark the caption of the clip, or of the marked ones, as reviewed or not."""
        if chosen := self.chosen:
            self.post_message(self.Reviewed(chosen))

    def do_bucket(self) -> None:
        """Choose the bucket."""
        if chosen := self.chosen:
            self.post_message(self.ChooseBucket(chosen))

    def do_run_marked(self) -> None:
        """Run the clip or the marked ones."""
        if chosen := self.chosen:
            self.post_message(self.RunMarked(chosen))

    def do_caption(self) -> None:
        """Caption the clip or the marked ones."""
        if chosen := self.chosen:
            self.post_message(self.Caption(chosen))

    async def do_copy(self) -> None:
        """Copy the path of the clip."""
        index = self.rows.index
        if index is not None:
            await workbench_of(self).copy(self.store.get(index).media)
