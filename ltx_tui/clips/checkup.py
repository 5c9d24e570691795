"""The doctor at work: looks through the clips of a project, and mends them, beside all else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from engine.errors import LtxError
from engine.events import AnyEvent, ClipDone, ClipFailed, JobDone, JobStarted, Notice, Scanning
from engine.findings import Finding, Fixed, Wanted
from engine.health.findings_file import kept_findings, shared
from engine.project import Project
from engine.text import plural
from engine.worker.reference_types import Stopped
from ltx_tui.children.clips import ClipChild

EVENTS = AnyEvent | Finding | Fixed | Stopped

# Seconds that mending may take to stop when the program ends.
_PATIENCE = 1.5

Told = Literal["progress", "findings", "mended", "said"]
Observer = Callable[[Told], None]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do; an order without anything is a look.

    Attributes:
        fix: Codes to mend.
        undo: Give rows their own files back.
        only: Names of the clips that this is about; empty for all.
    """

    fix: tuple[str, ...] = ()
    undo: bool = False
    only: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether files may change."""
        return self.undo or bool(self.fix)


class Progress(msgspec.Struct):
    """What is being done, and how far that is."""

    doing: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.doing} {self.done:,}/{self.total:,}" if self.total else self.doing


class Checkup:
    """What the doctor knows of a project's clips, and what it does about it.

    Attributes:
        project: The settings of the next look; may be changed.
        findings: What the last whole look found.
        when: When that was, in seconds since 1970; None where there was none yet.
        is_fresh: Whether that was in this session, and nothing was mended since.
        order: What is being done; None for nothing.
        progress: How far that is; None for nothing.
        fault: Why the last order could not be done; None where it could.
        fixed: The clips that were mended last.
        renamed: What clips were called before the last order, and what they are called now.
        failures: Clips that could not be mended, by name.
        said: What became of orders, and what is worth reading, until somebody takes it.
    """

    def __init__(self, project: Project, *, save: Callable[[], Awaitable[None]]) -> None:
        """Know nothing yet.

        Args:
            project: The settings.
            save: Writes what was typed, before rows get other names.
        """
        self.project = project
        self.findings: tuple[Finding, ...] = ()
        self.when: float | None = None
        self.is_fresh = False
        self.order: Order | None = None
        self.progress: Progress | None = None
        self.fault: LtxError | None = None
        self.fixed: tuple[Fixed, ...] = ()
        self.renamed: dict[str, str] = {}
        self.failures: dict[str, ClipFailed] = {}
        self.said: list[str] = []
        self._save = save
        self._observers: list[Observer] = []
        self._orders: deque[Order] = deque()
        self._task: asyncio.Task[None] | None = None
        self._child: ClipChild | None = None

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Have something told of what changes; return what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def _tell(self, what: Told) -> None:
        for observer in list(self._observers):
            observer(what)

    async def load(self) -> None:
        """Take what was found the last time."""
        report = await asyncio.to_thread(kept_findings, self.project)
        if report is not None and self.when is None:
            self.findings, self.when = report.findings, report.when
            self._tell("findings")

    def take_said(self) -> list[str]:
        """Return what was said since the last time."""
        said, self.said = self.said, []
        return said

    # Orders

    @property
    def is_writing(self) -> bool:
        """Whether clips are mended or given back."""
        return self.order is not None and self.order.writes

    def look(self) -> None:
        """Look at all clips, unless that will be done anyway: every order ends with it."""
        if self.order is None and not self._orders:
            self._take(Order())

    async def mend(self, order: Order) -> None:
        """Mend clips, or give them back: after what is being mended, but before a look goes on."""
        await self.leave()
        self._take(order)

    async def leave(self) -> None:
        """Nobody wants to see what is found: stop looking; what is being mended goes on."""
        self._orders = deque(one for one in self._orders if one.writes)
        if self._child is not None and not self.is_writing:
            # At once: what it saw is kept.
            await self._child.cancel()
            await self._child.cancel()

    async def stop(self) -> None:
        """Stop after the clip in hand; what is mended stays so."""
        self._orders.clear()
        if self._child is not None:
            await self._child.cancel()

    async def close(self) -> None:
        """Stop soon, for the program ends."""
        await self.stop()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=_PATIENCE)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _take(self, order: Order) -> None:
        self._orders.append(order)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._orders:
            self.order = self._orders.popleft()
            try:
                await self._do(self.order)
            finally:
                self.order = self.progress = self._child = None
                self._tell("progress")

    async def _do(self, order: Order) -> None:
        self.fault = None
        self._say(Progress("looking at the clips"))
        if order.writes:
            await self._save()
        wanted = Wanted(project=self.project, fix=order.fix, undo=order.undo, only=order.only)
        child = self._child = ClipChild("engine.worker.find_problems", wanted, EVENTS)
        found: list[Finding] = []
        words: dict[str, str] = {}
        fixed: list[Fixed] = []
        failures: dict[str, ClipFailed] = {}
        is_whole = False
        try:
            async with contextlib.aclosing(child.events()) as events:
                async for event in events:
                    match event:
                        case Finding():
                            found.append(shared(event, words))
                        case Fixed():
                            fixed.append(event)
                        case JobDone():
                            is_whole = not event.cancelled
                        case ClipFailed():
                            failures[event.clip] = event
                    self._follow(event)
        except LtxError as error:
            self.fault = error
        self._conclude(order, fixed, failures)
        if is_whole:
            self.findings, self.when, self.is_fresh = tuple(found), time.time(), True
        elif fixed:
            # Their rows have other files now, and nobody looked at those.
            rows = {one.row for one in fixed}
            self.findings = tuple(one for one in self.findings if one.row not in rows)
            self.is_fresh = False
        self._tell("findings")
        if fixed:
            self._tell("mended")

    def _conclude(
        self, order: Order, fixed: Sequence[Fixed], failures: dict[str, ClipFailed]
    ) -> None:
        if not order.writes:
            return
        self.fixed = () if order.undo else tuple(fixed)
        self.renamed = {one.source: one.media for one in fixed}
        self.failures = failures
        fault = self.fault
        self._speak(fault.headline if fault is not None else _outcome(order, fixed, failures))

    def _follow(self, event: object) -> None:
        """Say how far it is."""
        now = self.progress or Progress("")
        match event:
            case Scanning():
                self._say(Progress("probing the media", event.done, event.total))
            case JobStarted():
                stage = event.stages[0]
                doing = "writing proxies" if stage.stage == "proxies" else "looking at the clips"
                self._say(Progress(doing, 0, stage.to_do))
            case ClipDone() | ClipFailed():
                self._say(Progress(now.doing, now.done + 1, now.total))
            case Notice():
                self._speak(event.text)

    def _speak(self, words: str) -> None:
        self.said.append(words)
        self._tell("said")

    def _say(self, progress: Progress) -> None:
        before, self.progress = self.progress, progress
        # Who shows the count looks at it from time to time.
        if before is None or before.doing != progress.doing:
            self._tell("progress")


def _outcome(order: Order, fixed: Sequence[Fixed], failures: dict[str, ClipFailed]) -> str:
    """Return what became of an order, in a sentence."""
    done = plural(len(fixed), "clip")
    if order.undo:
        return f"{done} given back" if fixed else "nothing to give back"
    parts = [f"{done} mended"] if fixed else []
    if failures:
        first = next(iter(failures.values()))
        left = plural(len(failures), "clip") if len(failures) > 1 else first.clip
        parts.append(f"{left} not mended: {first.reason}")
    return "\n".join(parts) or "nothing to mend"
