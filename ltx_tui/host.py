"""From a widget to the app that it is in, and what it can ask of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.widget import Widget

if TYPE_CHECKING:
    from pathlib import Path

    from engine.errors import LtxError
    from engine.project import Project
    from ltx_tui.config.user import Config


class Host(Protocol):
    """What widgets and screens ask of the app, which imports them: see `ltx_tui.app.Workbench`."""

    config: Config
    chosen_keys: dict[str, str]

    def settled(self) -> None:
        """All that the first picture needs is there."""

    def open_project(self, project: Project) -> None:
        """Show the workbench of a new project."""

    def use_project(self, project: Project) -> None:
        """Take other settings of the same project."""

    def remember(self, **changes: object) -> None:
        """Keep where the user is for the next start."""

    def take_theme(self, name: str) -> None:
        """Use a theme."""

    def edit_file(self, file: Path) -> bool:
        """Edit a file in the user's editor."""

    async def copy(self, text: str) -> None:
        """Copy text, and say so."""

    def complain(self, error: LtxError) -> None:
        """Show an error with its remedy."""

    def notify(
        self, message: str, *, severity: SeverityLevel = ..., timeout: float | None = ...
    ) -> None:
        """Show a short message."""


def workbench_of(node: DOMNode) -> Host:
    """Return the app that a widget or screen is in."""
    return cast("Host", node.app)


def focus_now(widget: Widget) -> None:
    """Give the focus to a widget at once: the next key is for it, even if it was typed ahead."""
    widget.screen.set_focus(widget, scroll_visible=False)


def focus_first(widget: Widget) -> bool:
    """Give the focus to the first widget in another that takes it; return whether there is one."""
    for one in (widget, *widget.walk_children(Widget)):
        if one.focusable:
            focus_now(one)
            return True
    return False
