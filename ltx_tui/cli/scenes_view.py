"""Scenes being found and cut: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.dataset.add_rows import Added
from engine.media.scene_report import clock
from engine.media.scene_types import Found, Piece
from engine.text import listed, plural, visible
from engine.worker.scene_messages import (
    AllDone,
    PieceDone,
    PieceFailed,
    Progress,
    Scenes,
    Tell,
    VideoDone,
    VideoFailed,
    Wanted,
    Warned,
)
from engine.worker.spec import Fault, encode
from ltx_tui.cli.bars import shortened
from ltx_tui.cli.console import can_animate, can_write, duration, glyph, make_console, text
from ltx_tui.cli.errors import DONE, SOME_FAILED, STOPPED, say_warning
from ltx_tui.cli.picture import Picture

# Seconds between two pictures.
_FRAME = 0.15
# Columns that the words beside a bar take, and the shortest bar that is worth drawing.
_BESIDE_BAR, _LEAST_BAR = 60, 8
_MOST_ROWS = 12
_DOING = {"find": "looking", "cut": "cutting", "copy": "copying", "images": "previews"}


class ShowsScenes(Protocol):
    """What the command needs of a view."""

    is_stopped: bool

    @property
    def code(self) -> int:
        """The exit code."""

    def show(self, tell: Tell) -> None:
        """Take in what happened."""

    def stop(self) -> None:
        """The user asked for an end."""

    def close(self) -> None:
        """That was all."""

    def show_rows(self, dataset: Path, added: Added) -> None:
        """Pieces have rows in a dataset, after all else."""


def make_view(wanted: Wanted, *, as_json: bool) -> ShowsScenes:
    """Return the view for where stdout goes.

    Raises:
        UsageError: LTX_TUI_THEME names no theme.
    """
    if as_json:
        return JsonView(wanted, sys.stdout, make_console(stderr=True))
    console = make_console()
    return LiveView(wanted, console) if can_animate(console) else LineView(wanted, console)


class LineView:
    """A line for each thing that is done: for pipes, logs and plain terminals."""

    def __init__(self, wanted: Wanted, console: Console) -> None:
        """Write to the console."""
        self._console = console
        self._wanted = wanted
        self._paths = {video.id: video.path for video in wanted.videos}
        self._began = time.monotonic()
        self._done: list[VideoDone] = []
        self._failed = 0
        self._report: Path | None = None
        self.is_stopped = False
        self._has_ended = False

    @property
    def code(self) -> int:
        """The exit code."""
        if self.is_stopped or not self._has_ended:
            return STOPPED
        lost = self._failed or any(done.failed for done in self._done)
        return SOME_FAILED if lost else DONE

    def stop(self) -> None:
        """The user asked for an end."""
        self.is_stopped = True

    def show(self, tell: Tell) -> None:
        """Take in what happened."""
        match tell:
            case Scenes():
                self._show_scenes(tell)
            case PieceDone():
                self._show_piece(tell)
            case PieceFailed():
                self._fault(f"{self._name(tell.video)}: ", tell.fault)
            case Warned():
                words = f"{self._name(tell.video)}: {tell.text}"
                self._warn(f"{words}; {tell.remedy}" if tell.remedy else words)
            case VideoFailed():
                self._failed += 1
                self._fault(f"failed: {self._name(tell.video)}: ", tell.fault)
            case VideoDone():
                self._show_done(tell)
            case AllDone():
                self._report = tell.report
                self._has_ended = not tell.cancelled
            case _:
                self._move(tell)

    def close(self) -> None:
        """Print the last line."""
        if self._has_ended or self.is_stopped:
            self._say(self._summary(), "ok" if self.code == DONE else "warn")

    def show_rows(self, dataset: Path, added: Added) -> None:
        """Say how many rows are new."""
        words = f"{visible(dataset.name)}: {plural(len(added.names), 'row')} added"
        if added.there:
            words += f", {added.there:,} there already"
        self._say(f"{glyph(self._console, 'ok')} {words}", "ok")
        if added.gone:
            names = listed([visible(name) for name in added.gone])
            self._warn(f"rows of it name pieces that are gone: {names}")

    def _move(self, tell: Tell) -> None:
        """Nothing moves here."""

    def _show_scenes(self, tell: Scenes) -> None:
        if self._wanted.cutting is None:
            self._print(self._list(tell))

    def _list(self, tell: Scenes) -> RenderableType:
        """Return the scenes of a video as a table."""
        found, name = tell.found, self._name(tell.video)
        head = f"{name}: {self._count(found, tell.pieces)}, {float(found.fps):.5g} frames/s"
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="quiet")
        for column in ("scene", "begins", "ends", "frames", "from", "to"):
            table.add_column(column, justify="right", no_wrap=True)
        for piece in tell.pieces:
            table.add_row(
                f"{piece.number}",
                clock(piece.start),
                clock(piece.start + piece.seconds),
                f"{piece.kept.frames:,}",
                f"{piece.kept.first:,}",
                f"{piece.kept.end - 1:,}",
            )
        return Group(text(head, "strong"), table) if tell.pieces else text(head, "strong")

    def _count(self, found: Found, chosen: Sequence[Piece]) -> str:
        scenes = len(found.scenes)
        words = plural(scenes, "scene")
        return words if len(chosen) == scenes else f"{words}, {len(chosen):,} kept"

    def _show_piece(self, tell: PieceDone) -> None:
        if tell.kept == tell.piece.kept or tell.fresh:
            return
        wanted = tell.piece.kept
        self._say(
            f"{visible(tell.file)}: frames {tell.kept.first:,} to {tell.kept.end - 1:,}, as its "
            f"key frames let it (of {wanted.first:,} to {wanted.end - 1:,})",
            "quiet",
        )

    def _show_done(self, tell: VideoDone) -> None:
        self._done.append(tell)
        if self._wanted.cutting is None:
            return
        facts = [plural(tell.scenes, "scene")]
        if tell.chosen != tell.scenes:
            facts.append(f"{tell.chosen:,} kept")
        facts += [f"{count:,} {word}" for count, word in _counts(tell) if count]
        sign = "warn" if tell.failed else "ok"
        words = f"{self._name(tell.video)}: {', '.join(facts)}, {duration(tell.seconds)}"
        self._say(f"{glyph(self._console, sign)} {words}", sign)
        if tell.removed:
            names = listed([visible(name) for name in tell.removed])
            self._say(f"  removed {names}: made before, and not wanted any more", "quiet")
        if tell.replaced:
            what = plural(tell.replaced, "piece has", "pieces have")
            self._warn(f"{what} other frames than before: their captions may not fit any more")

    def _summary(self) -> str:
        facts = [f"{plural(sum(one.scenes for one in self._done), 'scene')} of "
                 f"{plural(len(self._done), 'video')}"]  # fmt: skip
        for index, word in enumerate(("written", "there already", "failed")):
            count = sum(_counts(one)[index][0] for one in self._done)
            if count:
                facts.append(f"{count:,} {word}")
        if self._failed:
            facts.append(f"{plural(self._failed, 'video')} failed")
        facts.append(duration(time.monotonic() - self._began))
        line = " · ".join(facts)
        if self._report is not None:
            line += f"\n  previews: {visible(self._report)}"
        if self.code == STOPPED:
            again = "" if self._wanted.cutting is None else "; the same command goes on from there"
            return f"{glyph(self._console, 'warn')} stopped: {line}{again}"
        sign, word = ("ok", "done") if self.code == DONE else ("warn", "done, but not all")
        return f"{glyph(self._console, sign)} {word}: {line}"

    def _name(self, video: int) -> str:
        return visible(self._paths[video].name)

    def _fault(self, head: str, fault: Fault) -> None:
        self._say(f"{glyph(self._console, 'error')} {head}{fault.message}", "error")
        if fault.remedy:
            self._say(f"  {glyph(self._console, 'arrow')} {fault.remedy}", "")

    def _warn(self, words: str) -> None:
        say_warning(words)

    def _say(self, words: str, style: str) -> None:
        self._print(Text("\n").join(text(line, style) for line in words.split("\n")))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what)
        self._console.file.flush()


def _counts(done: VideoDone) -> list[tuple[int, str]]:
    return [(done.made, "written"), (done.fresh, "there already"), (done.failed, "failed")]


class LiveView(LineView):
    """The same, with a bar for each video in hand that moves in place."""

    def __init__(self, wanted: Wanted, console: Console) -> None:
        """Take the console over until `close`."""
        super().__init__(wanted, console)
        self._picture = Picture(console)
        self._running: dict[int, Progress] = {}
        self._drawn = 0.0
        self._draw()

    def show(self, tell: Tell) -> None:
        """Take in what happened; the picture follows at its own pace."""
        if isinstance(tell, VideoDone | VideoFailed):
            self._running.pop(tell.video, None)
        super().show(tell)
        now = time.monotonic()
        if now - self._drawn >= _FRAME or not isinstance(tell, Progress):
            self._drawn = now
            self._draw()

    def close(self) -> None:
        """Give the terminal back, and print the last line."""
        with contextlib.suppress(OSError):  # it may be gone
            self._picture.clear()
            super().close()
        self._picture.end()

    def stop(self) -> None:
        """The user asked for an end."""
        super().stop()
        self._draw()

    def _move(self, tell: Tell) -> None:
        if isinstance(tell, Progress):
            self._running[tell.video] = tell

    def _print(self, what: RenderableType) -> None:
        self._picture.clear()
        super()._print(what)

    def _warn(self, words: str) -> None:
        self._picture.clear()
        super()._warn(words)

    def _draw(self) -> None:
        self._picture.draw(self.draw())

    def draw(self) -> RenderableType:
        """Return the picture as it stands."""
        console = self._console
        rows = list(self._running.values())
        table = Table.grid(padding=(0, 1), expand=False)
        bar = min(40, console.width - _BESIDE_BAR)
        for _ in range(4 if bar >= _LEAST_BAR else 3):
            table.add_column(no_wrap=True)
        for row in rows[:_MOST_ROWS]:
            name = shortened(self._name(row.video), max(12, console.width // 4))
            table.add_row(
                Text(glyph(console, "arrow"), style="accent"),
                text(name),
                *([_bar(console, row, bar)] if bar >= _LEAST_BAR else []),
                text(_standing(row)),
            )
        ended, total = len(self._done) + self._failed, len(self._wanted.videos)
        facts = [f"{ended:,}/{total:,} {'video' if total == 1 else 'videos'}"]
        if len(rows) > _MOST_ROWS:
            facts.append(f"{len(rows) - _MOST_ROWS:,} more in hand")
        facts.append("ending at the next frame" if self.is_stopped else "Ctrl-C stops")
        foot = text(f"  {' · '.join(facts)}", "quiet")
        foot.truncate(console.width, overflow="ellipsis")
        return Group(*([table] if rows else []), foot)


def _share(row: Progress) -> float:
    return min(1.0, row.done / row.total) if row.total else 0.0


def _bar(console: Console, row: Progress, width: int) -> Text:
    full, rest = ("━", "─") if can_write(console, "━─") else ("#", "-")
    done = int(width * _share(row))
    return Text.assemble((full * done, "bar"), (rest * (width - done), "bar.rest"))


def _standing(row: Progress) -> str:
    """Return "looking 45%, 12 cuts"."""
    words = f"{_DOING[row.doing]} {_share(row):.0%}" if row.total else f"{row.done:,} frames"
    return f"{words}, {plural(row.cuts, 'cut')}" if row.cuts else words


class JsonView(LineView):
    """One JSON object a line on stdout; what is for people goes to stderr."""

    def __init__(self, wanted: Wanted, out: TextIO, err: Console) -> None:
        """Write what is told to `out`, words to `err`."""
        super().__init__(wanted, err)
        self._out = out

    def show(self, tell: Tell) -> None:
        """Print it."""
        if isinstance(tell, Scenes):
            self._write(encode({"tell": "scenes", **_plain(tell)}))
        else:
            self._write(encode(tell))
        super().show(tell)

    def show_rows(self, dataset: Path, added: Added) -> None:
        """Print them."""
        self._write(encode({"tell": "rows", "dataset": dataset, **msgspec.structs.asdict(added)}))
        super().show_rows(dataset, added)

    def _show_scenes(self, tell: Scenes) -> None:
        """They are in the JSON."""

    def _write(self, line: bytes) -> None:
        self._out.write(line.decode() + "\n")
        self._out.flush()


def _plain(tell: Scenes) -> dict[str, object]:
    """Return scenes for scripts: all that they can use, without the packed clock."""
    found = tell.found
    return {
        "video": tell.video,
        "frames": found.frames,
        "fps": [found.fps.numerator, found.fps.denominator],
        "vfr": found.vfr,
        "damaged": found.damaged,
        "cuts": found.cuts,
        "scenes": found.scenes,
        "pieces": tell.pieces,
        "is_known": tell.is_known,
    }
