"""What the project's worker does, as the workbench knows it: one task that listens to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.errors import LtxError
from engine.progress import Progress, StageProgress
from engine.project import Project
from ltx_tui.worker.bell import Bell
from ltx_tui.worker.look import changed, find_worker, is_held, open_engine

if TYPE_CHECKING:
    from engine.client import Engine
    from engine.events import AnyEvent, ClipFailed
    from engine.memory.monitor import MemorySample
    from engine.worker.lock import WorkerInfo
    from engine.worker.protocol import News, Snapshot
    from engine.worker.spec import JobInfo

What = Literal["worker", "jobs", "progress", "memory"]
Changes = frozenset[What]

# Seconds between two looks for a worker, while there is none and while one starts.
_LOOK, _SOON = 2.0, 0.2
# At least so many seconds lie between two tellings of progress, and of memory.
_TICK, _MEMORY_TICK = 0.5, 1.0
# Samples of memory that are kept, and the least seconds between two: ten minutes.
_KEPT, _APART = 600, 0.95

ENDED = "the worker ended unexpectedly"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with the worker.

    Attributes:
        state: "unknown" until the first look; "fault" where it cannot be talked to.
        text: What else there is to say; empty for nothing.
        remedy: What to do about it.
    """

    state: Literal["unknown", "none", "starting", "here", "fault"] = "unknown"
    pid: int = 0
    text: str = ""
    remedy: str = ""


