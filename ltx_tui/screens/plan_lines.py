"""A plan in lines: counts, what it takes, why, and what a run would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.style import Style
from rich.text import Text

from engine.buckets import parse_bucket
from engine.errors import UsageError
from engine.precompute.digest import Digest, Estimate, Group, StageDigest, step_words
from engine.precompute.plan_types import Status
from engine.text import plural, visible
from ltx_tui.cli.console import duration, size
from ltx_tui.cli.progress import stage_name
from ltx_tui.drawing.colours import QUIET, Paint
from ltx_tui.drawing.signs import Signs, bar
from ltx_tui.widgets.board import hanging

_COLUMNS = (
    (Status.FRESH, "success"),
    (Status.MISSING, "primary"),
    (Status.STALE, "warning"),
    (Status.ASIDE, "primary"),
    (Status.BLOCKED, "error"),
    (Status.SKIPPED, "foreground"),
)
_ALWAYS = (Status.FRESH, Status.MISSING, Status.STALE, Status.BLOCKED)
_WHY = (
    (Status.STALE, "Why stale", "warning"),
    (Status.BLOCKED, "Why blocked", "error"),
    (Status.SKIPPED, "Why skipped", "foreground"),
)
_BAR = 24


class PlanLines:
    """Puts a plan into lines."""

    def __init__(self, plan: Digest, paint: Paint, signs: Signs, width: int) -> None:
        """Take what is needed.

        Args:
            plan: The plan in short.
            paint: Gives colours.
            signs: What the terminal can write.
            width: Columns of a line.
        """
        self._plan, self._paint, self._signs, self._width = plan, paint, signs, width

    def lines(self) -> list[Text]:
        """Return all lines."""
        if not self._plan.clips:
            return [Text("the dataset has no rows", self._paint("warning"))]
        return [
            *self._steps(),
            Text(""),
            *self._table(),
            *self._takes(),
            *self._outlooks(),
            *(line for why in _WHY for line in self._reasons(*why)),
            *self._orphans(),
            *self._buckets(),
            *self._warnings(),
        ]

    def _steps(self) -> Iterator[Text]:
        plan, signs = self._plan, self._signs
        counts: Counter[Status] = Counter()
        for stage in plan.stages:
            counts.update(stage.counts)
        parts = step_words(counts, plan.orphan_count)
        if parts:
            sign, role = signs.waiting, "primary"
            words = f"a run would {' and '.join(parts)}"
        elif plan.blocked:
            sign, role = signs.warning, "warning"
            blocked = plural(plan.blocked, "clip is", "clips are")
            words = f"nothing to do; {blocked} blocked"
        else:
            sign, role, words = signs.ok, "success", "nothing to do: everything is fresh"
        yield from self._hang(f"{sign} ", words, head_style=self._paint(role))

    # Counts and what it takes

    def _table(self) -> Iterator[Text]:
        stages = self._plan.stages
        columns = [
            (status, role)
            for status, role in _COLUMNS
            if status in _ALWAYS or any(stage.count(status) for stage in stages)
        ]
        heads = ["put back" if status is Status.ASIDE else status.value for status, _ in columns]
        widths = [
            2 + max(len(head), *(len(f"{stage.count(status):,}") for stage in stages))
            for head, (status, _) in zip(heads, columns, strict=True)
        ]
        name = max(len("stage"), *(len(stage_name(stage.stage)) for stage in stages))
        times = [time_words(stage) for stage in stages]
        sizes = [size_words(stage) for stage in stages]
        beside = [2 + max(4, *map(len, times)), 2 + max(4, *map(len, sizes))]
        fits = name + sum(widths) + sum(beside) <= self._width
        line = Text("stage".ljust(name), QUIET)
        for head, width in zip(heads, widths, strict=True):
            line.append(head.rjust(width))
        if fits:
            line.append("time".rjust(beside[0])).append("disk".rjust(beside[1]))
        yield line
        for stage, time, room in zip(stages, times, sizes, strict=True):
            line = Text(stage_name(stage.stage).ljust(name))
            for (status, role), width in zip(columns, widths, strict=True):
                count = stage.count(status)
                style = self._paint(role) if count else QUIET
                line.append(f"{count:,}".rjust(width), style)
            if fits:
                line.append(time.rjust(beside[0])).append(room.rjust(beside[1]))
            yield line
        if not fits:
            yield from self._beside(name, times, sizes)

    def _beside(self, name: int, times: Sequence[str], sizes: Sequence[str]) -> Iterator[Text]:
        """Yield time and size of each stage below the table, which has no room for them."""
        for stage, time, room in zip(self._plan.stages, times, sizes, strict=True):
            if stage.work:
                words = f"time {time}, disk {room}"
                yield from self._hang(f"{stage_name(stage.stage).ljust(name)}  ", words)

    def _takes(self) -> Iterator[Text]:
        every = [stage.estimate for stage in self._plan.stages]
        whole = Estimate(
            seconds=sum(one.seconds for one in every),
            untimed=sum(one.untimed for one in every),
            bytes=sum(one.bytes for one in every),
            unsized=sum(one.unsized for one in every),
        )
        work = sum(stage.work for stage in self._plan.stages)
        if not work:
            return
        if whole.untimed == work:
            words = "time unknown: no such output was made on this device yet"
        else:
            words = f"about {duration(whole.seconds)} in all beside loading models"
            if whole.untimed:
                words += f", and {plural(whole.untimed, 'output')} of unknown time"
        words += f" · {size(whole.bytes)} on the disk"
        if whole.unsized:
            words += f", and {plural(whole.unsized, 'output')} of unknown size"
        free = self._plan.disk_free
        if free:
            words += f" · {size(free)} free"
        is_short = bool(free) and whole.bytes > free
        yield Text("")
        head = f"{self._signs.warning} " if is_short else ""
        style = self._paint("warning") if is_short else Style()
        yield from self._hang(head, words, style=style)

    def _outlooks(self) -> Iterator[Text]:
        if not self._plan.outlooks:
            return
        yield from self._title("Memory", "foreground")
        name = max(len(one.name) for one in self._plan.outlooks)
        for one in self._plan.outlooks:
            style = Style() if one.fits else self._paint("warning")
            sign = " " if one.fits else self._signs.warning
            yield from self._hang(f"{sign} {one.name.ljust(name)}  ", one.text, style=style)

    # Why

    def _reasons(self, status: Status, title: str, role: str) -> Iterator[Text]:
        groups = self._plan.groups.get(status, ())
        if not groups:
            return
        yield from self._title(title, role)
        for group in groups:
            words = f"{visible('; '.join(group.reasons))}  [{self._where(group)}]"
            yield from self._hang(f"{group.rows:>7,}  ", words)
            yield from self._names(group.clips, group.names)
            if group.remedy:
                yield from self._hang(f"{' ' * 9}{self._signs.arrow} ", visible(group.remedy))

    def _where(self, group: Group) -> str:
        if len(group.stages) == len(self._plan.stages) > 1:
            return "all stages"
        return ", ".join(stage_name(stage) for stage in group.stages)

    def _names(self, names: Sequence[str], count: int) -> Iterator[Text]:
        more = f" and {count - len(names):,} more" if count > len(names) else ""
        yield from self._hang(" " * 9, f"{', '.join(names)}{more}", style=QUIET)

    def _orphans(self) -> Iterator[Text]:
        if not self._plan.orphans:
            return
        yield from self._title("Orphans: a trainer would read these", "warning")
        for group in self._plan.orphans:
            yield from self._hang(f"{group.count:>7,}  ", visible(group.reason))
            yield from self._names(group.paths, group.count)
        arrow = f"{' ' * 9}{self._signs.arrow} "
        yield from self._hang(arrow, "a run moves them to .ltx-tui/orphans")

    def _buckets(self) -> Iterator[Text]:
        buckets = self._plan.buckets
        if not buckets:
            return
        yield from self._title("Buckets", "foreground")
        most, name = max([*buckets.values(), 1]), max(map(len, buckets))
        for bucket, clips in buckets.items():
            line = Text(f"  {bucket.ljust(name)}  ")
            full, rest = bar(min(_BAR, max(4, self._width - name - 36)), clips, most, self._signs)
            line.append(full, self._paint("primary")).append(" " * len(rest))
            words = f"  {plural(clips, 'clip')}"
            yield line.append(words).append(_tokens(bucket), QUIET)

    def _warnings(self) -> Iterator[Text]:
        plan, sign = self._plan, f"{self._signs.warning} "
        if not plan.warnings and not plan.remarks:
            return
        yield from self._title("Warnings", "warning")
        for warning in plan.warnings:
            yield from self._hang(f"  {sign}", visible(warning))
        for one in plan.remarks:
            more = f" and {one.count - len(one.clips):,} more" if one.count > len(one.clips) else ""
            words = f"{visible(one.text)}: {', '.join(one.clips)}{more}"
            yield from self._hang(f"  {sign}", words)

    def _title(self, title: str, role: str) -> Iterator[Text]:
        yield Text("")
        yield Text(title, self._paint(role, bold=True))

    def _hang(
        self, head: str, words: str, *, style: Style | None = None, head_style: Style | None = None
    ) -> Iterator[Text]:
        for at, line in enumerate(hanging(head, words, self._width)):
            text = Text(line, style or Style())
            if not at and head_style is not None:
                text.stylize(head_style, 0, len(head))
            yield text


def time_words(stage: StageDigest) -> str:
    """Return the time that a stage's work takes, as far as it is known."""
    one = stage.estimate
    if not stage.work:
        return ""
    if one.untimed >= stage.work:
        return "unknown"
    return duration(one.seconds) + (" +" if one.untimed else "")


def size_words(stage: StageDigest) -> str:
    """Return the room that a stage's work takes, as far as it is known."""
    one = stage.estimate
    if not stage.work:
        return ""
    if one.unsized >= stage.work:
        return "unknown"
    return size(one.bytes) + (" +" if one.unsized else "")


def _tokens(bucket: str) -> str:
    try:
        return f"  {parse_bucket(bucket).tokens():,} tokens"
    except UsageError:
        return ""
