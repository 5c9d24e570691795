"""Asks which clips are to be captioned, and says by whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType

from engine.project import Project
from engine.text import visible
from ltx_tui.captions.captioning import Ask, Counts, ask_of, choices
from ltx_tui.drawing.colours import QUIET
from ltx_tui.drawing.signs import signs
from ltx_tui.screens.captioner_dialog import CaptionerDialog
from ltx_tui.widgets.board import hanging

# Lines of the instruction that are shown.
_MOST = 3


class CaptionDialog(CaptionerDialog):
    """Offers to caption what has no caption, and, if it is wanted, what has one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", show=False),
        Binding("up,k", "move(-1)", show=False),
    ]

    def __init__(
        self, title: str, project: Project, counts: Counts, clips: tuple[str, ...] = ()
    ) -> None:
        """Ask.

        Args:
            title: What it is about.
            project: The settings, which say who captions.
            counts: How the captions of the clips stand.
            clips: Their names; empty for all that the dataset has.
        """
        super().__init__(title, project, "begins")
        self._clips = clips
        self._ways = choices(counts)
        self._chosen = 0

    def lines(self, width: int) -> Iterator[Text]:
        """Yield the choices, and what is asked about each clip."""
        dot = "•" if signs().dots else "*"
        for at, (_, words) in enumerate(self._ways):
            is_chosen = at == self._chosen
            head = "  " if len(self._ways) == 1 else f"({dot if is_chosen else ' '}) "
            for line in hanging(head, words, width):
                yield Text(line, Style(bold=is_chosen))
        if any(which != "missing" for which, _ in self._ways):
            for line in hanging("  ", "what is there stays among the versions", width):
                yield Text(line, QUIET)
        custom = " ".join(self.project.captions.instruction.split())
        words = f"asked: {visible(custom)}" if custom else "asked for: the four sections"
        yield Text("")
        yield from map(Text, hanging("  ", words, width, most=_MOST))

    def subtitle(self) -> str:
        """Return what keys do."""
        return "↑↓ choose" if len(self._ways) > 1 else ""

    def answer(self) -> Ask | None:
        """Return what follows from the choice."""
        return ask_of(self._ways[self._chosen][0], self._clips)

    def action_move(self, by: int) -> None:
        """Choose another one."""
        self._chosen = max(0, min(len(self._ways) - 1, self._chosen + by))
        self.renew()
