"""Help for what has the focus: its keys, then those of what it is in, then the signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from engine.overview.types import CaptionState, OutputState
from ltx_tui.clips.columns import legend
from ltx_tui.commands.registry import Commanded, commands
from ltx_tui.commands.scopes import SCOPE_NAMES
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.keymap import all_shown
from ltx_tui.screens.list_keys import LINE_KEYS, PAGE_KEYS, ListKeys
from ltx_tui.widgets.lines import Lines

# (keys, words, command line, colour of the keys); a heading has words alone.
Entry = tuple[str, str, str, str]

_KEYS = 16

_CAPTIONS = {
    CaptionState.NONE: "there is no caption yet",
    CaptionState.AUTO: "as a captioner or another tool left it",
    CaptionState.DRAFT: "typed, on its way into the dataset file",
    CaptionState.EDITED: "changed here",
    CaptionState.REVIEWED: "looked at and found good",
}
_OUTPUTS = {
    OutputState.FRESH: "there, and nothing it depends on has changed",
    OutputState.MISSING: "not made yet",
    OutputState.STALE: "something it depends on has changed; the details say what",
    OutputState.RUNNING: "being made",
    OutputState.FAILED: "could not be made; the details say why and what to do",
    OutputState.BLOCKED: "cannot be made as things are; the details say why",
    OutputState.SKIPPED: "the clip has none, such as the sound of an image",
    OutputState.ASIDE: "set aside by an earlier run, and can be put back",
}


def sign_entries(how: Signs) -> list[Entry]:
    """Return the lines about the signs of captions and outputs."""
    words = {f"caption {state}": about for state, about in _CAPTIONS.items()}
    words |= {f"output {state}": about for state, about in _OUTPUTS.items()}
    found: list[Entry] = []
    before = ""
    for (sign, role), name in legend(how):
        what, _, state = name.partition(" ")
        if what != before:
            found.append(_heading(f"Signs of {what}s"))
        before = what
        found.append((f"{sign} {state}", words[name], "", role or "foreground"))
    return found


def _heading(words: str) -> Entry:
    return ("", words, "", "")


def entries(nodes: Sequence[Commanded], keys: Mapping[str, str]) -> list[Entry]:
    """Return the lines of the help; the signs follow the keys of the list that shows them.

    Args:
        nodes: Who has commands, what has the focus first.
        keys: Keys that the user has chosen.
    """
    parts: list[list[Entry]] = []
    for node in nodes:
        own = [one for one in commands(node.SCOPE) if hasattr(node, one.method)]
        lines = [_heading(SCOPE_NAMES[node.SCOPE])] if own else []
        for one in own:
            words = f"{one.title}. {one.help}" if one.help else one.title
            lines.append((all_shown(one, keys) or "palette", words, one.cli, "accent"))
        parts.append(lines)
    shows_signs = bool(nodes) and nodes[0].SCOPE == "clips"
    parts.insert(1 if shows_signs else len(parts), sign_entries(signs()))
    return [line for part in parts for line in part]


class _Help(Lines):
    """The lines of the help."""

    def __init__(self, lines: Sequence[Entry]) -> None:
        super().__init__(has_cursor=False, id="lines")
        self._lines = lines

    def count(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    def text(self, index: int, width: int) -> Text:
        """Return a line: keys, what they do, the command line that does the same."""
        keys, words, cli, role = self._lines[index]
        if not keys:
            return Text(f" {words}", style(self.app, "primary", bold=True))
        text = Text.assemble((f" {keys.ljust(_KEYS)} ", style(self.app, role)), words)
        if cli and text.cell_len + len(cli) + 4 <= width:
            text.append(cli.rjust(width - text.cell_len - 1), Style(dim=True))
        text.truncate(width - 1, overflow="ellipsis")
        return text


class HelpScreen(ListKeys, ModalScreen[None]):
    """The help; any of its keys closes it."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        background: $background 60%;
        #box {
            width: 92; max-width: 96%; height: 90%;
            border: round $primary; background: $surface;
        }
        #lines { background: $surface; height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,question_mark,enter", "dismiss", show=False),
        Binding("space", "page(1)", show=False),
        *LINE_KEYS,
        *PAGE_KEYS,
    ]

    def __init__(self, nodes: Sequence[Commanded], keys: Mapping[str, str]) -> None:
        super().__init__()
        self._title = SCOPE_NAMES[nodes[0].SCOPE] if nodes else "ltx-tui"
        self._list = _Help(entries(nodes, keys))

    def compose(self) -> ComposeResult:
        """Yield the lines."""
        with Vertical(id="box") as box:
            box.border_title = f"Help: {self._title.lower()}"
            box.border_subtitle = "esc back"
            yield self._list
