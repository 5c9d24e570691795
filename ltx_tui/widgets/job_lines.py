"""What the worker does, in lines: the stage that runs, guards, failures, the queue, the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from engine.events import ClipFailed, JobDone
from engine.progress import Progress, StageProgress
from engine.text import plural, visible
from ltx_tui.cli.bars import outcome, outlook, shortened
from ltx_tui.cli.console import duration
from ltx_tui.cli.progress import rate_words, stage_name
from ltx_tui.drawing.colours import QUIET, Paint
from ltx_tui.drawing.signs import Signs, bar
from ltx_tui.widgets.board import Item, hanging
from ltx_tui.widgets.node_lines import node_of, of_nodes
from ltx_tui.worker.watch import Watcher

if TYPE_CHECKING:
    from engine.worker.spec import JobInfo, Kind

# The latest things that the memory guard did, and lines that each may take.
_GUARDS, _LINES = 3, 3
# Devices whose clips are named.
_MOST_DEVICES = 4
# From so many columns on, a stage and its bar share a line.
_WIDE = 60
# Jobs that wait, are paused or run elsewhere, that are listed.
_QUEUE = 4


class JobLines:
    """Puts the state of the jobs into lines."""

    def __init__(self, watcher: Watcher, paint: Paint, signs: Signs, width: int) -> None:
        """Take what is needed.

        Args:
            watcher: What is known.
            paint: Gives colours.
            signs: What the terminal can write.
            width: Columns of a line.
        """
        self._watcher, self._paint, self._signs, self._width = watcher, paint, signs, width

    def items(self, clips: int | None = None) -> list[Item]:
        """Return all lines.

        Args:
            clips: How many clips the dataset has; None while that is not known.
        """
        watcher = self._watcher
        items = [Item(line) for line in self._worker()]
        if watcher.active:
            items += [Item(line) for line in self._active(watcher.progress)]
        elif not watcher.jobs and watcher.worker.state not in ("unknown", "fault"):
            items += [Item(line) for line in self._empty(clips)]
        items += [Item(line) for line in self._queue()]
        items += [Item(line) for line in self._last()]
        items += self._failures()
        return items

    # The worker

    def _worker(self) -> Iterator[Text]:
        worker, signs = self._watcher.worker, self._signs
        if worker.state == "here":
            words = f"worker process {worker.pid}"
            words += " · the work goes on when you leave" if self._watcher.active else " · idle"
            sign, role = signs.here, "success"
        elif worker.state == "fault":
            sign, words, role = signs.failed, worker.text, "error"
        else:
            known = {"unknown": "looking for a worker", "starting": "a worker is starting"}
            words = known.get(worker.state, "no worker runs")
            words += f" · {worker.text}" if worker.text else ""
            sign, role = signs.waiting, "foreground"
        yield from self._lines(sign, role, words)
        if worker.remedy:
            yield from self._lines(f"  {signs.arrow}", "foreground", worker.remedy)

    def _empty(self, clips: int | None) -> Iterator[Text]:
        what = f" on {plural(clips, 'clip')}" if clips else ""
        words = f"no job yet · R runs{what}, P shows first what that would do"
        yield from self._lines("", "foreground", words, words_style=QUIET)

    # The job that runs

    def _active(self, progress: Progress) -> Iterator[Text]:
        if not progress.planned and not progress.stages:
            yield Text.assemble(
                (f"{self._signs.running} ", self._paint("primary")), scanning_words(progress)
            )
        name = max((cell_len(stage_name(one)) for one in progress.stages), default=0)
        for stage in progress.stages.values():
            yield from self._stage(progress, stage, name)
        if progress.waiting:
            yield from self._lines(self._signs.warning, "warning", f"waits: {progress.waiting}")
        for guard in reversed(list(progress.guards)[-_GUARDS:]):
            about = visible(guard.clip) or stage_name(guard.stage)
            words = f"{about}: {guard.text}" + (f" · {guard.device}" if guard.device else "")
            yield from self._lines("guard ", "warning", words, most=_LINES)
        warnings = [one for one in progress.notices if one.level == "warning"]
        for notice in warnings[-1:]:
            about = f"{visible(notice.clip)}: " if notice.clip else ""
            words = f"{about}{notice.text}"
            yield from self._lines(self._signs.warning, "warning", words, most=_LINES)

    def _stage(self, progress: Progress, stage: StageProgress, name: int) -> Iterator[Text]:
        sign, role = self._sign(stage)
        line = Text.assemble((f"{sign} ", self._paint(role)))
        running = stage.state in ("running", "loading")
        line.append(stage_name(stage.stage).ljust(name), Style(bold=True) if running else Style())
        if not running:
            words = _standing(stage)
            if line.cell_len + 2 + cell_len(words) > self._width:
                words = words.partition(",")[0]
            yield line.append(f"  {words}", QUIET)
            return
        if stage.state == "loading":
            words = f"loading {visible(stage.model)} on {stage.device}"
            yield from self._lines(line.plain.rstrip(), role, words)
            return
        yield from self._running(progress, stage, line)

    def _running(self, progress: Progress, stage: StageProgress, line: Text) -> Iterator[Text]:
        count = f"  {stage.ended:,}/{stage.total:,}"
        part = share_words(stage)
        rate = rate_words(progress.rate(stage))
        left = eta_words(progress, stage)
        line.append(count)
        if self._width >= _WIDE:
            tail = f" {part}" + (f"  {rate}" if rate else "")
            yield self._bar(line.append(" "), stage, tail)
        else:
            line.append(f"  {part}")
            yield line
            yield self._bar(Text("  "), stage, f"  {rate}" if rate else "")
        if left:
            yield Text(f"  {left}")
        hands = sorted(progress.in_hand.values(), key=lambda one: one.device)
        if any(node_of(hand.device) for hand in hands):
            memory = self._watcher.memory
            yield from of_nodes(hands, memory.nodes if memory is not None else (), self._width)
            return
        for hand in hands[:_MOST_DEVICES]:
            tail = "".join(f" · {one}" for one in (hand.rung, hand.device) if one)
            room = self._width - 6 - cell_len(tail)
            if room < 12 and hand.device:
                tail = f" · {hand.rung}" if hand.rung else ""
                room = self._width - 6 - cell_len(tail)
            yield Text.assemble(
                ("  now ", QUIET), shortened(visible(hand.clip), max(4, room)), (tail, QUIET)
            )
        if len(hands) > _MOST_DEVICES:
            yield Text(f"  and {plural(len(hands) - _MOST_DEVICES, 'more clip')}", QUIET)

    def _bar(self, line: Text, stage: StageProgress, tail: str) -> Text:
        room = min(40, self._width - line.cell_len - cell_len(tail))
        if room >= 4:
            full, rest = bar(room, stage.ended, stage.total, self._signs)
            line.append(full, self._paint("primary")).append(rest, QUIET)
        return line.append(tail)

    def _sign(self, stage: StageProgress) -> tuple[str, str]:
        signs = self._signs
        if stage.state in ("running", "loading"):
            return signs.running, "primary"
        if stage.state == "stopped":
            return signs.warning, "warning"
        if stage.state in ("done", "restored") or not stage.total:
            return (signs.warning, "warning") if stage.failed else (signs.ok, "success")
        return signs.waiting, "foreground"

    # Failures

    def _failures(self) -> list[Item]:
        failures = self._watcher.failures
        if not failures:
            return []
        by_clip: dict[str, list[ClipFailed]] = {}
        for one in reversed(failures):
            by_clip.setdefault(one.clip, []).append(one)
        blocked = sum(all(one.stage == "plan" for one in every) for every in by_clip.values())
        failed = len(by_clip) - blocked
        hints = ["enter goes to the clip"]
        if failed:
            head = f"{plural(failed, 'clip')} failed"
            head += f", {blocked:,} blocked" if blocked else ""
            hints.insert(0, "r tries again")
        else:
            head = f"{plural(blocked, 'clip')} blocked"
        head_line = Text.assemble((f"{self._signs.failed} {head}", self._paint("error", bold=True)))
        for hint in hints:
            if head_line.cell_len + 3 + len(hint) <= self._width:
                head_line.append(f" · {hint}", QUIET)
        items = [Item(head_line)]
        for clip, every in by_clip.items():
            name = shortened(visible(clip), self._width - 2)
            items.append(Item(Text(f"  {name}", Style(bold=True)), clip))
            for one in every:
                stage = "" if one.stage == "plan" else f"{stage_name(one.stage)}: "
                lines = self._lines("   ", "foreground", f"{stage}{visible(one.reason)}")
                items += [Item(line) for line in lines]
                if one.remedy:
                    arrow = f"    {self._signs.arrow}"
                    lines = self._lines(arrow, "foreground", visible(one.remedy), words_style=QUIET)
                    items += [Item(line) for line in lines]
        return items

    # Other jobs

    def _queue(self) -> Iterator[Text]:
        watcher = self._watcher
        open_jobs = [
            job for job in watcher.jobs if not job.state.has_ended and job.id != watcher.active
        ]
        for job in open_jobs[-_QUEUE:]:
            words, role = self._open_words(job)
            yield from self._lines(f"job {job.id}", role, words)
        if len(open_jobs) > _QUEUE:
            yield Text(f"  and {plural(len(open_jobs) - _QUEUE, 'more job')}", QUIET)

    def _open_words(self, job: JobInfo) -> tuple[str, str]:
        is_captions = job.kind == "caption"
        done = f" after {plural(job.done, 'caption' if is_captions else 'output')}"
        done = done if job.done else ""
        if job.state == "paused":
            return f"paused{done} · p goes on", "warning"
        if job.state == "queued":
            what = "captions, " if is_captions else ""
            return f"{what}queued · {job.waiting or 'begins soon'}", "foreground"
        if self._watcher.interrupted:
            return f"interrupted{done} · p goes on with it", "warning"
        return "running in the foreground of another process", "foreground"

    def _last(self) -> Iterator[Text]:
        job = self._watcher.last
        if job is None or self._watcher.active:
            return
        if job.fault is not None:
            error = job.fault.to_error()
            sign = f"{self._signs.failed} job {job.id} {job.state}"
            yield from self._lines(sign, "error", visible(error.headline))
            if error.remedy:
                yield from self._lines(
                    f"  {self._signs.arrow}", "foreground", visible(error.remedy)
                )
        elif job.result is not None:
            sign, role, words = result_words(job.result, self._signs, job.kind)
            if job.kind == "caption" and job.result.done:
                words += " · w in the clips goes to the most suspicious"
            yield from self._lines(f"{sign} job {job.id}", role, words)
        else:
            yield from self._lines(
                f"{self._signs.waiting} job {job.id}", "foreground", str(job.state)
            )

    def _lines(
        self,
        head: str,
        role: str,
        words: str,
        *,
        most: int = 0,
        words_style: Style | None = None,
    ) -> Iterator[Text]:
        """Yield words behind a coloured head, later lines below the first word."""
        start = f"{head} " if head else ""
        indent = cell_len(start)
        if indent > self._width // 2:
            # No room beside the head.
            yield Text(start.rstrip(), self._paint(role))
            start, indent = "  ", 2
        for at, line in enumerate(hanging(start, words, self._width, most=most)):
            text = Text(line)
            text.stylize(words_style or Style(), indent)
            if not at:
                text.stylize(self._paint(role), 0, len(start))
            yield text


def scanning_words(progress: Progress) -> str:
    """Return what a job does before its plan is made."""
    if progress.scanned is None:
        return "reading the dataset"
    done, total = progress.scanned
    return f"looking at the media {done:,}/{total:,}"


def share_words(stage: StageProgress) -> str:
    """Return "33 %"."""
    return f"{100 * stage.ended // stage.total} %" if stage.total else ""


def eta_words(progress: Progress, stage: StageProgress) -> str:
    """Return "eta 7 min 20 s", so rounded that it does not change at every look."""
    left = progress.remaining(stage)
    if not left:
        return ""
    unit = 1 if left < 60 else 5 if left < 600 else 60
    return f"eta {duration(max(1, round(left / unit) * unit))}" if left >= 1 else "eta 1 s"


def _standing(stage: StageProgress) -> str:
    if stage.state == "done":
        done = f"{stage.done - min(stage.done, stage.before):,} made, " if stage.total else ""
        return f"{done}{outcome(stage)}" if stage.total else outlook(stage)
    if stage.state in ("stopped", "restored"):
        return "stopped" if stage.state == "stopped" else "put back"
    return outlook(stage)


def result_words(end: JobDone, signs: Signs, kind: Kind = "encode") -> tuple[str, str, str]:
    """Return sign, colour and words for how a job of some kind ended."""
    stopped = {(one.row, one.clip) for one in end.failures if one.stage == "plan"}
    clips = {(one.row, one.clip) for one in end.failures} - stopped
    sign, role, word = signs.ok, "success", "done"
    if end.cancelled:
        sign, role, word = signs.warning, "warning", "stopped"
    elif end.failures:
        sign, role, word = signs.warning, "warning", "done, but not all"
    facts = [f"{end.done:,} written", f"{end.fresh:,} fresh already"]
    if kind == "caption":
        facts = [f"{end.done:,} captioned"]
        facts += [f"{end.fresh:,} left as they are"] if end.fresh else []
    if end.adopted:
        facts = [f"{end.adopted:,} adopted"]
    for count, words in ((end.skipped, "skipped"), (end.set_aside, "set aside")):
        if count:
            facts.append(f"{count:,} {words}")
    for names, words in ((clips, "failed"), (stopped, "blocked")):
        if names:
            facts.append(f"{plural(len(names), 'clip')} {words}")
    return sign, role, f"{word}: {' · '.join([*facts, duration(end.seconds)])}"
