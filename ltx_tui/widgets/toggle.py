"""Something that is on or off, and says so in signs, not in colours: "[x] Encode the sound"."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from engine.text import visible


class Toggle(Widget, can_focus=True):
    """Space turns it around.

    Attributes:
        value: Whether it is on.
        label: What it is about.
    """

    DEFAULT_CSS = """
    Toggle { height: 1; width: 1fr; margin-top: 1; padding: 0 1; }
    Toggle:focus { background: $panel; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "turn", show=False)]

    value = reactive(False)
    label = reactive("")

    def __init__(self, label: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.set_reactive(Toggle.label, label)

    def render(self) -> Text:
        """Return sign and label."""
        return Text(f"[{'x' if self.value else ' '}] {visible(self.label)}")

    def action_turn(self) -> None:
        """Turn it around."""
        self.value = not self.value

    def on_click(self) -> None:
        """Turn it around."""
        self.action_turn()
