"""Clips taken out of the dataset from the clip list, and given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.message import Message

from engine.errors import UsageError

if TYPE_CHECKING:
    from ltx_tui.clips.store import Store
    from ltx_tui.widgets.clip_rows import ClipRows

    _Mixed = DOMNode
else:
    # A DOMNode that stands first among the bases would hide the CSS of the widget beside it.
    _Mixed = object


class TakeOut(Message):
    """Rows are to be taken out of the dataset.

    Attributes:
        rows: Indices in the store: of all rows that are marked, or of the one under the cursor.
    """

    def __init__(self, rows: tuple[int, ...]) -> None:
        super().__init__()
        self.rows = rows


class GiveBack(Message):
    """The rows that were taken out last are to come back."""


class ClipTaking(_Mixed):
    """A mix-in of the clip list: its commands about rows that go and come back.

    Attributes:
        store: The clips.
        rows: Their lines.
    """

    store: Store
    rows: ClipRows

    def do_take_out(self) -> None:
        """Have the clip or the marked ones taken out of the dataset."""
        self._refuse_unread()
        marked, index = self.store.marked, self.rows.index
        if marked:
            # Of rows that are called the same each bears the mark.
            names = enumerate(self.store.table.names)
            self.post_message(TakeOut(tuple(row for row, name in names if name in marked)))
        elif index is not None:
            self.post_message(TakeOut((index,)))

    def do_give_back(self) -> None:
        """Have the rows given back that were taken out last."""
        self._refuse_unread()
        self.post_message(GiveBack())

    def _refuse_unread(self) -> None:
        """Refuse to change a dataset that is not as it is shown.

        Raises:
            UsageError: It cannot be read.
        """
        fault = self.store.fault
        if fault is not None:
            raise UsageError(
                f"the dataset cannot be read: {fault.to_error().headline}",
                remedy="mend it, then press f5; nothing was changed",
            )
