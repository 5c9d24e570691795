"""The caption editor: what its keys do."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from engine.errors import LtxError, UsageError
from engine.overview.file import CAPTIONS
from engine.overview.types import CaptionState
from engine.text import visible
from ltx_tui.captions.docs import Doc
from ltx_tui.captions.status import ago
from ltx_tui.commands.registry import Commanded
from ltx_tui.terminal import external
from ltx_tui.widgets.caption_pane import CaptionPane

_REVIEWED = CAPTIONS.index(CaptionState.REVIEWED)


class CaptionEditor(Commanded, CaptionPane):
    """Edits one caption at a time; see `show`."""

    SCOPE = "caption"

    # From clip to clip

    def do_leave(self) -> None:
        """Go back to the clips; the caption is saved."""
        self.collect()
        if self.doc is not None:
            self.captions.save_soon(0)
        self.screen.set_focus(None)  # what is typed before the clips have it is not for the text
        self.post_message(self.Left())

    async def do_next(self) -> None:
        """Go to the next clip that is shown."""
        await self._move(1, self._all(1))

    async def do_previous(self) -> None:
        """Go to the clip before."""
        await self._move(-1, self._all(-1))

    async def do_next_unreviewed(self) -> None:
        """Mark the caption as reviewed, and go to the next to review."""
        self.collect()
        if self.doc is None or not await self._review(self.doc, reviewed=True):
            return
        await self.do_skip_unreviewed()

    async def do_skip_unreviewed(self) -> None:
        """Go to the next caption to review."""
        await self._move(1, self._unreviewed(1))

    async def do_previous_unreviewed(self) -> None:
        """Go to the caption to review before this one."""
        await self._move(-1, self._unreviewed(-1))

    async def do_reviewed(self) -> None:
        """Mark the caption as reviewed, or take the mark away."""
        self.collect()
        doc = self.doc
        if doc is not None:
            if not doc.text.strip():
                self.app.notify("there is nothing to review: the caption is empty")
                return
            state = self.captions.mark(doc.key, doc.text)
            await self._review(doc, reviewed=state is not CaptionState.REVIEWED)

    async def _review(self, doc: Doc, *, reviewed: bool) -> bool:
        try:
            await self.captions.review([doc.key], reviewed=reviewed)
        except LtxError as error:
            self._say(error)
            return False
        return True

    async def _move(self, by: int, indices: Iterable[int]) -> None:
        index = next(iter(indices), None)
        if index is None:
            self.app.notify("this is the last one" if by > 0 else "this is the first one")
            return
        key = self.captions.key_of(index)
        await self.show(*key)
        self.post_message(self.Moved(key.name))

    def _all(self, by: int) -> Iterable[int]:
        """Yield the clips that are shown after the one in hand, or before it."""
        shown = self._store.shown
        here = self._place()
        return (
            shown[at] for at in (range(here + 1, len(shown)) if by > 0 else range(here - 1, -1, -1))
        )

    def _unreviewed(self, by: int) -> Iterable[int]:
        states = self._store.table.captions  # rows are read one by one: too slow for all of them
        return (index for index in self._all(by) if states[index] != _REVIEWED)

    def _place(self) -> int:
        """Return where in the list the clip in hand is; -1 where it is not shown."""
        index = self.captions.index_of(self.doc.key) if self.doc is not None else None
        try:
            return self._store.shown.index(index) if index is not None else -1
        except ValueError:
            return -1

    # Captions of a captioner

    async def do_reject(self) -> None:
        """Go back to the version before, or to no caption; what is rejected stays a version."""
        doc = self._decidable()
        if doc is None:
            return
        if not doc.text.strip():
            self.app.notify("there is nothing to reject: the caption is empty")
            return
        try:
            back = await self.captions.reject(doc)
        except LtxError as error:
            self._say(error)
            return
        words = "the caption is empty again"
        if back is not None and back.text.strip():
            words = f"back to the {back.kind} version of {ago(time.time() - back.made)}"
        self.app.notify(f"rejected: {words}; ctrl+z undoes it", timeout=5)

    def do_again(self) -> None:
        """Caption this clip again, with another instruction."""
        doc = self._decidable()
        if doc is not None:
            self.post_message(self.Again(doc.key))

    def _decidable(self) -> Doc | None:
        """Return the caption in hand, unless it cannot be edited or a conflict goes before."""
        self.collect()
        doc = self.doc
        if doc is None or self.captions.is_read_only:
            self.app.notify("nothing can be edited", severity="error")
            return None
        if doc.clash is not None:
            self.app.notify("first decide what becomes of the conflict: ctrl+g")
            return None
        return doc

    # The text

    def do_undo(self) -> None:
        """Take the last step back, be it of an earlier session."""
        self.collect()
        if self.doc is None or not self.captions.undo(self.doc):
            self.app.notify("nothing to undo")

    def do_redo(self) -> None:
        """Make the last step again that was taken back."""
        self.collect()
        if self.doc is None or not self.captions.redo(self.doc):
            self.app.notify("nothing to redo")

    def do_sections(self) -> None:
        """Change between sections and plain text."""
        self.collect()
        self.by_section = self._parts.is_plain
        self._wants = self.by_section
        had_focus = self.has_focus_within
        self._load(at=self.doc.cursor if self.doc is not None else 0)
        if had_focus:
            self.focus()

    def do_fold(self) -> None:
        """Fold or unfold the section that has the focus."""
        row = self._focused
        if row is not None and not self._parts.is_plain:
            row.fold(folded=not row.is_folded)

    async def do_external(self) -> None:
        """Edit the caption in the user's own editor; what comes back is one step of undo."""
        self.collect()
        doc = self.doc
        if doc is None or self.captions.is_read_only:
            return
        await self.captions.keep()
        try:
            text = _edited_outside(self, doc.text)
        except LtxError as error:
            self._say(error)
        else:
            self.captions.restore(doc, text, is_version=False)

    # Other screens

    def do_find(self) -> None:
        """Find and replace in this and the marked captions."""
        from ltx_tui.screens.replace import ReplaceScreen

        self.collect()
        if self.captions.is_read_only:
            self.app.notify("nothing can be edited", severity="error")
            return
        key = self.doc.key if self.doc is not None else None
        self.app.push_screen(ReplaceScreen(self.captions, self._store, key))

    def do_history(self) -> None:
        """Show the versions of this caption."""
        from ltx_tui.screens.versions import VersionsScreen

        self.collect()
        if self.doc is not None:
            self.app.push_screen(VersionsScreen(self.captions, self.doc))

    async def do_conflict(self) -> None:
        """Decide a conflict: of this caption, else of the next that has one."""
        from ltx_tui.screens.conflict import ConflictScreen

        self.collect()
        conflicts = self.captions.conflicts
        if not conflicts:
            self.app.notify("there is no conflict")
            return
        if self.doc is None or self.doc.clash is None:
            await self.show(*conflicts[0])
            self.post_message(self.Moved(conflicts[0].name))
        if self.doc is not None and self.doc.clash is not None:
            self.app.push_screen(ConflictScreen(self.captions, self.doc))

    def _say(self, error: LtxError) -> None:
        remedy = f" — {error.remedy}" if error.remedy else ""
        self.app.notify(visible(f"{error.headline}{remedy}"), severity="error")


def _edited_outside(editor: CaptionEditor, text: str) -> str:
    """Return a text as the user's own editor leaves it.

    Raises:
        UsageError: There is no editor, it failed, or the terminal cannot be lent to it.
    """
    with tempfile.TemporaryDirectory(prefix="ltx-tui-") as folder:  # ours alone, as is the file
        file = Path(folder, "caption.txt")
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(text.encode("utf-8", "surrogatepass"))
        external.edit(editor.app, file)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise UsageError("the editor left no file", remedy="nothing was changed") from error
    try:
        after = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        after = data.decode("utf-8", "replace")
    # Editors end the last line, which a caption need not.
    return after if text.endswith("\n") else after.removesuffix("\n").removesuffix("\r")
