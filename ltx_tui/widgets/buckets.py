"""The buckets: how many clips go into each, what they take, and changing them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from engine.buckets import Bucket, parse_bucket, parse_buckets
from engine.errors import LtxError, UsageError
from engine.project import Project
from engine.text import plural, visible
from ltx_tui import actions
from ltx_tui.clips.bucket_counts import Shape, Stock, save, take_stock
from ltx_tui.commands.registry import Commanded
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import Signs, bar, signs
from ltx_tui.widgets.board import Board, Item, hanging
from ltx_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from engine.precompute.plan_types import Outlook
    from ltx_tui.clips.store import Store

# Columns of the longest bar, and of the shortest that says anything.
_BAR, _LEAST_BAR = 24, 4
TOO_SHORT = "none"


class Buckets(Commanded, Vertical):
    """The list of buckets, and what is known of the one that the cursor is on."""

    SCOPE = "buckets"

    class ShowClips(Message):
        """The user wants to see the clips of a bucket.

        Attributes:
            filter: For the clip list, such as "bucket:960x544x49".
        """

        def __init__(self, filter: str) -> None:  # noqa: A002 - it is one
            super().__init__()
            self.filter = filter

    class Changed(Message):
        """project.toml has other buckets now.

        Attributes:
            project: As it is now.
        """

        def __init__(self, project: Project) -> None:
            super().__init__()
            self.project = project

    def __init__(
        self,
        store: Store,
        project: Project,
        *,
        how: Signs | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Show nothing yet.

        Args:
            store: The clips.
            project: The settings.
            how: The signs; by default what the terminal can write.
            id: Of the widget.
        """
        super().__init__(id=id)
        self._store, self._project, self._signs = store, project, how or signs()
        self._stock = Stock()
        self._table: object = None
        self._outlooks: dict[str, Outlook] = {}
        self._end: Callable[[], None] | None = None
        self.board = Board()

    def compose(self) -> ComposeResult:
        """Yield the list."""
        yield self.board

    def on_mount(self) -> None:
        """Count the clips, and again whenever they change."""
        self._end = self._store.subscribe(self._hear)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.renew())
        self.count()

    def on_unmount(self) -> None:
        """Stop listening."""
        if self._end is not None:
            self._end()

    def on_resize(self) -> None:
        """Draw for another width."""
        self.call_after_refresh(self.renew)

    def _hear(self, changes: frozenset[str] | None) -> None:
        if changes is None and self._store.table is not self._table:
            self.count()

    def count(self) -> None:
        """Count the clips anew, in a thread."""
        # Not begun yet: one that is replaced at once would leave a coroutine behind.
        self.run_worker(self._count, group="count", exclusive=True)  # type: ignore[arg-type]

    async def _count(self) -> None:
        table = self._table = self._store.table
        self._outlooks = {one.name: one for one in table.overview.outlooks}
        self._stock = await asyncio.to_thread(take_stock, table, self._project)
        self.renew()

    def use(self, project: Project) -> None:
        """Take other settings from now on."""
        self._project = project
        self.count()

    # What is shown

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """Those of the project; none where project.toml has none that are right."""
        try:
            return parse_buckets(self._project.video.buckets)
        except UsageError:
            return ()

    @property
    def chosen(self) -> Bucket | None:
        """The bucket that the cursor is on."""
        key = self.board.chosen
        return parse_bucket(key) if key and key != TOO_SHORT else None

    def renew(self) -> None:
        """Draw anew, and repaint what differs."""
        if not self.is_mounted or not self.board.room:
            return
        before = self.board.chosen
        self.board.show(self._items(self.board.room))
        if self.board.chosen != before:  # its bucket is gone, and more is said of another
            self.board.show(self._items(self.board.room))

    def _items(self, width: int) -> list[Item]:
        try:
            buckets = parse_buckets(self._project.video.buckets)
        except UsageError as error:
            words = f"{error.message}: {error.remedy}"
            lines = hanging(f"{self._signs.failed} ", words, width)
            return [Item(Text(line, style(self.app, "error"))) for line in lines]
        counts = self._stock.counts(buckets)
        total = sum(counts.values())
        names = [str(bucket) for bucket in buckets]
        short = counts.get(None, 0)
        room = max(map(len, [*names, "too short"]))
        most = max([*counts.values(), 1])
        items = [
            Item(self._line(name, counts[bucket], most, total, room, width), name)
            for name, bucket in zip(names, buckets, strict=True)
        ]
        if short:
            line = self._line("too short", short, most, total, room, width)
            line.stylize(style(self.app, "warning"), 0, room)
            items.append(Item(line, TOO_SHORT))
        return [*items, *self._rest(width), *self._details(width)]

    def _line(self, name: str, clips: int, most: int, total: int, room: int, width: int) -> Text:
        text = Text(self._shown(name).ljust(room))
        share = f"{100 * clips / total:.0f} %" if total else ""
        figures = f"{clips:>6,} {share:>5}"
        tokens = f"{parse_bucket(name).tokens():>7,} tokens" if name != "too short" else " " * 14
        tail = f"{figures}  {tokens}" if width >= room + len(figures) + 30 else figures
        columns = min(_BAR, width - room - 2 - cell_len(tail))
        if columns >= _LEAST_BAR:
            full, rest = bar(columns, clips, most, self._signs)
            text.append(" ").append(full, style(self.app, "primary"))
            text.append(" " * len(rest) + " ")
        return text.append(tail)

    def _shown(self, name: str) -> str:
        return name.replace("x", "×") if self._signs.dots and name[:1].isdigit() else name

    def _rest(self, width: int) -> list[Item]:
        """Return what is not in the buckets: clips with their own, blocked, not known."""
        stock = self._stock
        lines: list[str] = []
        for bucket, clips in stock.own.most_common():
            words = f"{plural(clips, 'clip')} by name"
            lines += hanging(f"{self._shown(visible(bucket))} ", words, width)
        if stock.blocked:
            lines.append(f"{plural(stock.blocked, 'clip')} blocked for other reasons")
        if stock.unknown:
            lines.append(f"{plural(stock.unknown, 'clip')} whose picture is not known")
        return [Item(Text(line, Style(dim=True))) for line in lines]

    def _details(self, width: int) -> list[Item]:
        key = self.board.chosen or str(next(iter(self.buckets), ""))
        if not key or key == TOO_SHORT:
            return []
        bucket = parse_bucket(key)
        words = f"{bucket.tokens():,} tokens"
        outlook = self._outlooks.get(str(bucket))
        if outlook is not None:
            words += f" · {outlook.text}"
        lines = hanging(f"{self._shown(str(bucket))}  ", words, width)
        fits = outlook is None or outlook.fits
        how = Style() if fits else style(self.app, "warning")
        return [Item(Text("")), *(Item(Text(line, how)) for line in lines)]

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Say more of another bucket."""
        event.stop()
        self.renew()

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Show the clips of a bucket that was clicked twice."""
        event.stop()
        self.do_show()

    # Commands

    def do_down(self) -> None:
        """Go to the next bucket."""
        self.board.move(1)

    def do_up(self) -> None:
        """Go to the bucket before."""
        self.board.move(-1)

    def do_show(self) -> None:
        """Filter the clip list."""
        if self.board.chosen:
            self.post_message(self.ShowClips(f"bucket:{self.board.chosen}"))

    def do_add(self) -> None:
        """Ask for another bucket."""
        self.run_worker(self._ask("Add a bucket", None), group="dialog", exclusive=True)

    def do_edit(self) -> None:
        """Ask for what to put in a bucket's place."""
        if self.chosen is not None:
            title = f"Change the bucket {self.chosen}"
            self.run_worker(self._ask(title, self.chosen), group="dialog", exclusive=True)

    def do_delete(self) -> None:
        """Ask whether to delete a bucket."""
        if self.chosen is None:
            return
        if len(self.buckets) < 2:
            self.notify("the last bucket stays: change it instead (e)", severity="warning")
            return
        self.run_worker(self._delete(self.chosen), group="dialog", exclusive=True)

    async def _ask(self, title: str, old: Bucket | None) -> None:
        from ltx_tui.screens.bucket_dialogs import BucketDialog, Facts

        facts = Facts(self._project, self._stock, self.buckets)
        new = await self.app.push_screen_wait(BucketDialog(title, facts, old))
        if new is not None and new != old:
            await self._save(old, new)

    async def _delete(self, bucket: Bucket) -> None:
        from ltx_tui.screens.bucket_dialogs import DeleteDialog, Facts

        facts = Facts(self._project, self._stock, self.buckets)
        if await self.app.push_screen_wait(DeleteDialog(facts, bucket)):
            await self._save(bucket, None)

    async def _save(self, old: Bucket | None, new: Bucket | None) -> None:
        try:
            project = await asyncio.to_thread(save, self._project, old, new)
        except LtxError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.use(project)
        self.post_message(self.Changed(project))
        self.notify(f"saved: {project.video.buckets}", markup=False)


async def choose_own_bucket(
    widget: Widget, store: Store, project: Project, names: Sequence[str]
) -> Project | None:
    """Ask for the bucket of some clips and keep it in project.toml; to be run as a worker.

    Args:
        widget: Whatever asks.
        store: The clips.
        project: The settings.
        names: The clips.

    Returns:
        The project as it is now; None where nothing was changed.
    """
    from ltx_tui.screens.bucket_dialogs import Facts, OwnBucket

    shapes: list[Shape] = []
    for name in names:
        at = store.find(name)
        row = store.get(at) if at is not None else None
        if row is not None and all(row.size):
            shapes.append((row.frames, *row.size))
    try:
        facts = Facts(project, Stock(), parse_buckets(project.video.buckets))
        answer = cast(
            "str | None", await widget.app.push_screen_wait(OwnBucket(facts, names, shapes))
        )
        if answer is None:
            return None
        changed = await actions.give_bucket(project, names, answer or None)
    except LtxError as error:
        widget.notify(str(error), severity="error", markup=False)
        return None
    who = visible(names[0]) if len(names) == 1 else plural(len(names), "clip")
    words = f"the bucket of {who} is {answer}" if answer else f"{who}: the nearest bucket again"
    widget.notify(words, markup=False)
    return changed
