"""The last line: the most used keys of what has the focus."""

from __future__ import annotations

from collections.abc import Iterable

from rich.style import Style
from rich.text import Text
from textual.keys import key_to_character

from ltx_tui.commands.command import Command
from ltx_tui.commands.registry import commands, reachable
from ltx_tui.drawing.colours import style
from ltx_tui.host import workbench_of
from ltx_tui.keymap import keys_of, shown
from ltx_tui.widgets.line import Line

# Shown always, at the end: with them everything else is found.
_ALWAYS = ("app.help", "app.palette")


class Footer(Line):
    """The keys that matter here; what does not fit is left out whole."""

    DEFAULT_CSS = """
    Footer { background: $panel; dock: bottom; }
    """

    def __init__(self) -> None:
        super().__init__(id="footer")

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: object) -> None:
        self.redraw()

    def content(self, width: int) -> Text:
        """Return the line."""
        mine = list(self._commands())
        always = [one for one in mine if one.id in _ALWAYS]
        end = self._entries(always)
        text = Text(" ")
        for one in mine:
            if one in always:
                continue
            entry = self._entry(one)
            if text.cell_len + entry.cell_len + end.cell_len > width:
                break
            text.append_text(entry)
        room = width - text.cell_len - end.cell_len
        return text.append(" " * max(0, room)).append_text(end)

    def _commands(self) -> Iterable[Command]:
        """Yield the commands of the focused pane, then its screen's, then the app's."""
        taken: set[str] = set()
        words: set[str] = set()
        keys, focused = self._keys, self.screen.focused
        for node in reachable(self.screen.focused or self.screen):
            for one in commands(node.SCOPE):
                own = keys_of(one, keys)
                if not one.footer or not own or own[0] in taken or one.footer in words:
                    continue
                # Where text is typed, letters are text.
                if focused is not None and focused.check_consume_key(
                    own[0], key_to_character(own[0])
                ):
                    continue
                if hasattr(node, one.method):
                    words.add(one.footer)
                    yield one
            taken.update(key for one in commands(node.SCOPE) for key in keys_of(one, keys))

    @property
    def _keys(self) -> dict[str, str]:
        return workbench_of(self).chosen_keys

    def _entry(self, one: Command) -> Text:
        key = shown(keys_of(one, self._keys)[0])
        return Text.assemble(
            (key, style(self.app, "primary", bold=True)), " ", (one.footer, Style()), "  "
        )

    def _entries(self, several: Iterable[Command]) -> Text:
        return Text.assemble(*map(self._entry, several))
