"""What a job looks like: bars on a terminal, lines in a pipe, JSON for scripts."""

from __future__ import annotations

import sys
from typing import TextIO

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.events import (
    AnyEvent,
    ClipFailed,
    JobDone,
    JobStarted,
    ModelLoading,
    Notice,
    Scanning,
    StageDone,
    StageStarted,
)
from engine.text import plural, visible
from ltx_tui.cli.console import can_animate, can_write, duration, glyph, make_console, text
from ltx_tui.cli.progress import Progress, StageProgress, rate_words, stage_name
from ltx_tui.cli.session import Shows
from ltx_tui.cli.summary import print_summary

# A line in a pipe for each 5 % of a stage, or after 10 s, or 5 % of a long stage's time.
_STEP, _SOON, _LATE = 0.05, 2.0, 10.0
# Columns that the words beside a bar take, and the shortest bar that is worth drawing.
_BESIDE_BAR, _LEAST_BAR = 66, 8


def make_view(*, as_json: bool) -> Shows:
    """Return the view for where stdout goes.

    Raises:
        UsageError: LTX_TUI_THEME names no theme.
    """
    if as_json:
        return JsonView(sys.stdout, make_console(stderr=True))
    console = make_console()
    return LiveView(console) if can_animate(console) else LineView(console)


class JsonView:
    """One JSON object a line on stdout; what is for people goes to stderr."""

    def __init__(self, out: TextIO, err: Console) -> None:
        """Write events to `out`, words to `err`."""
        self._out = out
        self._err = err

    def show(self, event: AnyEvent) -> None:
        """Print the event."""
        self._out.write(msgspec.json.encode(event).decode() + "\n")
        self._out.flush()
        if isinstance(event, JobDone):
            print_summary(self._err, event)

    def note(self, text_: str) -> None:
        """Say it on stderr."""
        self._err.print(text(text_))

    def close(self) -> None:
        """Nothing is left open."""


class LineView:
    """Few, useful lines: for pipes, logs and plain terminals."""

    def __init__(self, console: Console, progress: Progress | None = None) -> None:
        """Write to the console."""
        self._console = console
        self._progress = progress or Progress()
        self._last = (0.0, 0.0)  # share done and time of the stage's last line

    def show(self, event: AnyEvent) -> None:
        """Print what is worth a line."""
        self._progress.take(event)
        match event:
            case Scanning() if event.done == event.total:
                self._say(f"looked at {plural(event.total, 'media file')}")
            case JobStarted():
                for stage in self._progress.stages.values():
                    self._say(f"{stage_name(stage.stage)}: {_outlook(stage)}")
            case ModelLoading():
                self._say(f"{stage_name(event.stage)}: loading {event.model} on {event.device}")
            case StageStarted():
                self._last = (0.0, self._progress.clock())
            case ClipFailed():
                self._say(f"failed: {event.clip} ({stage_name(event.stage)}): {event.reason}")
            case Notice():
                self._say(_notice_words(event))
            case StageDone():
                stage = self._progress.stage(event.stage)
                self._say(f"{stage_name(event.stage)}: {_count(stage)} {_outcome(stage)}")
            case JobDone():
                print_summary(self._console, event)
            case _:
                self._maybe_progress(getattr(event, "stage", ""))

    def _maybe_progress(self, name: str) -> None:
        stage = self._progress.stages.get(name)
        if stage is None or stage.state != "running" or not stage.total:
            return
        share, now = stage.ended / stage.total, self._progress.clock()
        waited = now - self._last[1]
        late = max(_LATE, _STEP * (now - stage.started))
        if stage.ended >= stage.total or not (
            (share - self._last[0] >= _STEP and waited >= _SOON) or waited >= late
        ):
            return
        self._last = (share, now)
        facts = [f"{share:.0%}", rate_words(self._progress.rate(stage))]
        left = self._progress.remaining(stage)
        facts += [f"{duration(left)} left"] if left is not None else []
        self._say(f"{stage_name(name)}: {_count(stage)}, {', '.join(filter(None, facts))}")

    def note(self, text_: str) -> None:
        """Say it."""
        self._say(text_)

    def _say(self, line: str) -> None:
        self._console.print(text(line))
        self._console.file.flush()

    def close(self) -> None:
        """Nothing is left open."""


