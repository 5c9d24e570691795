"""Asks with which instruction a clip is to be captioned again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import TextArea

from engine.dataset.caption_db import Key
from engine.dataset.name_keys import numbered_name
from engine.project import Project
from engine.text import visible
from ltx_tui.captions.captioning import Ask
from ltx_tui.captions.disguise import plain
from ltx_tui.drawing.colours import QUIET
from ltx_tui.host import focus_now
from ltx_tui.screens.captioner_dialog import CaptionerDialog
from ltx_tui.widgets.board import hanging


class _Instruction(TextArea):
    """The instruction: enter begins, ctrl+j is a new line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+j", "new_line", show=False)]

    def __init__(self, text: str) -> None:
        super().__init__(text, soft_wrap=True, compact=True, id="instruction")
        self.cursor_blink = False  # it would send bytes for ever
        self.highlight_cursor_line = False
        self.placeholder = "empty: asks for the four sections"

    def action_new_line(self) -> None:
        """Begin another line."""
        self.insert("\n")

    async def _on_key(self, event: events.Key) -> None:
        """Leave `enter` to the dialog."""
        if event.key == "enter":
            event.prevent_default()
        else:
            await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert what was pasted, without control characters."""
        event.prevent_default()
        event.stop()
        self.replace(plain(event.text), *self.selection, maintain_selection_offset=False)


class AgainDialog(CaptionerDialog):
    """Takes the instruction, which goes with the job alone unless it is to be kept."""

    DEFAULT_CSS = """
    AgainDialog #instruction { height: 5; border: none; padding: 0; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # The text would select a line with it.
        Binding("f6", "keep", show=False, priority=True)
    ]

    def __init__(
        self,
        project: Project,
        key: Key,
        instruction: str,
        *,
        is_one_of: bool = False,
        is_by_hand: bool = False,
    ) -> None:
        """Ask.

        Args:
            project: The settings, which say who captions.
            key: The clip.
            instruction: What was asked last.
            is_one_of: Whether other rows are called the same.
            is_by_hand: Whether a person wrote, edited or reviewed what is there.
        """
        super().__init__(f"Caption {key.name} again", project, "begins")
        self._clip = numbered_name(key) if is_one_of else key.name
        self._is_by_hand = is_by_hand
        self._keeps = False
        self.area = _Instruction(instruction)

    def on_mount(self) -> None:
        """Begin to type, behind what is there."""
        self.area.move_cursor(self.area.document.end)
        focus_now(self.area)

    def above(self) -> Iterable[Widget]:
        """Return the instruction."""
        return (self.area,)

    def lines(self, width: int) -> Iterator[Text]:
        """Yield what becomes of the caption and of the instruction."""
        stays = "what is there stays among the versions"
        words = f"a person wrote, edited or reviewed it; {stays}" if self._is_by_hand else stays
        yield from map(Text, hanging("  ", words, width))
        mark = "x" if self._keeps else " "
        words = "keep the instruction in project.toml (f6)"
        for line in hanging(f"[{mark}] ", words, width):
            yield Text(line, "" if self._keeps else QUIET)

    def subtitle(self) -> str:
        """Return what keys do."""
        return "ctrl+j new line"

    def answer(self) -> Ask | None:
        """Return what is asked."""
        return Ask(
            clips=(self._clip,),
            override=True,
            instruction=visible(self.area.text.strip(), keep="\n"),
            keep_instruction=self._keeps,
        )

    def action_keep(self) -> None:
        """Keep the instruction in project.toml, or not."""
        self._keeps = not self._keeps
        self.renew()
