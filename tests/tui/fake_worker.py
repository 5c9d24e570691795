"""A worker that tells what a test wants, at once and without a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import msgspec

from engine import events as ev
from engine.errors import LtxError, UsageError
from engine.memory.monitor import HostMemory, MemorySample
from engine.memory.nvml import GpuMemory
from engine.precompute.layout import Stage
from engine.project import Project
from engine.worker.lock import WorkerInfo
from engine.worker.protocol import Changed, Goodbye, News, Snapshot, Telemetry, Told
from engine.worker.spec import JobInfo, JobState
from ltx_tui.worker.watch import Watcher

GIB = 1 << 30
STAGES = (Stage.CONDITIONS, Stage.LATENTS)


class Clock:
    """Seconds that go by only when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class FakeEngine:
    """An engine whose worker is a queue of news."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.warning = ""
        self.default_stages = STAGES
        self.news: asyncio.Queue[News | None] = asyncio.Queue()
        self.known: tuple[JobInfo, ...] = ()
        self.asked: list[tuple[Any, ...]] = []
        self.starts: list[bool] = []
        self.fault: LtxError | None = None
        self.refusal: LtxError | None = None

    async def events(self, *, start: bool = True) -> AsyncGenerator[News]:
        self.starts.append(start)
        if self.fault is not None:
            raise self.fault
        while (one := await self.news.get()) is not None:
            yield one
            if isinstance(one, Goodbye):
                return

    async def jobs(self) -> tuple[JobInfo, ...]:
        return self.known

    async def close(self) -> None:
        self.asked.append(("close",))

    def encoding(self, *, only: Iterable[str] = ()) -> tuple[str, ...]:
        return tuple(only)

    def captioning(self, **asked: Any) -> dict[str, Any]:
        return asked

    async def start(self, spec: tuple[str, ...] | dict[str, Any]) -> JobInfo:
        return self._do("start", spec)

    async def pause(self, number: int) -> JobInfo:
        return self._do("pause", number)

    async def resume(self, number: int) -> JobInfo:
        return self._do("resume", number)

    async def cancel(self, number: int) -> JobInfo:
        return self._do("cancel", number)

    async def retry(self, number: int = 0, clips: Iterable[str] = ()) -> JobInfo:
        return self._do("retry", number, tuple(clips))

    def _do(self, *what: Any) -> JobInfo:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(what)
        return job(9)


class Stand:
    """A watcher with a fake worker."""

    def __init__(self, project: Project, *, is_there: bool = True) -> None:
        self.engine = FakeEngine(project)
        self.clock = Clock()
        self.is_there = is_there
        (project.state_dir).mkdir(parents=True, exist_ok=True)
        (project.state_dir / "worker.lock").write_text("held")
        self.watcher = Watcher(
            project,
            opener=lambda _project: self.engine,  # type: ignore[arg-type,return-value]
            finder=self._find,
            clock=self.clock,
            look=0.02,
        )

    def _find(self, _state_dir: Path) -> WorkerInfo | None:
        if not self.is_there:
            return None
        return WorkerInfo(
            pid=4711, host="here", boot_id="", version="0", protocol=1, started=0, socket="s"
        )

    def tell(self, *news: News) -> None:
        for one in news:
            self.engine.news.put_nowait(one)

    def take(self, *news: News) -> None:
        """Take news at once, without the task."""
        for one in news:
            self.watcher._take(one)

    def happen(self, *events: ev.AnyEvent, job: int = 7) -> None:
        self.take(*(Told(job=job, event=event) for event in events))


def job(number: int, state: str = "running", **more: Any) -> JobInfo:
    return JobInfo(
        id=number, kind="encode", state=JobState(state), stages=STAGES, created=1.0, **more
    )


def ended(number: int, **more: Any) -> JobInfo:
    result = ev.JobDone(
        **{"done": 3, "fresh": 9, "failures": (), "skipped": 0, "set_aside": 0, "seconds": 42.0}
        | more
    )
    return job(number, "done", ended=float(number), result=result)


def started(total: int = 1248) -> ev.JobStarted:
    return ev.JobStarted(
        stages=(
            ev.StageCount(stage="conditions", to_do=0, fresh=total, blocked=0, skipped=0),
            ev.StageCount(stage="latents", to_do=total, fresh=0, blocked=11, skipped=0),
            ev.StageCount(stage="audio_latents", to_do=137, fresh=996, blocked=0, skipped=115),
        )
    )


def opened(total: int = 1248) -> ev.StageStarted:
    return ev.StageStarted(stage="latents", total=total, load_seconds=1.0)


def begun(number: int, device: str = "cuda:0", rung: str = "one-shot") -> ev.ClipStarted:
    clip = f"clips/scene-{number:04}.mp4"
    return ev.ClipStarted(stage="latents", clip=clip, row=number, device=device, rung=rung)


def done(number: int) -> ev.ClipDone:
    clip = f"clips/scene-{number:04}.mp4"
    return ev.ClipDone(stage="latents", clip=clip, row=number, output="o", seconds=1.0)


def failed(number: int) -> ev.ClipFailed:
    return ev.ClipFailed(
        stage="latents",
        clip=f"clips/scene-{number:04}.mp4",
        row=number,
        reason="cut short after 62 of 137 frames",
        remedy="export it again, or take it out of the dataset",
    )


def stepped(number: int) -> ev.Guard:
    return ev.Guard(
        stage="latents",
        clip=f"clips/scene-{number:04}.mp4",
        row=number,
        device="cuda:0",
        rung="stream 16",
        text="stepped down to stream 16 (peak 21.9 of 22.0 GiB)",
    )


def memory(
    time: float, used: float = 61.2, ours: float = 58.0, host: float = 21.0, gpus: int = 1
) -> MemorySample:
    return MemorySample(
        time=time,
        host=HostMemory(
            total=128 * GIB,
            used=round(host * GIB),
            available=round((128 - host) * GIB),
            ours=round(host / 2 * GIB),
        ),
        gpus=tuple(
            GpuMemory(
                index=index,
                title="NVIDIA H200",
                uuid=str(index),
                total=round(139.8 * GIB),
                used=round(used * GIB),
                ours=round(ours * GIB),
                utilisation=97,
            )
            for index in range(gpus)
        ),
    )


def snapshot(*jobs: JobInfo, active: int = 0, **more: Any) -> Snapshot:
    return Snapshot(jobs=jobs, active=active, **more)


def changed(info: JobInfo) -> Changed:
    return Changed(job=info)


def telemetry(sample: MemorySample) -> Telemetry:
    return Telemetry(memory=sample)


def at_work(stand: Stand, *, clips: int = 412) -> None:
    """Bring a watcher to the middle of an encode."""
    stand.take(snapshot(ended(6), active=0))
    stand.take(changed(job(7)))
    stand.happen(started(), ev.ModelLoading(stage="latents", model="video VAE", device="cuda:0"))
    stand.happen(opened())
    stand.clock.now += clips / 1.9
    stand.happen(*(done(number) for number in range(clips - 1)))
    stand.happen(stepped(398), failed(377), begun(412))
    for second in range(0, 600, 2):
        wave = (second // 60) % 4 * 6.0
        stand.take(telemetry(memory(1_000.0 + second, 40 + wave, 36 + wave)))
    stand.watcher.worker = msgspec.structs.replace(stand.watcher.worker, state="here", pid=4711)


def refusing(stand: Stand) -> None:
    stand.engine.refusal = UsageError("no clip failed", remedy="look at `ltx-tui status`")
