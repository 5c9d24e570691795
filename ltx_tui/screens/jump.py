"""Jump mode: a letter on everything that can have the focus, one key to go there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

_LETTERS = "asdfghjklqwertzuiop"


class Target(msgspec.Struct, frozen=True):
    """Where one can jump to.

    Attributes:
        at: (column, line) of its letter.
        go: Goes there.
    """

    at: tuple[int, int]
    go: Callable[[], object]


def targets(screen: Screen[object]) -> list[Target]:
    """Return what a screen says that one can jump to, else all that takes the focus."""
    own = getattr(screen, "jump_targets", None)
    if own is not None:
        found: list[Target] = own()
        return found[: len(_LETTERS)]
    return [
        Target((one.region.x, one.region.y), one.focus)
        for one in screen.walk_children(Widget)
        if one.focusable
    ][: len(_LETTERS)]


class JumpScreen(ModalScreen[Target | None]):
    """The letters, over the screen that they belong to; ends with where to go."""

    DEFAULT_CSS = """
    JumpScreen { background: transparent; }
    JumpScreen Static {
        position: absolute; width: 3; height: 1; text-align: center;
        background: $accent; color: $background; text-style: bold;
    }
    """

    def __init__(self, found: Sequence[Target]) -> None:
        super().__init__()
        self._targets = dict(zip(_LETTERS, found, strict=False))

    def compose(self) -> ComposeResult:
        """Yield the letters."""
        for letter, target in self._targets.items():
            label = Static(letter)
            label.styles.offset = target.at
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go where the letter says; any other key goes nowhere."""
        event.stop()
        self.dismiss(self._targets.get(event.key))
