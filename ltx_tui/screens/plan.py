"""The plan: what a run would do and why, before it does it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from engine.errors import LtxError
from engine.precompute.digest import Digest
from engine.project import Project
from engine.text import plural, visible
from engine.worker.scan_types import Scanning
from ltx_tui import actions
from ltx_tui.children.plan import plan
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, signs
from ltx_tui.screens.list_keys import LINE_KEYS, PAGE_KEYS, ListKeys
from ltx_tui.screens.plan_lines import PlanLines
from ltx_tui.widgets.board import Board, Item, fault_lines
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.jobs import perform
from ltx_tui.widgets.words import Words
from ltx_tui.worker.watch import Watcher


class PlanScreen(ListKeys, Commanded, Screen[bool]):
    """Shows a plan; ends with whether it is run."""

    SCOPE = "plan"
    AUTO_FOCUS = "Board"
    DEFAULT_CSS = """
    PlanScreen Board { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*LINE_KEYS, *PAGE_KEYS]

    def __init__(
        self,
        project: Project,
        watcher: Watcher,
        marked: Iterable[str] = (),
        *,
        how: Signs | None = None,
    ) -> None:
        """Plan nothing yet.

        Args:
            project: The settings.
            watcher: Of the project, for running the plan.
            marked: Names of the marked clips.
            how: The signs; by default what the terminal can write.
        """
        super().__init__()
        self._project, self._watcher = project, watcher
        self._marked = tuple(sorted(marked))
        self._signs = how or signs()
        self._only_marked = False
        self._digest: Digest | None = None
        self._fault: LtxError | None = None
        self._title = Words(id="title", classes="title")
        self._board = Board(has_cursor=False)

    def compose(self) -> ComposeResult:
        """Yield the lines."""
        yield self._title
        yield self._board
        yield Footer()

    def on_mount(self) -> None:
        """Begin to plan."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._draw())
        self._plan()

    def on_resize(self) -> None:
        """Draw for another width."""
        self.call_after_refresh(self._draw)

    @property
    def _head(self) -> str:
        name = visible(self._project.root.name)
        who = plural(len(self._marked), "marked clip") if self._only_marked else "all clips"
        return f"What running now would do  {name} · {who} · device {self._project.run.device}"

    @property
    def _only(self) -> tuple[str, ...]:
        return self._marked if self._only_marked else ()

    def _plan(self) -> None:
        self._digest = self._fault = None
        self._say("reading the dataset")
        self._draw()
        self.run_worker(self._make(), group="plan", exclusive=True)

    async def _make(self) -> None:
        try:
            async for tell in plan(self._project, self._only):
                if isinstance(tell, Scanning):
                    self._say(f"looking at the media {tell.done:,}/{tell.total:,}")
                else:
                    self._digest = tell
        except LtxError as error:
            self._fault = error
        self._say("")
        self._draw()

    def _say(self, doing: str) -> None:
        """Say which project is planned, and how far that is."""
        words = f"{self._head} · {doing}" if doing else self._head
        self._title.say(Text(words, Style(bold=True)))

    def _draw(self) -> None:
        width = self._board.room
        if not width:
            return
        paint = partial(style, self.app)
        lines: list[Text] = []
        if self._fault is not None:
            headline, remedy = visible(self._fault.headline), visible(self._fault.remedy)
            lines = fault_lines(headline, remedy, width, paint("error"), self._signs)
        elif self._digest is not None:
            lines = PlanLines(self._digest, paint, self._signs, width).lines()
        self._board.show([Item(line) for line in lines])

    # Commands

    def do_close(self) -> None:
        """Go back."""
        self.dismiss(False)

    def do_run(self) -> None:
        """Run what is shown."""
        if self._fault is not None:
            self.notify("there is no plan to run", severity="warning")
        elif self._digest is None:
            self.notify("the plan is not made yet", severity="warning")
        elif not self._digest.has_work:
            self.notify("there is nothing to do", severity="warning")
        else:
            perform(self.app, actions.run(self._watcher, self._only))
            self.dismiss(True)

    def do_marked(self) -> None:
        """Plan the marked clips alone, or all again."""
        if not self._marked:
            self.notify("no clip is marked: space marks one", severity="warning")
            return
        self._only_marked = not self._only_marked
        self._plan()
