"""The way from caption to caption that a review takes through the clip list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.dom import DOMNode

from engine.overview.file import CAPTIONS
from engine.overview.types import CaptionState

if TYPE_CHECKING:
    from ltx_tui.clips.store import Store
    from ltx_tui.widgets.clip_rows import ClipRows

    _Mixed = DOMNode
else:
    # A DOMNode that stands first among the bases would hide the CSS of the widget beside it.
    _Mixed = object

_REVIEWED = CAPTIONS.index(CaptionState.REVIEWED)


class ClipReview(_Mixed):
    """A mix-in of the clip list: its commands about captions that are not reviewed.

    Attributes:
        store: The clips.
        rows: Their lines.
    """

    store: Store
    rows: ClipRows

    def sort_by(self, column: str, *, reverse: bool = False) -> None:
        """Sort by a column."""
        raise NotImplementedError

    def do_next_unreviewed(self) -> None:
        """Go to the next caption that is not reviewed."""
        self._unreviewed(1)

    def do_previous_unreviewed(self) -> None:
        """Go to the previous caption that is not reviewed."""
        self._unreviewed(-1)

    def do_review_worst(self) -> None:
        """Sort by suspicion, and go to the worst caption that is not reviewed."""
        if self.store.table.scores is None:
            fault = self.store.scoring_fault
            words = "no caption is scored yet: that begins when the clips have been looked at"
            if fault is not None:
                words = f"captions cannot be scored: {fault.headline}"
            self.app.notify(words, severity="warning", timeout=5)
            return
        self.sort_by("suspicion")
        self._unreviewed(1, after=-1)

    def _unreviewed(self, step: int, *, after: int | None = None) -> None:
        """Go on to a caption that is not reviewed, from the end again at the beginning.

        Args:
            step: 1 or -1.
            after: The line to begin behind; by default that of the cursor.
        """
        shown, captions = self.store.shown, self.store.table.captions
        start = self.rows.cursor if after is None else after
        for by in range(1, len(shown) + 1):
            place = (start + step * by) % len(shown)
            if captions[shown[place]] != _REVIEWED:
                self.rows.move_to(place)
                return
        self.app.notify("all captions that are shown are reviewed", timeout=3)
