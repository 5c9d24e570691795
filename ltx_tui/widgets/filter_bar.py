"""The line in which a filter is typed: it filters while one types, and says what is wrong."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from engine.text import visible
from ltx_tui.clips.columns import shortened
from ltx_tui.clips.filter_keys import KEYS, completions
from ltx_tui.clips.filter_types import FilterError
from ltx_tui.clips.filters import parse
from ltx_tui.clips.store import Store
from ltx_tui.drawing.colours import style
from ltx_tui.host import focus_now
from ltx_tui.widgets.line import Line

# Seconds after the last letter: below the time between two letters nothing is gained.
_DEBOUNCE = 0.12
_HISTORY = 50


class FilterInput(Input):
    """The input; the letters of commands are text here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "complete", show=True),
        Binding("up", "older", "older filters", show=False),
        Binding("down", "newer", "newer filters", show=False),
        Binding("escape", "give_up", "back", show=True),
    ]

    class Completed(Message):
        """Another completion is wanted."""

    class Recalled(Message):
        """An older filter is wanted, or a newer one.

        Attributes:
            step: 1 for older, -1 for newer.
        """

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class GivenUp(Message):
        """The filter is to be what it was before."""

    def action_complete(self) -> None:
        """Complete key or value."""
        self.post_message(self.Completed())

    def action_older(self) -> None:
        """Take an older filter."""
        self.post_message(self.Recalled(1))

    def action_newer(self) -> None:
        """Take a newer filter."""
        self.post_message(self.Recalled(-1))

    def action_give_up(self) -> None:
        """Leave everything as it was."""
        self.post_message(self.GivenUp())


class _Note(Line):
    """What is wrong with the filter, or what can be typed."""

    def __init__(self) -> None:
        super().__init__(id="filter-note")
        self.words = Text()

    def say(self, words: Text) -> None:
        self.words = words
        self.redraw()

    def content(self, width: int) -> Text:
        if self.words.cell_len <= width:
            return self.words
        return Text(f" {shortened(self.words.plain.strip(), width - 1)}", self.words.style)


class _Count(Line):
    """How many clips match."""

    DEFAULT_CSS = """
    _Count { width: auto; min-width: 18; }
    """

    def __init__(self, store: Store) -> None:
        super().__init__(id="filter-count")
        self._store = store

    def content(self, width: int) -> Text:
        words = f"{len(self._store.shown):,} of {len(self._store):,} "
        return Text(words.rjust(width))


class FilterBar(Vertical):
    """Input, count and a line of help; hidden while there is nothing to say.

    Attributes:
        history: Filters that were used, the newest last.
    """

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none;
        &.-open { display: block; }
        & > Horizontal { height: 1; }
        FilterInput { height: 1; width: 1fr; border: none; padding: 0; background: $surface; }
        FilterInput:focus { border: none; }
        #filter-slash { width: 1; }
        #filter-note { display: none; }
        &.-typing #filter-note { display: block; }
        #filter-count { width: 20; }
    }
    """

    class Left(Message):
        """The user is done with typing: the focus goes back to the clips."""

    def __init__(self, store: Store) -> None:
        super().__init__(id="filter-bar")
        self._store = store
        self.history: list[str] = []
        self._input = FilterInput(compact=True, id="filter-input", select_on_focus=False)
        self._input.cursor_blink = False  # a blink costs bytes
        self._note, self._count, self._slash = _Note(), _Count(store), _Slash()
        self._timer: Timer | None = None
        self._before = ""
        self._recalled = 0
        self._offers: list[str] = []
        self._offered = ""

    def compose(self) -> ComposeResult:
        """Put the help below the input."""
        with Horizontal():
            yield self._slash
            yield self._input
            yield self._count
        yield self._note

    def open(self) -> None:
        """Let the user type."""
        self._before = self._store.filter.text
        self._recalled = 0
        self.add_class("-open", "-typing")
        self._input.value = self._before
        self._input.cursor_position = len(self._before)
        focus_now(self._input)
        self._check(self._before)

    def update_count(self) -> None:
        """Show how many match now; hide where everything is shown."""
        is_typing = self.has_class("-typing")
        self.set_class(bool(self._store.filter.text) or is_typing, "-open")
        if not is_typing and self._input.value != self._store.filter.text:
            with self._input.prevent(Input.Changed):
                self._input.value = self._store.filter.text
        self._count.redraw()

    # Typing

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter a moment after the last letter."""
        event.stop()
        if not self.has_class("-typing"):
            return
        if event.value != self._offered:
            self._offers = []
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_DEBOUNCE, self._filter)

    def _filter(self) -> None:
        self._timer = None
        text = self._input.value
        if self._check(text) and text != self._store.filter.text:
            self._store.set_filter(text)

    def _check(self, text: str) -> bool:
        """Say what is wrong with a filter; return whether nothing is."""
        try:
            parse(text)
        except FilterError as error:
            self._note.say(self._error(error))
            return False
        self._note.say(Text(_help(text), Style(dim=True)))
        return True

    def _error(self, error: FilterError) -> Text:
        place = error.position + 1
        return Text.assemble(" ", (f"✗ column {place}: {visible(error)}", style(self.app, "error")))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go back to the clips."""
        event.stop()
        text = event.value.strip()
        if not self._check(text):
            return
        if text != self._store.filter.text:
            self._store.set_filter(text)
        self._keep(text)
        self._leave()

    def _keep(self, text: str) -> None:
        if text:
            others = [one for one in self.history if one != text]
            self.history = [*others[-_HISTORY + 1 :], text]

    def on_filter_input_given_up(self) -> None:
        """Filter as before, and go back to the clips."""
        if self._store.filter.text != self._before:
            self._store.set_filter(self._before)
        self._leave()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self.remove_class("-typing")
        self.post_message(self.Left())

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        """Keep what was typed when the focus goes elsewhere."""
        if not self.has_class("-typing"):
            return
        self._filter()
        self.remove_class("-typing")
        self.call_later(self.update_count)

    # Completion and history

    def on_filter_input_completed(self) -> None:
        """Take the next completion; a second tab takes the one after it."""
        if not self._offers:
            place = self._input.cursor_position
            names = [name for name in self._store.table.bucket_names if name]
            self._offers = completions(self._input.value, place, names)
        if not self._offers:
            return
        self._offered = self._offers.pop(0)
        after = len(self._input.value) - self._input.cursor_position
        self._input.value = self._offered
        self._input.cursor_position = len(self._offered) - after

    def on_filter_input_recalled(self, event: FilterInput.Recalled) -> None:
        """Take an older filter, or a newer one."""
        if not self.history:
            return
        self._recalled = max(0, min(len(self.history), self._recalled + event.step))
        text = self.history[-self._recalled] if self._recalled else ""
        self._input.value = text
        self._input.cursor_position = len(text)


class _Slash(Line):
    """The sign before the input."""

    def __init__(self) -> None:
        super().__init__(id="filter-slash")

    def content(self, width: int) -> Text:  # noqa: ARG002 - one column
        return Text("/", style(self.app, "primary"))


def _help(text: str) -> str:
    """Return what can be typed now."""
    term = text.rpartition(" ")[2].lstrip("-")
    key, colon, _ = term.partition(":")
    if colon and key.lower() in KEYS:
        one = KEYS[key.lower()]
        return f" {one.help}: {', '.join(one.values) if one.values else one.example}"
    return " words, or " + " ".join(f"{name}:" for name in KEYS) + "  (tab completes)"
