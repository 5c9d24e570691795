"""Adding, changing, deleting a bucket, giving clips one of their own: each with a preview."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from engine.buckets import Bucket, choose, parse_bucket
from engine.errors import UsageError
from engine.project import Project
from engine.text import plural
from ltx_tui.clips.bucket_counts import Shape, Stock, changed, check_scale, move_words
from ltx_tui.drawing.colours import style
from ltx_tui.drawing.signs import signs
from ltx_tui.host import focus_now
from ltx_tui.screens.dialog import Dialog
from ltx_tui.widgets.board import Board, Item, fault_lines, hanging
from ltx_tui.widgets.lines import Lines

# Moves that a preview lists.
_MOST = 7


class Facts(msgspec.Struct, frozen=True):
    """What a dialog works with."""

    project: Project
    stock: Stock
    buckets: tuple[Bucket, ...]


class BucketDialog(Dialog[Bucket | None]):
    """Asks for a bucket, says what is wrong with it, and where clips would go."""

    DEFAULT_CSS = """
    BucketDialog { Input { margin: 0 0 1 0; } Board { height: 10; } }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", show=False)]

    def __init__(
        self, title: str, facts: Facts, old: Bucket | None = None, *, single: bool = False
    ) -> None:
        """Ask.

        Args:
            title: What for.
            facts: The clips and the buckets that there are.
            old: The bucket to change; None to add one.
            single: It is for single clips: nothing else moves.
        """
        super().__init__()
        self._title, self._facts, self._old, self._single = title, facts, old, single
        self._input = Input(
            str(old or ""), placeholder="width x height x frames, as 960x544x49", compact=True
        )
        self._input.cursor_blink = False  # it would send bytes for ever
        self._board = Board(has_cursor=False)
        self._bucket: Bucket | None = None

    def compose(self) -> ComposeResult:
        """Yield the line to type in, and what comes of it."""
        with Vertical(id="box") as box:
            box.border_title = Text(self._title)
            box.border_subtitle = "enter save · esc back"
            yield self._input
            yield self._board

    def on_mount(self) -> None:
        """Begin to type."""
        self._board.can_focus = False
        focus_now(self._input)
        self.call_after_refresh(self._preview)

    def on_input_changed(self) -> None:
        """Show what would come of it."""
        self._preview()

    def on_input_submitted(self) -> None:
        """Take it, unless something is wrong with it."""
        if self._bucket is not None:
            self.dismiss(self._bucket)

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

    def _preview(self) -> None:
        width = self._board.room
        if width:
            self._board.show([Item(line) for line in self._lines(width)])

    def _lines(self, width: int) -> list[Text]:
        self._bucket = None
        how = signs()
        try:
            bucket = parse_bucket(self._input.value)
            self._check(bucket)
        except UsageError as error:
            return fault_lines(error.message, error.remedy, width, style(self.app, "error"), how)
        self._bucket = bucket
        frames, height, wide = bucket.latent_shape()
        facts = f"{bucket.tokens():,} tokens, a latent of {frames}×{height}×{wide}"
        lines = [Text(f"{how.ok} {facts}", style(self.app, "success"))]
        if self._single:
            return lines
        after = changed(self._facts.buckets, self._old, bucket)
        return lines + preview(self._facts, after, bucket, width)

    def _check(self, bucket: Bucket) -> None:
        if self._single:
            return
        if bucket in self._facts.buckets and bucket != self._old:
            raise UsageError(f"{bucket} is there already")
        after = changed(self._facts.buckets, self._old, bucket)
        against = check_scale(self._facts.project, after)
        if against:
            raise UsageError(against, remedy="see [reference] in the settings (f2)")


