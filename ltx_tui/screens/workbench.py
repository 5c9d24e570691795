"""The workbench: clips, details and caption, buckets, jobs; beside each other or as tabs."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from engine.project import Project
from ltx_tui.desk import Desk
from ltx_tui.host import focus_first, workbench_of
from ltx_tui.screens.jump import Target
from ltx_tui.screens.wires import Wires
from ltx_tui.state import State
from ltx_tui.widgets.clip_list import ClipList
from ltx_tui.widgets.details import Details
from ltx_tui.widgets.footer import Footer
from ltx_tui.widgets.tabs import TABS, TabLine
from ltx_tui.widgets.topbar import TopBar

# From so many columns on all panes are shown at once.
WIDE = 100
# From so many lines on there is room for the memory's history beside the other panes.
TALL = 36

# The frames of each tab; the focus goes to the last that takes it.
FRAMES = {
    "clips": ("clips",),
    "caption": ("details", "caption"),
    "buckets": ("buckets",),
    "jobs": ("jobs",),
}
_LEFT = ("clips", "buckets")


class WorkbenchScreen(Wires):
    """Where the panes are, and which of them is seen.

    Attributes:
        pane: The tab that is shown in a narrow terminal, and has the focus in a wide one.
    """

    SCOPE = "workbench"
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    WorkbenchScreen {
        #panes { height: 1fr; }
        #left { width: 45%; max-width: 96; }
        #right { width: 1fr; }
        #clips-frame { height: 2fr; }
        #buckets-frame { height: 1fr; }
        #details-frame { height: auto; max-height: 40%; }
        #caption-frame { height: 2fr; }
        #jobs-frame { height: 1fr; min-height: 9; }
        &.-tall #jobs-frame { min-height: 13; }
        .frame {
            border: round $foreground 40%;
            border-title-color: $foreground;
            border-subtitle-color: $foreground;
            &:focus-within {
                border: round $primary;
                border-title-color: $primary;
                border-title-style: bold;
            }
        }
        &.-narrow {
            .frame { border: none; height: 1fr; }
            #details-frame { height: auto; max-height: 50%; }
            #left, #right { width: 1fr; max-width: 100%; }
        }
    }
    """

    def __init__(self, project: Project, state: State | None = None) -> None:
        """Open a project.

        Args:
            project: The settings.
            state: Where the user was.
        """
        super().__init__()
        self.desk = Desk(project)
        self.state = state or State()
        self.pane = self.state.pane if self.state.pane in FRAMES else "clips"
        self.clips = ClipList(self.desk.store)
        self.details = Details(self.desk.store)

    def compose(self) -> ComposeResult:
        """Yield what is seen first; the other panes come right after the first paint."""
        yield TopBar()
        yield TabLine()
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                yield self._frame("clips", "1 Clips", self.clips)
                yield self._frame("buckets", "3 Buckets")
            with Vertical(id="right"):
                yield self._frame("details", "Details", self.details)
                yield self._frame("caption", "2 Caption")
                yield self._frame("jobs", "4 Jobs")
        yield Footer()

    def _frame(self, name: str, title: str, *panes: Widget) -> Vertical:
        frame = Vertical(*panes, id=f"{name}-frame", classes="frame")
        frame.border_title = title
        return frame

    # Layout

    @property
    def is_narrow(self) -> bool:
        """Whether the panes are tabs."""
        return self.app.size.width < WIDE

    def on_mount(self) -> None:
        """Lay out, and go where the user was; what is not seen at once comes after that."""
        self.tell_standing()
        self.restore(self.state)
        if self.pane == "clips":
            self.show_pane("clips")
        else:
            self.lay_out()  # the focus waits for what it is to be given to
        self.call_after_refresh(self._complete)

    async def _complete(self) -> None:
        """Add the panes that the first picture can do without, and begin to listen."""
        from ltx_tui.widgets.buckets import Buckets
        from ltx_tui.widgets.caption_editor import CaptionEditor
        from ltx_tui.widgets.jobs import JobLine, Jobs

        desk = self.desk
        self.editor = CaptionEditor(desk.captions, desk.store)
        self.buckets = Buckets(desk.store, desk.project)
        self.jobs = Jobs(desk.watcher, desk.store)
        self.job_line = JobLine(desk.watcher, id="jobline")
        # One picture of all of it, not one for each.
        with self.app.batch_update():
            await self.query_one("#caption-frame").mount(self.editor)
            await self.query_one("#buckets-frame").mount(self.buckets)
            await self.query_one("#jobs-frame").mount(self.jobs)
            await self.mount(self.job_line, before=self.query_one(Footer))
            self.lay_out()
            if self.focused is None or self.pane == "caption":  # its details had the focus
                self.show_pane(self.pane)
        self.begin()
        workbench_of(self).settled()

    def on_resize(self, _event: events.Resize) -> None:
        """Change between tabs and panes beside each other; the focus stays."""
        self.lay_out()

    def lay_out(self) -> None:
        """Show all panes, or that of the tab."""
        narrow = self.is_narrow
        self.set_class(narrow, "-narrow")
        self.set_class(self.app.size.height >= TALL, "-tall")
        shown = FRAMES[self.pane] if narrow else [name for one in FRAMES.values() for name in one]
        for names in FRAMES.values():
            for name in names:
                self.query_one(f"#{name}-frame").display = name in shown
        self.query_one("#left").display = not narrow or self.pane in _LEFT
        self.query_one("#right").display = not narrow or self.pane not in _LEFT
        tabs = self.query_one(TabLine)
        tabs.display = narrow
        tabs.show(self.pane)
        if self.job_line is not None:
            self.job_line.display = narrow and self.has_job

    def show_pane(self, pane: str) -> None:
        """Show a pane, and give it the focus."""
        self.pane = pane
        self.lay_out()
        for name in reversed(FRAMES[pane]):
            if focus_first(self.query_one(f"#{name}-frame")):
                break
        workbench_of(self).remember(pane=pane)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Follow the focus with the tab."""
        ids = {node.id for node in event.widget.ancestors_with_self}
        for pane, names in FRAMES.items():
            if pane != self.pane and any(f"{name}-frame" in ids for name in names):
                self.pane = pane
                self.lay_out()
                workbench_of(self).remember(pane=pane)

    def on_tab_line_picked(self, event: TabLine.Picked) -> None:
        """Show the tab that was clicked."""
        self.show_pane(event.pane)

    def jump_targets(self) -> list[Target]:
        """Return where one can jump to: the panes, or their tabs."""
        if not self.is_narrow:
            found = []
            for pane, names in FRAMES.items():
                at = self.query_one(f"#{names[-1]}-frame").region
                found.append(Target((at.x + 1, at.y), self._jump(pane)))
            return found
        line, column, found = self.query_one(TabLine).region.y, 0, []
        for pane, title in TABS:
            found.append(Target((column, line), self._jump(pane)))
            column += len(title) + 2
        return found

    def _jump(self, pane: str) -> Callable[[], None]:
        return lambda: self.show_pane(pane)
