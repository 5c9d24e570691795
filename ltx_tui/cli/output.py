"""What a job looks like: bars on a terminal, lines in a pipe, JSON for scripts."""

from __future__ import annotations

import sys
from typing import TextIO

import msgspec
from rich.console import Console

from engine.events import (
    AnyEvent,
    ClipFailed,
    Guard,
    JobDone,
    JobStarted,
    ModelLoading,
    Notice,
    Scanning,
    StageDone,
    StageStarted,
    Standing,
)
from engine.progress import Progress, StageProgress
from engine.text import plural
from ltx_tui.cli.bars import count, outcome, outlook, pace, standing
from ltx_tui.cli.console import can_animate, make_console, text
from ltx_tui.cli.errors import say_warning
from ltx_tui.cli.follow import Shows
from ltx_tui.cli.live import LiveView
from ltx_tui.cli.progress import guard_words, notice_words, stage_name
from ltx_tui.cli.summary import Told, print_summary

# A line in a pipe for each 5 % of a stage, or after 10 s, or 5 % of a long stage's time.
_STEP, _SOON, _LATE = 0.05, 2.0, 10.0


def make_view(*, as_json: bool, hint: str = "") -> Shows:
    """Return the view for where stdout goes.

    Args:
        as_json: Print events instead of words.
        hint: What the keys do, for a terminal.

    Raises:
        UsageError: LTX_TUI_THEME names no theme.
    """
    if as_json:
        return JsonView(sys.stdout, make_console(stderr=True))
    console = make_console()
    return LiveView(console, hint=hint) if can_animate(console) else LineView(console)


class _Plain:
    """What views without moving parts have in common."""

    def warn(self, words: str) -> None:
        """Say it on stderr."""
        say_warning(words)

    def tick(self) -> None:
        """Nothing moves."""

    def restart(self) -> None:
        """Nothing was drawn in place."""

    def close(self) -> None:
        """Nothing is left open."""


class JsonView(_Plain):
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

    def aside(self, words: str) -> None:
        """Nothing that a script needs."""

    def note(self, words: str) -> None:
        """Say it on stderr."""
        if words:
            self._err.print(text(words))


class LineView(_Plain):
    """Few, useful lines: for pipes, logs and plain terminals."""

    def __init__(self, console: Console, progress: Progress | None = None) -> None:
        """Write to the console."""
        self._console = console
        self._progress = progress or Progress()
        self._told = Told()
        self._last = (0.0, 0.0)  # share done and time of the stage's last line

    def show(self, event: AnyEvent) -> None:
        """Print what is worth a line."""
        self._progress.take(event)
        match event:
            case Standing():
                self._catch_up(event)
            case Scanning() if event.done == event.total:
                self._say(f"looked at {plural(event.total, 'media file')}")
            case JobStarted():
                for stage in self._progress.stages.values():
                    self._say(f"{stage_name(stage.stage)}: {outlook(stage)}")
            case ModelLoading():
                self._say(f"{stage_name(event.stage)}: loading {event.model} on {event.device}")
            case StageStarted():
                self._last = (0.0, self._progress.clock())
            case ClipFailed():
                self._fail(event)
            case Guard():
                self._say(guard_words(event))
            case Notice():
                self._say(notice_words(event))
            case StageDone():
                stage = self._progress.stage(event.stage)
                self._say(f"{stage_name(event.stage)}: {_counted(stage, outcome(stage))}")
            case JobDone():
                print_summary(self._console, event)
            case _:
                self._maybe_progress(getattr(event, "stage", ""))

    def _catch_up(self, event: Standing) -> None:
        """Tell where a job stands that was not followed up to here."""
        for stage in self._progress.stages.values():
            words = outlook(stage) if stage.state == "waiting" else ""
            words = words or _counted(stage, standing(self._progress, stage))
            self._say(f"{stage_name(stage.stage)}: {words}")
        failures, more = self._told.missed(event.failures)
        for failure in failures:
            self._fail(failure)
        if more:
            self._say(f"… and {more:,} more failed")
        if event.guards:
            self._say(guard_words(event.guards[-1]))
        self._last = (self._last[0], self._progress.clock())

    def _fail(self, event: ClipFailed) -> None:
        self._told.keep(event)
        self._say(f"failed: {event.clip} ({stage_name(event.stage)}): {event.reason}")

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
        facts = [count(stage), *pace(self._progress, stage)]
        self._say(f"{stage_name(name)}: {', '.join(facts)}")

    def aside(self, words: str) -> None:
        """Say it."""
        self._say(words)

    def note(self, words: str) -> None:
        """Say it."""
        if words:
            self._say(words)

    def _say(self, line: str) -> None:
        self._console.print(text(line))
        self._console.file.flush()


def _counted(stage: StageProgress, words: str) -> str:
    return f"{count(stage)} {words}".strip()
