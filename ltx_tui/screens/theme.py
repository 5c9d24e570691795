"""The choice of a theme, each shown on everything as one moves over it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from engine.errors import LtxError
from ltx_tui import themes
from ltx_tui.config.user import save_theme
from ltx_tui.host import workbench_of
from ltx_tui.widgets.lines import Lines


class _Themes(Lines):
    """The names of the themes."""

    def __init__(self, names: list[str], now: str) -> None:
        super().__init__(id="themes")
        self.names = names
        self._now = now

    def count(self) -> int:
        """Return how many there are."""
        return len(self.names)

    def text(self, index: int, width: int) -> Text:  # noqa: ARG002 - as all lists
        """Return a name, and whether it is the one that was used so far."""
        name = self.names[index]
        return Text.assemble(f" {name} ", ("so far" if name == self._now else "", Style(dim=True)))


class ThemeScreen(ModalScreen[None]):
    """Enter keeps a theme for all projects, escape goes back to the one before."""

    DEFAULT_CSS = """
    ThemeScreen {
        align: right top;
        background: transparent;
        #box {
            width: 34; height: auto; margin: 1 2;
            border: round $primary; background: $surface;
        }
        #themes { height: auto; max-height: 12; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", show=False),
        Binding("enter", "keep", show=False),
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
    ]

    def __init__(self, now: str) -> None:
        super().__init__()
        self._before = now
        self._list = _Themes(themes.theme_names(), now)

    def compose(self) -> ComposeResult:
        """Yield the names."""
        with Vertical(id="box") as box:
            box.border_title = "Theme"
            box.border_subtitle = "enter keep · esc back"
            yield self._list

    def on_mount(self) -> None:
        """Begin with the theme that is used."""
        if self._before in self._list.names:
            self._list.move_to(self._list.names.index(self._before))

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Show the theme."""
        workbench_of(self).take_theme(self._list.names[event.index])

    def on_lines_picked(self) -> None:
        """Keep the theme that was clicked twice."""
        self.run_worker(self.action_keep())

    def action_move(self, by: int) -> None:
        """Choose another one."""
        self._list.move(by)

    def action_back(self) -> None:
        """Use the one from before."""
        workbench_of(self).take_theme(self._before)
        self.dismiss()

    async def action_keep(self) -> None:
        """Keep it, in the user's configuration."""
        app, name = workbench_of(self), self._list.names[self._list.cursor]
        try:
            await asyncio.to_thread(save_theme, name, app.config.file)
        except LtxError as error:
            app.complain(error)
        except OSError as error:
            app.notify(f"the theme is used, but not kept: {error.strerror}", severity="warning")
        self.dismiss()
