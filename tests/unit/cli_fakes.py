"""Stand-ins for the tests of the command line: a job's events, a plan, an engine."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.theme import Theme as RichTheme

from engine import events as ev
from engine.client import Engine
from engine.events import AnyEvent
from engine.memory.monitor import HostMemory, MemorySample
from engine.memory.nvml import GpuMemory
from engine.precompute.layout import Stage
from engine.precompute.plan_types import ClipOutline, Orphan, Plan, PlanItem, Status
from engine.project import Project
from engine.worker.lock import WorkerInfo
from engine.worker.protocol import News, Snapshot
from engine.worker.spec import JobInfo, JobSpec, JobState
from ltx_tui.cli.console import rich_styles
from ltx_tui.themes import load_theme


def console(width: int = 80, *, terminal: bool = True) -> Console:
    """Return a console that writes to memory, without escape codes for colour."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        theme=RichTheme(rich_styles(load_theme("ltx-dark"))),
        color_system=None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def written(where: Console) -> str:
    """Return what a console of `console` was given."""
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def failure(clip: str = "b\x1b[2Jad.mp4", row: int = 1, stage: str = "latents") -> ev.ClipFailed:
    """Return a clip that failed, with a hostile name."""
    return ev.ClipFailed(
        stage=stage,
        clip=clip,
        row=row,
        reason="cut short after 62 of 137 frames",
        remedy="cut it again",
    )


def job(clips: int = 4, *, fail: bool = True, cancelled: bool = False) -> list[AnyEvent]:
    """Return a job of two stages in which the second clip's video fails."""
    counts = [
        ev.StageCount(stage="conditions", to_do=clips, fresh=2, blocked=0, skipped=0),
        ev.StageCount(stage="latents", to_do=clips, fresh=0, blocked=0, skipped=0),
        ev.StageCount(stage="audio_latents", to_do=0, fresh=9, blocked=0, skipped=1),
    ]
    out: list[AnyEvent] = [
        ev.Scanning(done=1, total=clips),
        ev.Scanning(done=clips, total=clips),
        ev.JobStarted(stages=tuple(counts)),
    ]
    for stage in ("conditions", "latents"):
        out.append(ev.ModelLoading(stage=stage, model="a [bold]model", device="cpu"))
        out.append(ev.StageStarted(stage=stage, total=clips, load_seconds=0.5))
        for row in range(clips):
            name = f"clips/scene-{row:04}.mp4"
            out.append(ev.ClipStarted(stage=stage, clip=name, row=row, device="cpu"))
            if fail and stage == "latents" and row == 1:
                out.append(failure())
            else:
                done = ev.ClipDone(stage=stage, clip=name, row=row, output="x.pt", seconds=0.1)
                out.append(done)
        failed = int(fail and stage == "latents")
        out.append(ev.StageDone(stage=stage, done=clips - failed, failed=failed, seconds=4.2))
    out.append(ev.Notice(level="warning", text="caption cut to 1,024 tokens", clip="a.mp4"))
    out.append(
        ev.JobDone(
            done=2 * clips - int(fail),
            fresh=11,
            failures=(failure(),) if fail else (),
            skipped=1,
            set_aside=int(fail),
            seconds=62.0,
            cancelled=cancelled,
        )
    )
    return out


def plan(*, fresh: bool = False) -> Plan:
    """Return a plan with every status, an orphan and warnings; or one where all is fresh."""
    statuses = [
        (Status.FRESH, (), ""),
        (Status.MISSING, (), ""),
        (Status.STALE, ("caption edited",), ""),
        (Status.STALE, ("caption edited",), ""),
        (Status.ASIDE, ("made before, and set aside",), ""),
        (Status.BLOCKED, ("too short: 9 frames, and the shortest bucket has 49",), "use 9 frames"),
        (Status.SKIPPED, ('no sound (audio.silent = "skip")',), ""),
    ]
    if fresh:
        statuses = statuses[:1]
    items = [
        PlanItem(
            stage=stage,
            row=row,
            clip=f"clip-{row}[red].mp4",
            output=f"clip-{row}.pt",
            status=status,
            reasons=reasons,
            remedy=remedy,
        )
        for stage in (Stage.CONDITIONS, Stage.REFERENCE_LATENTS)
        for row, (status, reasons, remedy) in enumerate(statuses)
    ]
    outline = ClipOutline(
        row=0,
        clip="clip-0[red].mp4",
        media="/somewhere/clip-0.mp4",
        size=(1920, 1080),
        frames=149,
        fps=23.976,
        duration=6.2,
        audio=True,
        bucket="960x544x121",
        kept=(0.0, 5.05),
        warnings=("audio starts 0.48 s late",),
    )
    orphan = Orphan(
        stage=Stage.LATENTS, path="old/take.pt", reason="no clip of the dataset has this output"
    )
    return Plan(
        stages=(Stage.CONDITIONS, Stage.REFERENCE_LATENTS),
        items=tuple(items),
        orphans=() if fresh else (orphan,),
        clips=(outline,),
        buckets={"960x544x121": 812, "544x960x49": 3, "32x32x1": 0},
        warnings=("2 buckets are in use: the trainer's batch size must be 1",),
    )


