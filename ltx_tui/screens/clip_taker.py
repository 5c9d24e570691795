"""What the workbench does to have rows taken out of the dataset, and to give them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.screen import Screen

from engine.errors import LtxError, UsageError
from engine.overview.file import CAPTIONS
from engine.overview.types import CaptionState
from engine.text import listed, plural, visible
from ltx_tui.commands.registry import Commanded
from ltx_tui.host import workbench_of

if TYPE_CHECKING:
    from engine.dataset.caption_db import Key
    from engine.worker.take_out import Done
    from ltx_tui.desk import Desk
    from ltx_tui.widgets.caption_editor import CaptionEditor
    from ltx_tui.widgets.clip_list import ClipList
    from ltx_tui.widgets.clip_taking import TakeOut

_BY_HAND = {
    CAPTIONS.index(state)
    for state in (CaptionState.DRAFT, CaptionState.EDITED, CaptionState.REVIEWED)
}


class ClipTaker(Commanded, Screen[None]):
    """The part of the workbench that takes clips out.

    Attributes:
        desk: What the panes share.
        clips: The clip list.
        editor: The caption in hand; None until the first picture is there.
    """

    desk: Desk
    clips: ClipList
    editor: CaptionEditor | None
    _is_taking = False

    def on_take_out(self, event: TakeOut) -> None:
        """Say what would go, and take it out if that is wanted."""
        from ltx_tui.screens.confirm import Confirm

        rows, file = event.rows, visible(self.desk.project.dataset_path.name)
        keys = self._keys(rows)
        what = keys[0].name if len(keys) == 1 else plural(len(keys), "row")

        def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                self._begin_taking(keys)

        title = f"Take {what} out of {file}"
        self.app.push_screen(Confirm(title, self._words(rows, file), does="take out"), answered)

    def on_give_back(self) -> None:
        """Give back what was taken out last."""
        self._begin_taking(())

    def _keys(self, rows: Sequence[int]) -> tuple[Key, ...]:
        from engine.dataset.name_keys import numbered  # SQLite, which the first picture can spare

        every = list(numbered(self.desk.store.table.names))
        return tuple(every[row] for row in rows)

    def _words(self, rows: Sequence[int], file: str) -> list[str]:
        """Return what taking rows out would do, a sentence each."""
        store, count = self.desk.store, len(rows)
        by_hand = sum(store.table.captions[row] in _BY_HAND for row in rows)
        hidden = count - len(set(rows).intersection(store.shown))
        goes, it, them, is_back = "rows go", "their", "them", "the rows are"
        hand = plural(by_hand, "caption was", "captions were")
        if count == 1:
            goes, it, them, is_back, hand = "row goes", "its", "it", "the row is", "its caption was"
        names = listed([store.table.names[row] for row in rows], 2)
        which = f": {names}" if count > 1 else ""
        lines = [
            f"{count:,} {goes} out of {file}{which}",
            "all other rows stay as they are, and so do all media files",
        ]
        if hidden:
            lines.append(f"{plural(hidden, 'row is', 'rows are')} not shown by the filter")
        if by_hand:
            lines.append(f"{hand} edited or reviewed by a person")
        lines += [
            f"the next run sets {it} outputs aside, and puts them back when {is_back} back",
            f"U gives {them} back whole, with marks and versions of {it} "
            + ("caption" if count == 1 else "captions"),
        ]
        return lines

    def _begin_taking(self, keys: tuple[Key, ...]) -> None:
        """Have rows taken out, or given back where none is named; the screen is free meanwhile."""
        if self._is_taking:
            words = "the last change is being written: try again in a moment"
            self.notify(words, severity="warning", timeout=3)
            return
        self._is_taking = True
        self.run_worker(self._take(keys), group="taking")

    async def _take(self, keys: tuple[Key, ...]) -> None:
        from engine.worker.take_out import Wanted
        from ltx_tui.children import dataset as dataset_child
        from ltx_tui.screens.read_again import read_rows_again

        desk = self.desk
        try:
            await self._save(keys)
            wanted = Wanted(project=desk.project, keys=keys, is_back=not keys)
            done = await dataset_child.take(wanted)
            await desk.captions.names_changed()
            if keys:
                self._go_near(keys)
            self._say(done, is_back=not keys)
            await read_rows_again(self, desk)
            if not keys and done.keys and self.is_mounted:
                self.clips.go_to(done.keys[0].name)
        except LtxError as error:
            workbench_of(self).complain(error)
        finally:
            self._is_taking = False

    async def _save(self, keys: Sequence[Key]) -> None:
        """Write what was typed into the dataset.

        Raises:
            UsageError: A caption of these rows cannot be written now.
        """
        captions = self.desk.captions
        if self.editor is not None:
            self.editor.collect()
        await captions.save()
        for key in keys:
            doc = captions.in_hand(key)
            if doc is not None and not doc.is_saved:
                raise UsageError(
                    f"the caption of {key.name} is not in the dataset yet",
                    remedy="see what keeps it from being saved, in its editor",
                )

    def _go_near(self, keys: Sequence[Key]) -> None:
        """Put the cursor on the nearest clip that stays."""
        store, captions, cursor = self.desk.store, self.desk.captions, self.clips.rows.cursor
        gone = {captions.index_of(key) for key in keys}
        shown = store.shown
        near = [*range(cursor, len(shown)), *range(cursor - 1, -1, -1)]
        place = next((place for place in near if shown[place] not in gone), None)
        if place is not None and place != cursor:
            self.clips.go_to(store.table.names[shown[place]])

    def _say(self, done: Done, *, is_back: bool) -> None:
        file = visible(self.desk.project.dataset_path.name)
        rows = plural(len(done.keys), "row")
        if is_back:
            names = listed([key.name for key in done.keys])
            words = f"given back to {file}: {rows} ({names})"
            if done.there:
                words += f"\nnot given back, for there is such a row: {listed(list(done.there))}"
        else:
            them = "it" if len(done.keys) == 1 else "them"
            words = f"taken out of {file}: {rows}; U gives {them} back"
        self.app.notify(words, timeout=6)
