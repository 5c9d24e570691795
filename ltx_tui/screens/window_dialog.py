"""Asks whether a window shall be taken away, and says what would be written."""

from __future__ import annotations

from collections.abc import Sequence

from ltx_tui.screens.confirm import Confirm

# Lines of a paragraph: a caption may be long.
_MOST = 4


class WindowDialog(Confirm):
    """Ends with the answer."""

    DEFAULT_CSS = """
    WindowDialog #box { width: 72; }
    """

    def __init__(self, title: str, words: Sequence[str]) -> None:
        """Ask.

        Args:
            title: The question.
            words: What would be written, a paragraph each.
        """
        super().__init__(title, words, does="take away", head="", most=_MOST)
