"""Jobs and memory: the pane, and the one line that other panes show of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from engine.errors import LtxError
from engine.precompute.layout import Stage
from engine.text import visible
from ltx_tui import actions
from ltx_tui.cli.progress import rate_words, stage_name
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import QUIET, style
from ltx_tui.drawing.signs import Signs, bar, signs
from ltx_tui.widgets.board import Board
from ltx_tui.widgets.job_lines import JobLines, eta_words, scanning_words, share_words
from ltx_tui.widgets.line import Line
from ltx_tui.widgets.lines import Lines
from ltx_tui.widgets.memory_plot import MemoryPlot
from ltx_tui.worker.watch import Changes, Watcher

if TYPE_CHECKING:
    from ltx_tui.clips.store import Store


class Jobs(Commanded, Vertical):
    """What runs, what failed, what waits, and the memory that it takes."""

    SCOPE = "jobs"
    DEFAULT_CSS = """
    Jobs > Board { height: 1fr; }
    """

    class ShowClip(Message):
        """The user wants to see a clip.

        Attributes:
            name: As rows name it.
        """

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(
        self,
        watcher: Watcher,
        store: Store | None = None,
        *,
        how: Signs | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Show nothing yet.

        Args:
            watcher: What is known of jobs.
            store: The clips, for their number and their buckets.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(id=id)
        self._watcher, self._store = watcher, store
        self._signs = how or signs()
        self.board = Board()
        self.plot = MemoryPlot(watcher, forecast=self._expected, how=self._signs)
        self._end: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """Put the lines above the plot."""
        yield self.board
        yield self.plot

    def on_mount(self) -> None:
        """Begin to listen."""
        self._end = self._watcher.subscribe(self.take)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.renew())
        self.renew()

    def on_unmount(self) -> None:
        """Stop listening."""
        if self._end is not None:
            self._end()

    def on_resize(self) -> None:
        """Share the height: the lines need it first."""
        self._share()
        self.call_after_refresh(self.renew)

    def _share(self) -> None:
        height = self.size.height
        rows = 1 if self._watcher.memory is None else max(1, min(14, height * 2 // 5))
        if height < 6:
            rows = min(rows, 1)
        self.plot.styles.height = rows

    def take(self, changes: Changes) -> None:
        """Show what has changed."""
        if not self.is_mounted:
            return
        if changes - {"memory"}:
            self._renew_lines()
        if "memory" in changes:
            self._share()
            self.plot.update_plot()

    def renew(self) -> None:
        """Show everything anew."""
        self._renew_lines()
        self.plot.update_plot()

    def _renew_lines(self) -> None:
        if not self.board.room:
            return
        lines = JobLines(self._watcher, partial(style, self.app), self._signs, self.board.room)
        self.board.show(lines.items(len(self._store) if self._store is not None else None))

    def _expected(self) -> int:
        """Return the bytes that the clips in hand are expected to take on a device."""
        if not self._watcher.active or self._store is None:
            return 0
        hands = self._watcher.progress.in_hand.values()
        wanted = {(one.stage, self._kind(self._store, one.stage, one.clip)) for one in hands}
        needs = [
            one.need
            for one in self._store.overview.outlooks
            if (one.stage.value, one.name) in wanted
        ]
        return max(needs, default=0)

    def _kind(self, store: Store, stage: str, clip: str) -> str:
        """Return the name of a clip's outlook; empty where it has none."""
        if stage == Stage.CONDITIONS:
            return "captions"
        at = store.find(clip)
        return store.get(at).bucket if at is not None else ""

    # Commands

    def do_pause(self) -> None:
        """Pause, or go on."""
        perform(self, actions.pause(self._watcher))

    def do_cancel(self) -> None:
        """Cancel."""
        perform(self, actions.cancel(self._watcher))

    def do_retry(self) -> None:
        """Try again what failed."""
        perform(self, actions.retry(self._watcher))

    def do_down(self) -> None:
        """Go to the next failed clip, or scroll."""
        self._move(1)

    def do_up(self) -> None:
        """Go to the failed clip before, or scroll."""
        self._move(-1)

    def _move(self, by: int) -> None:
        board = self.board
        if not any(item.key for item in board.items):
            board.scroll_to(y=board.scroll_offset.y + by, animate=False)
            return
        before = board.cursor
        board.move(by)
        if board.cursor == before:
            # What lies beyond the first or last clip can be read as well.
            board.scroll_to(y=board.scroll_offset.y + by, animate=False)

    def do_show(self) -> None:
        """Go to the clip under the cursor."""
        if self.board.chosen:
            self.post_message(self.ShowClip(self.board.chosen))

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Go to a clip that was clicked twice."""
        event.stop()
        self.do_show()


class JobLine(Line):
    """The job that runs, in one line: "latents 412/1,248 ███░░ 33 % 1.9 clips/s eta 7 min"."""

    def __init__(
        self,
        watcher: Watcher,
        *,
        how: Signs | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Show nothing yet.

        Args:
            watcher: What is known of jobs.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(id=id)
        self._watcher, self._signs = watcher, how or signs()
        self._end: Callable[[], None] | None = None

    def on_mount(self) -> None:
        """Begin to listen."""
        self._end = self._watcher.subscribe(self._take)

    def on_unmount(self) -> None:
        """Stop listening."""
        if self._end is not None:
            self._end()

    def _take(self, changes: Changes) -> None:
        if changes - {"memory"}:
            self.redraw()

    def content(self, width: int) -> Text:
        """Return the line; what does not fit is left out whole, the least needed first."""
        watcher, progress = self._watcher, self._watcher.progress
        stage = watcher.running
        if not watcher.active:
            return self._idle(width)
        if progress.waiting:
            return self._worded(self._signs.warning, "warning", f"waits: {progress.waiting}", width)
        if stage is None or stage.state == "loading":
            words = scanning_words(progress) if not progress.planned else "begins"
            if stage is not None:
                words = f"{stage_name(stage.stage)}: loading {visible(stage.model)}"
            return self._worded(self._signs.running, "primary", words, width)
        head = f" {stage_name(stage.stage)} {stage.ended:,}/{stage.total:,} "
        facts = [rate_words(progress.rate(stage)), eta_words(progress, stage)]
        facts = [fact for fact in facts if fact]
        failed = len({one.clip for one in progress.failures})
        if failed:
            facts.append(f"{failed:,} failed")
        part = share_words(stage)
        while facts and len(head) + 7 + len(part) + sum(len(one) + 2 for one in facts) > width:
            facts.pop(0)
        tail = "  ".join([f" {part}", *facts])
        room = min(30, width - len(head) - len(tail) - 1)
        text = Text(head)
        if room >= 4:
            full, rest = bar(room, stage.ended, stage.total, self._signs)
            text.append(full, style(self.app, "primary")).append(rest, QUIET)
        return text.append(tail)

    def _idle(self, width: int) -> Text:
        watcher = self._watcher
        if watcher.worker.state == "fault":
            return self._worded(self._signs.failed, "error", watcher.worker.text, width)
        job = watcher.job
        if job is None or job.state.has_ended:
            return Text("")
        word = "interrupted" if watcher.interrupted and job.state == "running" else str(job.state)
        beside = f" · {job.waiting}" if job.waiting else ""
        return self._worded(self._signs.waiting, "warning", f"job {job.id} {word}{beside}", width)

    def _worded(self, sign: str, role: str, words: str, width: int) -> Text:
        text = Text.assemble((f" {sign} ", style(self.app, role)), (words, Style()))
        text.truncate(width, overflow="ellipsis")
        return text


def perform(widget: Widget | App[Any], action: Awaitable[str]) -> None:
    """Do something that takes a while, and say how it went."""

    async def inside() -> None:
        try:
            words = await action
        except LtxError as error:
            remedy = f"\n{error.remedy}" if error.remedy else ""
            widget.notify(f"{visible(error.headline)}{remedy}", severity="error", markup=False)
        else:
            widget.notify(words, markup=False)

    widget.run_worker(inside(), group="actions", exit_on_error=True)