class DeleteDialog(Dialog[bool]):
    """Asks whether a bucket shall go, and says where its clips would."""

    DEFAULT_CSS = """
    DeleteDialog Board { height: 10; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", show=False),
        Binding("enter,y", "answer(True)", show=False),
    ]

    def __init__(self, facts: Facts, bucket: Bucket) -> None:
        """Ask.

        Args:
            facts: The clips and the buckets that there are.
            bucket: Which one to delete.
        """
        super().__init__()
        self._facts, self._bucket = facts, bucket
        self._board = Board(has_cursor=False)

    def compose(self) -> ComposeResult:
        """Yield what would come of it."""
        with Vertical(id="box") as box:
            box.border_title = Text(f"Delete the bucket {self._bucket}?")
            box.border_subtitle = "enter delete · esc back"
            yield self._board

    def on_mount(self) -> None:
        """Show what would come of it."""
        self.call_after_refresh(self._preview)

    def _preview(self) -> None:
        after = changed(self._facts.buckets, self._bucket, None)
        lines = preview(self._facts, after, None, self._board.room)
        self._board.show([Item(line) for line in lines])

    def action_answer(self, yes: bool) -> None:
        """Take the answer."""
        self.dismiss(yes)


def preview(facts: Facts, after: Sequence[Bucket], new: Bucket | None, width: int) -> list[Text]:
    """Return what would come of other buckets: what a new one gets, and which clips move."""
    counts = facts.stock.counts(after)
    moves = facts.stock.moves(facts.buckets, after)
    lines = []
    if new is not None:
        lines.append(Text(f"  it would get {plural(counts.get(new, 0), 'clip')}"))
    total = sum(moves.values())
    if not total:
        lines.append(Text("  no clip moves", Style(dim=True)))
    else:
        words = f"{plural(total, 'clip moves', 'clips move')}; outputs made before become stale:"
        lines += [Text(one) for one in hanging("  ", words, width)]
    ranked = move_words(moves, signs().arrow)
    lines += [Text(f"    {one}") for one in ranked[:_MOST]]
    if len(ranked) > _MOST:
        lines.append(Text(f"    and {len(ranked) - _MOST} more ways"))
    if facts.stock.unknown:
        words = f"{plural(facts.stock.unknown, 'clip')} whose picture is not known"
        lines.append(Text(f"  {words}", Style(dim=True)))
    return lines


class OwnBucket(Dialog[str | None]):
    """Asks for the bucket of some clips: "" for the nearest one, or "WxHxF"."""

    DEFAULT_CSS = """
    OwnBucket Board { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("enter", "take", show=False),
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
    ]

    def __init__(self, facts: Facts, names: Sequence[str], shapes: Iterable[Shape]) -> None:
        """Ask.

        Args:
            facts: The clips and the buckets that there are.
            names: The clips that it is for.
            shapes: Frames, width and height of those that are known.
        """
        super().__init__()
        self._facts, self._names, self._shapes = facts, tuple(names), tuple(shapes)
        self._board = Board()

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with Vertical(id="box") as box:
            one = self._names[0] if len(self._names) == 1 else plural(len(self._names), "clip")
            box.border_title = Text(f"Bucket of {one}")
            box.border_subtitle = "enter take · esc back"
            yield self._board

    def on_mount(self) -> None:
        """Show the buckets."""
        self._board.show(self._items())
        self._board.styles.height = min(12, len(self._board.items))
        focus_now(self._board)

    def _items(self) -> list[Item]:
        near = {choose(*shape, self._facts.buckets) for shape in self._shapes}
        now = f", {next(iter(near))}" if len(near) == 1 and None not in near else ""
        items = [Item(Text(f"the nearest{now}"), "nearest")]
        given = {self._facts.project.own_buckets.get(name) for name in self._names} - {None}
        own = [one for one in given if one and one not in map(str, self._facts.buckets)]
        for bucket in [*map(str, self._facts.buckets), *own]:
            text = Text(bucket)
            if bucket in given:
                text.append("  now", Style(dim=True))
            short = self._too_short(bucket)
            if short:
                words = f"  {signs().warning} {plural(short, 'clip is', 'clips are')} too short"
                text.append(words, style(self.app, "warning"))
            items.append(Item(text, bucket))
        return [*items, Item(Text("another one…"), "another")]

    def _too_short(self, text: str) -> int:
        try:
            bucket = parse_bucket(text)
        except UsageError:
            return 0
        return sum(frames < bucket.frames for frames, _, _ in self._shapes)

    def action_move(self, by: int) -> None:
        """Go to another one."""
        self._board.move(by)

    def on_lines_picked(self, event: Lines.Picked) -> None:
        """Take what was clicked twice."""
        event.stop()
        self.action_take()

    def action_take(self) -> None:
        """Take what the cursor is on."""
        chosen = self._board.chosen
        if chosen == "another":
            dialog = BucketDialog("Another bucket for these clips", self._facts, single=True)
            self.app.push_screen(dialog, self._take_other)
        else:
            self.dismiss("" if chosen == "nearest" else chosen)

    def _take_other(self, bucket: Bucket | None) -> None:
        if bucket is not None:
            self.dismiss(str(bucket))

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
