"""Windows that were picked, written into the dataset and taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from engine.dataset.windows import WHOLE, Span
from engine.errors import LtxError, UsageError
from engine.overview.types import Row
from ltx_tui.frames.window_pick import Timing, written_span
from ltx_tui.host import workbench_of
from ltx_tui.screens.window_picker import Spot, WindowPicker

if TYPE_CHECKING:
    from engine.dataset.write_windows import Change, What
    from engine.worker.change_window import Done
    from ltx_tui.desk import Desk


class WindowWriter(WindowPicker):
    """The part of the frames' screen that has windows written."""

    _is_writing = False

    @property
    def index(self) -> int:
        """The number of the row in the store."""
        raise NotImplementedError

    def take_row(self, row: Row) -> None:
        """Go on with the row under another name, or with another row."""
        raise NotImplementedError

    def do_write(self) -> None:
        """Write the window into the clip's row."""
        timing = self.picking()
        span = self._to_write(timing)
        if span == WHOLE:
            raise UsageError("the window is the whole clip", remedy="backspace takes it away")
        if not self.is_picked:
            raise UsageError("this window is written", remedy="[ and ] set another")
        self._order("set", span)

    def do_add(self) -> None:
        """Write the window into a row of its own, a copy of the clip's."""
        span = self._to_write(self.picking())
        if span == written_span(self.row):
            raise UsageError("this row has that window", remedy="[ and ] set another")
        self._order("add", span)

    def _to_write(self, timing: Timing) -> Span:
        return self.points_of(timing).span(timing)

    def do_remove(self) -> None:
        """Forget the points that were picked; else take away the window of the dataset."""
        if self.is_picked:
            self.spot.points = None
            self.tell()
            self.read_again()
            return
        if written_span(self.row) == WHOLE:
            raise UsageError("the clip has no window", remedy="[ and ] set one")
        from ltx_tui.screens.window_dialog import WindowDialog

        others, file = len(self._siblings()), self.project.dataset_path.name
        if others:
            title = f"Take row {self.row.row + 1} out of {file}?"
            caption = self.row.caption.strip()
            what = f"its caption ({caption})" if caption else "its caption, which is empty,"
            words = [
                f"{self.row.name} goes, with {what} and all other cells.",
                f"Other rows of this clip stay as they are: {others:,}.",
            ]
        else:
            title = f"Take the window of row {self.row.row + 1} away?"
            words = [
                f"Its cells window_start and window_end in {file} are emptied; all else stays.",
                "The clip is used from its beginning again.",
            ]

        def answered(yes: bool | None) -> None:
            if yes:
                self._order("remove", WHOLE, with_row=bool(others))

        self.app.push_screen(WindowDialog(title, words), answered)

    def _siblings(self) -> list[str]:
        """Return the names of the other rows of this clip."""
        name, span = self.row.name, written_span(self.row)
        base = name if span == WHOLE else name.rpartition(" @ ")[0]
        return [
            one
            for one in self.store.table.names
            if one != name and (one == base or one.startswith(f"{base} @ "))
        ]

    def _order(self, what: What, span: Span, *, with_row: bool = False) -> None:
        """Have the dataset changed; the screen is free meanwhile, and may be left.

        Raises:
            UsageError: The last change is not done yet.
        """
        from engine.dataset.write_windows import Change

        if self._is_writing:
            raise UsageError("the last change is being written", remedy="try again in a moment")
        self._is_writing = True
        row, key = self.row, self._desk.captions.key_of(self.index)
        change = Change(
            what=what, key=key, start=span.start or None, end=span.end, with_row=with_row
        )
        self.app.run_worker(self._ordered(change, row), group="window")

    async def _ordered(self, change: Change, row: Row) -> None:
        try:
            await self._write(change, row)
        except LtxError as error:
            workbench_of(self).complain(error)
        finally:
            self._is_writing = False

    async def _write(self, change: Change, row: Row) -> None:
        """Have the dataset changed, and go on with what it has then.

        Raises:
            LtxError: Nothing was written.
        """
        from engine.dataset.write_captions import digest_of
        from engine.worker.change_window import Wanted
        from ltx_tui.children import dataset as dataset_child
        from ltx_tui.screens.read_again import read_rows_again

        desk = self._desk
        await desk.captions.save()
        doc = desk.captions.in_hand(change.key)
        if doc is not None and not doc.is_saved:
            raise UsageError(
                "its caption is not in the dataset yet",
                remedy="see what keeps it from being saved, in its editor",
            )
        caption = digest_of(doc.text if doc is not None else row.caption)
        change = msgspec.structs.replace(change, caption=caption)
        done = await dataset_child.change(Wanted(project=self.project, change=change))
        await desk.captions.names_changed()
        self._go_on(change, row, done)
        await read_rows_again(self, desk)

    def _go_on(self, change: Change, row: Row, done: Done) -> None:
        """Go on after a change was written, and say what it was."""
        where = f"row {done.row + 1:,} of {self.project.dataset_path.name}"
        span = Span(change.start or 0.0, change.end)
        spot = self._spots.pop(row.name, Spot())
        # One may have gone on to another clip.
        is_here = self.is_mounted and self.row.name == row.name
        if change.what == "add":
            said = f"{where} has the window {span.words} s of this clip; its caption is to review"
            if is_here:
                self._spots[row.name] = Spot(cursor=spot.cursor)
                self.read_again()
        elif done.is_gone:
            said = f"taken out: {where}"
            if is_here:
                self._leave(row)
        else:
            is_set = change.what == "set"
            said = f"{where}: window {span.words} s" if is_set else f"{where}: no window any more"
            if is_here:
                self._spots[done.key.name] = Spot(cursor=spot.cursor)
                self._rename(row, done.key.name, span)
        self.app.notify(said, timeout=5)

    def _rename(self, row: Row, name: str, span: Span) -> None:
        """Go on with the row under its new name, with what a plan will make of it."""
        what = self.picked_outcome(span)
        if what is not None:
            bucket = str(what.bucket or "")
            row = msgspec.structs.replace(row, bucket=bucket, kept=what.kept)
        self.take_row(msgspec.structs.replace(row, name=name))

    def _leave(self, row: Row) -> None:
        """Go to another row of the clip, or whatever stands where it stood."""
        names = self._siblings()
        index = self.store.find(names[0]) if names else None
        self.take_row(row if index is None else self.store.get(index))

    @property
    def _desk(self) -> Desk:
        for screen in self.app.screen_stack:
            desk: Desk | None = getattr(screen, "desk", None)
            if desk is not None:
                return desk
        raise UsageError("there is no dataset to write to")
