"""The palette: every command by name, found by typing some of its letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from ltx_tui.commands.command import Command
from ltx_tui.commands.scopes import SCOPE_NAMES
from ltx_tui.drawing.colours import style
from ltx_tui.keymap import all_shown
from ltx_tui.widgets.lines import Lines


def score(query: str, command: Command) -> float:
    """Return how well a command fits what was typed; 0 where it does not.

    Every word must be found in the title, the scope or the id; words that begin one count more.
    """
    title = command.title.lower()
    words = f"{title} {SCOPE_NAMES[command.scope].lower()} {command.id}"
    total = 1.0
    for word in query.lower().split():
        if word not in words:
            return 0.0
        begins = f" {word}" in f" {title}"
        total += 3.0 if title.startswith(word) else 2.0 if begins else 1.0
    return total


class _Commands(Lines):
    """The commands that fit; the cursor is moved by the keys of the input above."""

    def __init__(self, commands: Sequence[Command], keys: Mapping[str, str]) -> None:
        super().__init__(id="commands")
        self.can_focus = False
        self.commands = list(commands)
        self._keys = keys

    @property
    def looks_focused(self) -> bool:
        """It is, for the user."""
        return True

    def count(self) -> int:
        """Return how many there are, or one line that says that there is none."""
        return len(self.commands) or 1

    def can_choose(self, index: int) -> bool:
        """Whether there is a command."""
        return index < len(self.commands)

    def text(self, index: int, width: int) -> Text:
        """Return a command: title, scope, keys."""
        if not self.commands:
            return Text(" no command has these words", Style(dim=True))
        one = self.commands[index]
        keys = all_shown(one, self._keys)
        room = width - len(keys) - 3
        text = Text(f" {one.title}")
        where = f"  {SCOPE_NAMES[one.scope]}"
        if text.cell_len + len(where) <= room:
            text.append(where, Style(dim=True))
        text.truncate(max(1, room), overflow="ellipsis", pad=True)
        return text.append("  ").append(keys, style(self.app, "primary"))


class Palette(ModalScreen[str | None]):
    """Ends with the id of the command that was chosen."""

    DEFAULT_CSS = """
    Palette {
        align: center top;
        background: $background 60%;
        #box {
            width: 76; max-width: 96%; height: auto; max-height: 90%; margin-top: 1;
            border: round $primary; background: $surface;
        }
        Input { border: none; height: 1; padding: 0 1; background: $surface; }
        #commands { height: auto; max-height: 24; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+p", "close", show=False),
        Binding("down,ctrl+n", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(self, commands: Sequence[Command], keys: Mapping[str, str]) -> None:
        super().__init__()
        self._all = [one for one in commands if one.id != "app.palette"]
        self._list = _Commands(self._all, keys)

    def compose(self) -> ComposeResult:
        """Yield a line to type in and the commands that fit."""
        with Vertical(id="box") as box:
            box.border_title = "All commands"
            yield Input(placeholder="type some of a command's words", compact=True)
            yield self._list

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what fits, the best first."""
        scored = [(score(event.value, one), one) for one in self._all]
        fitting = [pair for pair in scored if pair[0] > 0]
        fitting.sort(key=lambda pair: -pair[0])  # stable: equals stay in the registry's order
        self._list.commands = [one for _, one in fitting]
        self._list.move_to(0)
        self._list.renew()

    def on_input_submitted(self) -> None:
        """Take the chosen command."""
        if self._list.commands:
            self.dismiss(self._list.commands[self._list.cursor].id)

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Take the command that was clicked."""
        self.dismiss(self._list.commands[event.index].id)

    def action_move(self, by: int) -> None:
        """Choose another command."""
        self._list.move(by)

    def action_close(self) -> None:
        """Do nothing."""
        self.dismiss(None)
