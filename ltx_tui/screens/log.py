"""The log: what worker and encoders wrote down, as it is written."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from engine.text import visible
from engine.worker import logs
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.host import workbench_of
from ltx_tui.screens.list_keys import LINE_KEYS, PAGE_KEYS, SearchedList
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.lines import Lines
from ltx_tui.worker.log_view import BEGIN, Entry, LogView, files_of

# Seconds between two pictures of a log that grows.
_TICK = 0.5

_LEVEL = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL) ")
_ROLES = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}


class _Log(Lines):
    """The lines of the log."""

    def __init__(self, view: LogView) -> None:
        super().__init__(id="lines")
        self._view = view

    def count(self) -> int:
        """Return how many there are, or one that says that there is none."""
        return len(self._view.shown) or 1

    def can_choose(self, index: int) -> bool:
        """Whether there is a line."""
        return index < len(self._view.shown)

    def text(self, index: int, width: int) -> Text:
        """Return a line: the log's name, then what was written."""
        if not self._view.shown:
            missing = f"no line has {self._view.words!r}" if self._view.words else "nothing logged"
            return Text(f" {missing}", Style(dim=True))
        entry = self._view.shown[index]
        found = _LEVEL.match(entry.text)
        how = style(self.app, _ROLES[found[1]]) if found else Style()
        line = Text.assemble((f" {entry.log}  ", Style(dim=True)), (entry.text, how))
        words = self._view.words
        if words:
            line.highlight_regex(f"(?i){re.escape(words)}", Style(reverse=True))
        line.truncate(width, overflow="ellipsis")
        return line


class LogScreen(SearchedList, Commanded, Screen[None]):
    """The last lines of all logs, followed; the line under the cursor is shown whole below."""

    SCOPE = "log"
    AUTO_FOCUS = "#lines"
    DEFAULT_CSS = """
    LogScreen {
        #title { height: 1; background: $panel; padding: 0 1; }
        #lines { height: 1fr; }
        #find { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
        #whole { height: auto; max-height: 6; padding: 0 1; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*LINE_KEYS, *PAGE_KEYS]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._view = LogView()
        self._list = _Log(self._view)
        self._is_following = True
        self._has_news = False

    def compose(self) -> ComposeResult:
        """Yield title, lines, the chosen line, what is looked for."""
        yield Static(id="title", markup=False)
        yield self._list
        yield Static(id="whole", markup=False)
        yield Input(placeholder="find", id="find", compact=True)
        yield Footer()

    def on_mount(self) -> None:
        """Read, and go on reading."""
        self.run_worker(self._read(), name="log")
        self.set_interval(_TICK, self._draw_news)
        self._draw()

    async def _read(self) -> None:
        async for line in logs.follow(partial(files_of, self._folder), lines=BEGIN):
            if self._view.add(Entry(line.path.stem, line.text)):
                self._has_news = True

    def _draw_news(self) -> None:
        if self._has_news:
            self._draw()

    def _draw(self) -> None:
        self._has_news = False
        self._list.renew()
        if self._is_following:
            self._list.move_to(self._list.count() - 1, step=-1)
        self._draw_title()
        self._draw_whole()

    def _draw_title(self) -> None:
        follow = "following" if self._is_following else "not following (f)"
        text = f"Log of {self._view.summary} · {follow}"
        self.query_one("#title", Static).update(Text(visible(text)))

    def _draw_whole(self) -> None:
        """Show the chosen line whole, where it is too long for its row."""
        whole, index = self.query_one("#whole", Static), self._list.cursor
        entry = self._view.shown[index] if self._list.can_choose(index) else None
        room = self.size.width - 4
        whole.display = entry is not None and len(entry.log) + len(entry.text) + 3 > room
        if entry is not None and whole.display:
            whole.update(Text(entry.text))

    def on_lines_moved(self) -> None:
        """Show the line that was chosen; whoever goes up wants to read, not to follow."""
        is_last = self._list.cursor >= self._list.count() - 1
        if self._is_following != is_last:
            self._is_following = is_last
            self._draw_title()
        self._draw_whole()

    # Finding

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the lines that have the words."""
        self._view.choose(words=event.value)
        self._draw()

    def on_input_submitted(self) -> None:
        """Go back to the lines, those with the words."""
        self._keep_words()

    # Commands

    def do_close(self) -> None:
        """Go back: out of what is looked for, then out of the log."""
        if not self._drop_words():
            self.dismiss()

    def do_source(self) -> None:
        """Show the worker, the encoders, or all."""
        self._view.choose(source=self._view.next_source())
        self._draw()

    def do_follow(self) -> None:
        """Follow the end, or do not."""
        self._is_following = not self._is_following
        self._draw()

    async def do_copy(self) -> None:
        """Copy all lines that are shown."""
        await workbench_of(self).copy("\n".join(f"{e.log}  {e.text}" for e in self._view.shown))
