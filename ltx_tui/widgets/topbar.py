"""The first line: where am I, what is wrong, what is running, how much memory is there."""

from __future__ import annotations

import msgspec
from rich.style import Style
from rich.text import Text

from engine.text import plural, visible
from ltx_tui.drawing.colours import style
from ltx_tui.widgets.line import Line


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the line says.

    Attributes:
        project: Name of the project's folder.
        dataset: Name of the dataset file.
        clips: How many; None while it is not known.
        problems: How many clips need the user.
        worker: Sign and word, such as ("●", "running"); empty for none.
        role: The colour of the worker's sign.
        memory: Such as "GPU0 61.2/139.8 GiB".
        history: Such as "▂▃▅▆▆▇"; shown where there is room.
        note: Such as "saved ✓".
    """

    project: str = ""
    dataset: str = ""
    clips: int | None = None
    problems: int = 0
    worker: tuple[str, str] = ("", "")
    role: str = "foreground"
    memory: str = ""
    history: str = ""
    note: str = ""


class TopBar(Line):
    """The first line; parts that do not fit are left out whole, the least needed first."""

    DEFAULT_CSS = """
    TopBar { background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="topbar")
        self.standing = Standing()

    def show(self, **changes: object) -> None:
        """Change what the line says."""
        self.standing = msgspec.structs.replace(self.standing, **changes)
        self.redraw()

    def content(self, width: int) -> Text:
        """Return the line."""
        # Least needed first.
        optional = ["history", "note", "dataset", "memory", "clips", "project"]
        hidden: set[str] = set()
        while True:
            left, right = self._left(hidden), self._right(hidden)
            gap = width - left.cell_len - right.cell_len
            if gap >= 1 or not optional:
                break
            hidden.add(optional.pop(0))
        left.append(" " * max(1, gap))
        return left.append_text(right)

    def _left(self, hidden: set[str]) -> Text:
        now = self.standing
        text = Text(" ")
        if now.project and "project" not in hidden:
            text.append(visible(now.project), Style(bold=True))
        if now.dataset and "dataset" not in hidden:
            text.append(f"  {visible(now.dataset)}")
        if now.clips is not None and "clips" not in hidden:
            text.append(f"  {plural(now.clips, 'clip')}")
        if now.problems:
            text.append(f"  ⚠ {plural(now.problems, 'problem')}", style(self.app, "warning"))
        return text

    def _right(self, hidden: set[str]) -> Text:
        now = self.standing
        text = Text()
        sign, word = now.worker
        parts = [
            (now.note, "note", style(self.app, "success")),
            (f"{sign} {word}".strip(), "worker", style(self.app, now.role)),
            (now.memory, "memory", Style()),
            (now.history, "history", style(self.app, "primary")),
        ]
        for words, name, how in parts:
            if words and name not in hidden:
                text.append("  " if text else "")
                text.append(visible(words), how)
        return text.append(" ")
