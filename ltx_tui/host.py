"""From a widget to the app that it is in, with its own type."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode
from textual.widget import Widget

if TYPE_CHECKING:
    from ltx_tui.app import Workbench


def workbench_of(node: DOMNode) -> Workbench:
    """Return the app that a widget or screen is in."""
    return cast("Workbench", node.app)


def focus_now(widget: Widget) -> None:
    """Give the focus to a widget at once: the next key is for it, even if it was typed ahead."""
    widget.screen.set_focus(widget, scroll_visible=False)