def job_info(number: int = 1, state: str = "running", **more: Any) -> JobInfo:
    """Return a job as the worker tells of it."""
    known = {"kind": "encode", "stages": (Stage.CONDITIONS, Stage.LATENTS), "created": 1e9}
    return JobInfo(**{**known, "id": number, "state": JobState(state), **more})


def worker_info() -> WorkerInfo:
    """Return a worker that began two minutes ago."""
    return WorkerInfo(
        pid=4321,
        host="here",
        boot_id="b",
        version="1.2.3",
        protocol=1,
        started=time.time() - 125,
        socket="/s",
    )


GIB = 1 << 30


def memory_sample() -> MemorySample:
    """Return the memory of a machine with two GPUs, one of which tells little."""
    host = HostMemory(total=64 * GIB, used=16 * GIB, available=48 * GIB, ours=2 * GIB)
    big = GpuMemory(
        index=0,
        title="NVIDIA H200",
        uuid="u",
        total=140 * GIB,
        used=20 * GIB,
        ours=18 * GIB,
        utilisation=97,
        temperature=61,
        power=402.4,
    )
    return MemorySample(
        time=0.0, host=host, gpus=(big, GpuMemory(index=1, title="odd\x1b[2J", uuid="v"))
    )


class FakeEngine(Engine):
    """An engine whose worker plays events back and keeps what it was asked.

    Attributes:
        told: What a job tells.
        known: The jobs that there are, the latest last.
        error: Raised after the events.
        worker_there: Whether there is a worker before one is started.
        active: The job that the worker does.
    """

    def __init__(self, told: Sequence[AnyEvent] = (), error: Exception | None = None) -> None:
        self.told = list(told)
        self.error = error
        self.calls: list[tuple[str, Any]] = []
        self.known = [job_info()]
        self.words = ""
        self.worker_there = True
        self.active = 1
        self.standing = ev.Standing()

    def open(self, project: Project, folders: Mapping[Stage, Path] | None = None) -> FakeEngine:
        """Stand in for `session.open_engine`."""
        Engine.__init__(self, project, folders=folders)
        self.moved = dict(folders or {})
        return self

    @property
    def warning(self) -> str:
        return self.words

    @property
    def spec(self) -> JobSpec:
        """The only job that was started."""
        [spec] = [what for name, what in self.calls if name in ("start", "foreground")]
        return spec

    def plan(self, stages: Any = None, **options: Any) -> Plan:
        self.calls.append(("plan", (stages, options)))
        return plan()

    async def _done(self, name: str, what: Any) -> JobInfo:
        self.calls.append((name, what))
        return self.known[-1]

    async def start(self, spec: JobSpec | None = None) -> JobInfo:
        return await self._done("start", spec)

    async def pause(self, job: int = 0) -> JobInfo:
        return await self._done("pause", job)

    async def resume(self, job: int = 0) -> JobInfo:
        return await self._done("resume", job)

    async def cancel(self, job: int = 0) -> JobInfo:
        return await self._done("cancel", job)

    async def retry(self, job: int = 0, clips: Iterable[str] = ()) -> JobInfo:
        return await self._done("retry", (job, tuple(clips)))

    async def jobs(self) -> tuple[JobInfo, ...]:
        return tuple(self.known)

    async def memory(self) -> MemorySample:
        return memory_sample()

    async def worker(self) -> WorkerInfo | None:
        return worker_info() if self.worker_there else None

    async def stop_worker(self, *, now: bool = False) -> bool:
        self.calls.append(("stop", now))
        was, self.worker_there = self.worker_there, False
        return was

    async def events(self, *, start: bool = True) -> AsyncGenerator[News]:
        assert not start
        if self.worker_there:
            yield Snapshot(jobs=tuple(self.known), active=self.active, standing=self.standing)

    async def follow(self, job: int) -> AsyncGenerator[AnyEvent]:
        self.calls.append(("follow", job))
        async for event in self.play():
            yield event

    async def play(self) -> AsyncIterator[AnyEvent]:
        """Tell the events."""
        for event in self.told:
            yield event
        if self.error is not None:
            raise self.error

    def foreground(self, spec: JobSpec | None = None) -> Any:
        self.calls.append(("foreground", spec))
        return FakeForeground(self)


class FakeForeground:
    """A job in this process."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def events(self) -> AsyncGenerator[AnyEvent]:
        async for event in self._engine.play():
            yield event

    async def cancel(self) -> None:
        self._engine.calls.append(("cancel", None))
