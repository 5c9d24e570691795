"""What is shown where the terminal is too small for anything else."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Static

WIDTH, HEIGHT = 60, 16


def is_too_small(size: Size) -> bool:
    """Whether the workbench does not fit."""
    return size.width < WIDTH or size.height < HEIGHT


class TooSmall(Screen[None]):
    """A notice; the screen under it comes back, as it was, when there is room."""

    DEFAULT_CSS = """
    TooSmall { align: center middle; }
    TooSmall Static { width: auto; height: auto; text-align: center; }
    """

    def compose(self) -> Any:
        """Yield the notice."""
        yield Static()

    def on_resize(self) -> None:
        """Say how large the terminal is now."""
        size = self.app.size
        lines = [
            f"{WIDTH}×{HEIGHT} is the least that fits",
            f"this is {size.width}×{size.height}",
            "ctrl+q leaves",
        ]
        self.query_one(Static).update(Text("\n".join(lines), justify="center"))
