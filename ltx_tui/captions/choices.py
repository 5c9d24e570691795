"""What the user decides between texts: an older version, a rejected caption, a conflict."""

from __future__ import annotations

import contextlib

from engine.dataset.versions import Kind, Version
from engine.errors import EnvironmentFaultError
from ltx_tui.captions.book import CaptionBook
from ltx_tui.captions.docs import Doc, Told


class CaptionChoices(CaptionBook):
    """The part of `Captions` that puts one text in the place of another."""

    def save_soon(self, delay: float = 0.0, /) -> None:
        """Save after so many seconds, unless this is called again before."""
        raise NotImplementedError

    def _touch(self, doc: Doc) -> None:
        """Have a caption kept and saved that was changed."""
        raise NotImplementedError

    def _keep_at_once(self) -> None:
        """Write what was decided to the draft journal."""
        raise NotImplementedError

    # Versions

    def restore(self, doc: Doc, text: str, *, is_version: bool = True) -> None:
        """Put a whole text in the place of another, as a step that can be undone.

        Args:
            doc: The caption.
            text: The new text.
            is_version: Whether it is a version that is brought back.
        """
        if not self.is_read_only and doc.edit(text, own_step=True):
            doc.kind = Kind.RESTORED if is_version else doc.kind
            self._touch(doc)
            self.tell(Told(what="text", key=doc.key))

    async def reject(self, doc: Doc) -> Version | None:
        """Take the text back to the accepted version before it; what is rejected stays a version.

        Returns:
            That version; None where there is none, and the caption is empty now.

        Raises:
            EnvironmentFaultError: The disk cannot be written; nothing was changed.
        """
        base, text = doc.base, doc.text
        back = await self._thread.do(lambda shelf: shelf.reject(doc.key, base, text))
        if not self.is_read_only and doc.edit(back.text if back is not None else "", own_step=True):
            # What no person wrote is to be looked at again, and may be captioned anew.
            is_found = back is not None and back.kind in (Kind.AUTO, Kind.OUTSIDE)
            doc.kind = back.kind if back is not None and is_found else Kind.RESTORED
            self._touch(doc)
            self.save_soon(0)
            self.tell(Told(what="text", key=doc.key))
        return back

    # Conflicts

    def keep_mine(self, doc: Doc) -> None:
        """Write our text over theirs; a row that is gone is added again."""
        if doc.clash is not None:
            doc.base, doc.may_add = doc.clash.theirs, doc.clash.is_gone
            self._decided(doc)

    async def take_theirs(self, doc: Doc) -> None:
        """Take their text; ours stays among the versions, and can be had back by undo."""
        clash = doc.clash
        if clash is None:
            return
        mine = doc.text
        with contextlib.suppress(EnvironmentFaultError):  # undo still has it
            await self._thread.do(lambda shelf: shelf.versions.note(doc.key, Kind.SET_ASIDE, mine))
        doc.take(doc.base if clash.is_gone else clash.theirs)
        self._decided(doc)
        self.tell(Told(what="text", key=doc.key))

    def take_both(self, doc: Doc) -> None:
        """Put both texts into the editor; nothing is saved before one more change."""
        clash = doc.clash
        if clash is None:
            return
        doc.edit(f"{doc.text}\n\n{clash.theirs}" if clash.theirs else doc.text, own_step=True)
        doc.base, doc.may_add, doc.is_held = clash.theirs, clash.is_gone, bool(clash.theirs)
        self._decided(doc)
        self.tell(Told(what="text", key=doc.key))

    def _decided(self, doc: Doc) -> None:
        doc.clash = None
        doc.is_kept = False
        self._keep_at_once()
        self.save_soon(0)
        self.tell(Told(what="state", key=doc.key))