class Watcher:
    """Listens to the worker wherever one runs, and never starts one unless it is asked to.

    Attributes:
        project: Its worker is listened to.
        worker: How it stands with it.
        jobs: All jobs, the oldest first.
        active: The job that the worker does; 0 where it does none.
        progress: Of the active job, or of the last one that was.
        memory: The latest sample; None until a worker tells.
        history: Samples of the last ten minutes, about one a second.
        interrupted: A job is said to run, and there is nobody who does it.
        stopping: Jobs that were asked to end from here.
    """

    def __init__(
        self,
        project: Project,
        *,
        opener: Callable[[Project], Engine] = open_engine,
        finder: Callable[[Path], WorkerInfo | None] = find_worker,
        clock: Callable[[], float] = time.monotonic,
        look: float = _LOOK,
    ) -> None:
        """Ask nothing yet.

        Args:
            project: The settings.
            opener: Returns the project's engine; called in a thread.
            finder: Returns who holds the project; called in a thread.
            clock: Seconds, never going back.
            look: Seconds between two looks for a worker.
        """
        self.project = project
        self.worker = Worker()
        self.jobs: tuple[JobInfo, ...] = ()
        self.active = 0
        self.progress = Progress(clock)
        self.memory: MemorySample | None = None
        self.history: deque[MemorySample] = deque(maxlen=_KEPT)
        self.interrupted = False
        self.stopping: set[int] = set()
        self._opener, self._finder, self._clock, self._look_every = opener, finder, clock, look
        self._engine: Engine | None = None
        self._opening = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._must_start = False
        self._journal: object = None
        self._callbacks: list[Callable[[Changes], None]] = []
        self._listeners: list[Callable[[tuple[News, ...]], object]] = []
        self._news: list[News] = []
        self._bell = Bell[What](_TICK, self._tell, clock)
        self._memory_bell = Bell[What](_MEMORY_TICK, self._tell, clock)

    # For the screens

    def subscribe(self, callback: Callable[[Changes], None]) -> Callable[[], None]:
        """Have a function told what has changed, at most four times a second.

        Returns:
            Ends it.
        """
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def hear(self, callback: Callable[[tuple[News, ...]], object]) -> Callable[[], None]:
        """Have a function told the worker's own news, gathered, at most four times a second.

        Returns:
            Ends it.
        """
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    @property
    def job(self) -> JobInfo | None:
        """The job that runs, or else waits, is paused, or ended last."""
        for state in ("running", "queued", "paused"):
            found = [job for job in self.jobs if job.state == state]
            if found:
                # The next one to run is the oldest that waits.
                return found[0] if state == "queued" else found[-1]
        return max(self.jobs, key=lambda job: job.ended, default=None)

    @property
    def last(self) -> JobInfo | None:
        """The job that ended last."""
        ended = [job for job in self.jobs if job.state.has_ended]
        return max(ended, key=lambda job: job.ended, default=None)

    @property
    def running(self) -> StageProgress | None:
        """The stage that runs or loads its models."""
        stages = self.progress.stages.values() if self.active else ()
        return next((one for one in stages if one.state in ("running", "loading")), None)

    @property
    def failures(self) -> tuple[ClipFailed, ...]:
        """What failed in the job that runs, or else in the last one; the latest come last."""
        if self.active:
            return tuple(self.progress.failures)
        last = self.last
        return last.result.failures if last is not None and last.result is not None else ()

    # Life

    def start(self) -> None:
        """Begin to listen; to be called after the first paint."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="watcher")

    async def stop(self) -> None:
        """Stop listening; what runs goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._bell.stop()
        self._memory_bell.stop()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def engine(self) -> Engine:
        """Return the project's engine."""
        async with self._opening:
            if self._engine is None or self._engine.project is not self.project:
                old = self._engine
                self._engine = await asyncio.to_thread(self._opener, self.project)
                if old is not None:
                    await old.close()
            return self._engine

    def use(self, project: Project) -> None:
        """Take other settings of the same project from now on."""
        self.project = project

    def wake(self) -> None:
        """Look for a worker at once: a command has started one."""
        self._woken.set()

    def go_on(self) -> None:
        """Start a worker if there is none: it goes on with a job that was interrupted."""
        self._must_start = True
        self.wake()

    # Listening

    async def _watch(self) -> None:
        while True:
            pause = self._look_every
            try:
                info = await self._look()
                if info is not None and not info.socket:
                    self._say(Worker(state="starting", pid=info.pid))
                    pause = _SOON
                elif info is not None or self._must_start:
                    await self._listen(info.pid if info is not None else 0)
                    pause = _SOON
                else:
                    await self._be_alone()
            except LtxError as error:
                self._lose(Worker(state="fault", text=error.headline, remedy=error.remedy))
            except Exception as error:  # whatever it is, the screen goes on and says so
                text = f"unexpected {type(error).__name__}: {error}"
                self._lose(Worker(state="fault", text=text, remedy="ltx-tui logs has more"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            self._woken.clear()

    async def _look(self) -> WorkerInfo | None:
        """Return the worker, if there is one.

        Raises:
            LtxError: It runs on another machine, or is another user's.
        """
        try:
            # Who ends in peace leaves an empty file.
            if not (self.project.state_dir / "worker.lock").stat().st_size:
                return None
        except OSError:
            return None
        return await asyncio.to_thread(self._finder, self.project.state_dir)

    async def _listen(self, pid: int) -> None:
        """Take the worker's news until it ends.

        Raises:
            LtxError: It is of another version, or cannot be reached.
        """
        engine = await self.engine()
        start, self._must_start = self._must_start, False
        ending = ENDED
        heard = False
        if start and not pid:
            self._say(Worker(state="starting"))
        news: AsyncGenerator[News] = engine.events(start=start)
        async with contextlib.aclosing(news):
            async for one in news:
                if not heard:
                    heard = True
                    self._say(Worker(state="here", pid=pid or await self._pid()))
                ending = self._take(one) or ending
        if heard:
            self._lose(Worker(state="none", text=ending))

    async def _pid(self) -> int:
        info = await self._look()
        return info.pid if info is not None else 0

    async def _be_alone(self) -> None:
        """Without a worker the journal says what was done.

        Raises:
            LtxError: It cannot be read.
        """
        if self.worker.state != "none":
            self._say(Worker(state="none"))
        journal = self.project.state_dir / "journal.db"
        stamp = tuple(changed(path) for path in (journal, Path(f"{journal}-wal")))
        # A foreground run of another process may hold the project, and end without a change here.
        is_open = not self.interrupted and any(job.state == "running" for job in self.jobs)
        if not stamp[0] or (stamp == self._journal and not is_open):
            return
        self._journal = stamp
        jobs = await (await self.engine()).jobs()
        runs = any(job.state == "running" for job in jobs)
        interrupted = runs and not await asyncio.to_thread(is_held, self.project.state_dir)
        if (jobs, interrupted) != (self.jobs, self.interrupted):
            self.jobs, self.interrupted = jobs, interrupted
            self._mark("jobs")

    def _lose(self, worker: Worker) -> None:
        """There is nobody to listen to any more."""
        if self.active:
            self.active = 0
            self._journal = None
            self._mark("progress")
        self._say(worker)

    def _say(self, worker: Worker) -> None:
        if worker != self.worker:
            self.worker = worker
            self._mark("worker")

    # News

    def _take(self, news: News) -> str:
        """Bring everything up to date; return why the worker ends, where it says that it does."""
        from engine.worker.protocol import Changed, Goodbye, Snapshot, Telemetry, Told

        if self._listeners and not isinstance(news, Telemetry):
            self._news.append(news)
        match news:
            case Snapshot():
                self._restore(news)
            case Changed():
                self._change(news.job)
            case Told():
                self._follow(news.job, news.event)
            case Telemetry():
                self._sample(news.memory)
            case Goodbye():
                return f"the worker ended: {news.reason}"
        return ""

    def _restore(self, news: Snapshot) -> None:
        self.jobs, self.interrupted = news.jobs, False
        if news.active:
            self.progress = Progress(self._clock)
            self.progress.take(news.standing)
        self.active = news.active
        if news.memory is not None:
            self._sample(news.memory)
        self._mark("jobs", "progress")

    def _change(self, job: JobInfo) -> None:
        known = {one.id: one for one in self.jobs} | {job.id: job}
        self.jobs = tuple(known[number] for number in sorted(known))
        if not job.state.is_open:
            self.stopping.discard(job.id)
        if job.state == "running" and job.id != self.active:
            self._begin(job.id)
        elif job.state != "running" and job.id == self.active:
            self.active = 0
        self._mark("jobs", "progress")

    def _begin(self, job: int) -> None:
        self.active = job
        self.progress = Progress(self._clock)

    def _follow(self, job: int, event: AnyEvent) -> None:
        if job != self.active:
            self._begin(job)
        self.progress.take(event)
        self._mark("progress")

    def _sample(self, sample: MemorySample) -> None:
        before, self.memory = self.memory, sample
        if not self.history or sample.time - self.history[-1].time >= _APART:
            self.history.append(sample)
        if before is None or msgspec.structs.replace(before, time=sample.time) != sample:
            self._memory_bell.mark("memory")

    # Telling

    def _mark(self, *changes: What) -> None:
        self._bell.mark(*changes)

    def _tell(self, changes: Changes) -> None:
        news, self._news = tuple(self._news), []
        if news:
            for listener in tuple(self._listeners):
                listener(news)
        for callback in tuple(self._callbacks):
            callback(changes)
