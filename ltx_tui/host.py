"""From a widget to the app that it is in, with its own type."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from ltx_tui.app import Workbench


def workbench_of(node: DOMNode) -> Workbench:
    """Return the app that a widget or screen is in."""
    return cast("Workbench", node.app)