class LiveView:
    """Bars that move in place, with warnings above them."""

    def __init__(self, console: Console, progress: Progress | None = None) -> None:
        """Take the console over until `close`."""
        self._console = console
        self._progress = progress or Progress()
        self._note = ""
        self._live = Live(
            console=console, get_renderable=self.draw, refresh_per_second=4, redirect_stdout=False
        )
        self._live.start()

    def show(self, event: AnyEvent) -> None:
        """Take an event; the picture follows at its own pace."""
        self._progress.take(event)
        match event:
            case ClipFailed():
                sign = glyph(self._console, "error")
                self._above(f"{sign} failed: {event.clip}: {event.reason}", "error")
            case Notice():
                self._above(_notice_words(event), "warn" if event.level == "warning" else "")
            case JobDone():
                self._note = ""
                self.close()
                print_summary(self._console, event)
            case _:
                pass

    def _above(self, line: str, style: str) -> None:
        self._console.print(text(line, style))

    def note(self, text_: str) -> None:
        """Show it under the bars."""
        self._note = text_
        self._live.refresh()

    def close(self) -> None:
        """Draw the last picture and give the terminal back."""
        self._live.stop()

    def draw(self) -> RenderableType:
        """Return the picture as it stands."""
        progress, console = self._progress, self._console
        parts: list[RenderableType] = []
        if not progress.planned and progress.scanned:
            done, total = progress.scanned
            parts.append(text(f"looking at the media {done:,}/{total:,}"))
        elif not progress.planned and not progress.stages:
            parts.append(text("reading the dataset"))
        if progress.stages:
            parts.append(stage_table(console, progress))
        running = [one for one in progress.stages.values() if one.state == "running"]
        if progress.is_starting:
            parts.append(text("  starting the encoder", "quiet"))
        if progress.clip and running:
            now = text(f"  now {progress.clip}", "quiet")
            now.truncate(console.width, overflow="ellipsis")
            parts.append(now)
        if self._note:
            parts.append(text(f"  {self._note}", "warn"))
        return Group(*parts)


def stage_table(console: Console, progress: Progress) -> Table:
    """Return a row for each stage: sign, name, bar (where there is room), count, standing."""
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    bar = min(40, console.width - _BESIDE_BAR)
    has_bar = bar >= _LEAST_BAR
    if has_bar:
        table.add_column(width=bar)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for stage in progress.stages.values():
        sign, style = _sign(stage)
        table.add_row(
            Text(glyph(console, sign), style=style),
            text(stage_name(stage.stage)),
            *([_bar(console, stage, bar)] if has_bar else []),
            text(_count(stage)),
            text(_standing(progress, stage)),
        )
    return table


def _sign(stage: StageProgress) -> tuple[str, str]:
    if stage.state == "stopped":
        return "warn", "warn"
    if stage.state in ("done", "restored") or not stage.total:
        return ("warn", "warn") if stage.failed else ("ok", "ok")
    return ("todo", "quiet") if stage.state == "waiting" else ("arrow", "accent")


def _bar(console: Console, stage: StageProgress, width: int) -> Text:
    """Return a bar whose two parts differ in shape, not in colour alone."""
    if not stage.total:
        return Text("")
    full, rest = ("━", "─") if can_write(console, "━─") else ("#", "-")
    done = width * stage.ended // stage.total
    colour = "bar" if stage.ended < stage.total else "warn" if stage.failed else "ok"
    return Text.assemble((full * done, colour), (rest * (width - done), "bar.rest"))


def _count(stage: StageProgress) -> str:
    return f"{stage.ended:,}/{stage.total:,}" if stage.total else ""


def _standing(progress: Progress, stage: StageProgress) -> str:
    if stage.state == "done":
        return _outcome(stage)
    if stage.state in ("stopped", "restored"):
        return "stopped" if stage.state == "stopped" else "put back"
    if stage.state == "loading":
        return f"loading {stage.model} on {stage.device}"
    if stage.state == "waiting":
        return "waiting" if stage.total else _outlook(stage)
    left = progress.remaining(stage)
    facts = [
        f"{stage.ended / stage.total:.0%}" if stage.total else "",
        rate_words(progress.rate(stage)),
        f"{duration(left)} left" if left is not None else "",
    ]
    return "  ".join(filter(None, facts))


def _outlook(stage: StageProgress) -> str:
    fresh = f"{stage.fresh:,} fresh"
    return f"{stage.total:,} to do, {fresh}" if stage.total else f"nothing to do, {fresh}"


def _outcome(stage: StageProgress) -> str:
    failed = f", {stage.failed:,} failed" if stage.failed else ""
    return f"done in {duration(stage.seconds)}{failed}"


def _notice_words(event: Notice) -> str:
    about = f"{visible(event.clip)}: " if event.clip else ""
    return f"{'! warning: ' if event.level == 'warning' else ''}{about}{event.text}"


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    click.echo(msgspec.json.encode(value).decode())
