"""What the dialogs share that have clips captioned: by whom, whether it can, and its key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from engine.captioners.keys import NETWORK, use_key
from engine.errors import EnvironmentFaultError, LtxError
from engine.project import Project
from engine.text import visible
from engine.worker.captioner_types import Ready
from ltx_tui.captions.captioning import Ask, check, key_name, who_words
from ltx_tui.captions.status import written
from ltx_tui.drawing.colours import QUIET, style
from ltx_tui.drawing.signs import signs
from ltx_tui.host import focus_now
from ltx_tui.screens.dialog import Dialog
from ltx_tui.widgets.board import Board, Item, fault_lines, hanging


class CaptionerDialog(Dialog[Ask | None]):
    """Ends with what the captioner is to do, or None."""

    DEFAULT_CSS = """
    CaptionerDialog Input { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("enter", "take", show=False),
        Binding("f3", "key", show=False),
    ]

    def __init__(self, title: str, project: Project, does: str) -> None:
        """Ask.

        Args:
            title: What it is about.
            project: The settings, which say who captions.
            does: What `enter` does, in a word or two.
        """
        super().__init__()
        self.project = project
        self._title, self._does = title, does
        self._ready: Ready | None = None
        self._fault: LtxError | None = None
        self._is_hasty = False  # it was to begin before that was known
        self._board = Board(has_cursor=False)
        self._key = Input(password=True, compact=True, id="key")
        self._key.cursor_blink = False  # it would send bytes for ever

    def compose(self) -> ComposeResult:
        """Yield what is asked, what is known, and a line for a key that is missing."""
        with Vertical(id="box") as box:
            box.border_title = Text(visible(self._title))
            yield from self.above()
            yield self._board
            self._key.placeholder = f"{key_name(self.project)}: kept in memory alone"
            yield self._key

    def on_mount(self) -> None:
        """Look whether the captioner can be begun with."""
        self.run_worker(self._look(), exit_on_error=True)
        self.call_after_refresh(self.renew)

    def on_resize(self) -> None:
        """Say it in lines of another width."""
        self.call_after_refresh(self.renew)

    async def _look(self) -> None:
        try:
            self._ready = await check(self.project)
        except (EnvironmentFaultError, OSError) as error:
            self._fault = _to_fault(error)
        else:
            fault = self._ready.fault
            self._fault = fault.to_error() if fault is not None else None
            if self._ready.lacks_key and self._fault is None:
                self._key.display = True
                if self.focused in (None, self._board):  # what is being typed is not for the key
                    focus_now(self._key)
        self.renew()
        if self._is_hasty:
            self.action_take()

    # For the dialogs

    def above(self) -> Iterable[Widget]:
        """Return what stands above the lines."""
        return ()

    def lines(self, width: int) -> Iterator[Text]:
        """Yield what is asked, in lines of a width."""
        raise NotImplementedError

    def answer(self) -> Ask | None:
        """Return what the user has chosen; None for nothing."""
        raise NotImplementedError

    def subtitle(self) -> str:
        """Return what keys do beside those of all such dialogs."""
        return ""

    def renew(self) -> None:
        """Show it as it is now."""
        room = self._board.room
        if not self.is_mounted or not room:
            return
        lines = [*self.lines(room), *self._captioner(room)]
        self._board.styles.height = min(len(lines), max(4, self.app.size.height - 10))
        self._board.show([Item(line) for line in lines])
        keys = [f"enter {self._does}"] if self._fault is None else []
        keys += [self.subtitle()] if self.subtitle() else []
        if self._takes_key and not self._key.display:
            keys.append("f3 key")
        self.query_one("#box").border_subtitle = written(" · ".join([*keys, "esc back"]))

    def _captioner(self, width: int) -> Iterator[Text]:
        how = signs()
        yield Text("")
        for words in who_words(self.project, self._ready):
            yield from map(Text, hanging("  ", words, width))
        if self._fault is not None:
            red = style(self.app, "error")
            remedy = self._fault.remedy
            remedy += f"{'; ' if remedy else ''}[captions] is changed in the settings (f2)"
            yield from fault_lines(visible(self._fault.headline), visible(remedy), width, red, how)
        elif self._ready is None:
            yield Text(f"{how.waiting} looking whether it can", QUIET)
        else:
            for note in self._ready.notes:
                warned = style(self.app, "warning")
                yield from (Text(one, warned) for one in hanging(f"{how.warning} ", note, width))
            if self._ready.lacks_key:
                words = "it wants a key, and the environment has none: type it below (f3)"
                yield from map(Text, hanging(f"{how.warning} ", words, width))
            elif not self._ready.notes:
                yield Text(f"{how.ok} it can begin", style(self.app, "success"))

    @property
    def _takes_key(self) -> bool:
        return self.project.captions.captioner in NETWORK

    # Keys

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Begin, with the key."""
        event.stop()
        self.action_take()

    def action_key(self) -> None:
        """Have a key typed."""
        if self._takes_key:
            self._key.display = True
            focus_now(self._key)
            self.renew()

    def action_take(self) -> None:
        """Begin, unless something is missing."""
        answer, key = self.answer(), self._key.value.strip()
        if answer is None:
            self.dismiss(None)
            return
        self._is_hasty = self._ready is None
        if self._fault is not None or self._ready is None:
            return
        if self._ready.lacks_key and not key:
            self.action_key()
            self.app.notify(f"type the key of {self.project.captions.captioner}, or esc goes back")
            return
        use_key(self.project.captions.captioner, key)
        self.dismiss(answer)

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


def _to_fault(error: EnvironmentFaultError | OSError) -> LtxError:
    if isinstance(error, LtxError):
        return error
    return EnvironmentFaultError(f"the captioner cannot be looked at: {error.strerror or error}")
