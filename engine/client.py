"""The one door for a user interface, and for Python. Never imports torch.

`Engine` plans in this process, and has jobs done by the project's worker, which it starts when
there is none. Closing it changes nothing that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from engine.captioners.keys import keys_here
from engine.errors import ProjectError
from engine.events import AnyEvent
from engine.memory.monitor import MemorySample, Monitor
from engine.memory.peaks import Peak
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger
from engine.precompute.plan_types import Plan
from engine.project import PROJECT_FILE, Project, apply_overrides, find_project, load_project
from engine.specs import Specs
from engine.worker.journal import Journal
from engine.worker.link import Link
from engine.worker.lock import WorkerInfo
from engine.worker.protocol import (
    AskMemory,
    CancelJob,
    ListJobs,
    News,
    Pause,
    Resume,
    Retry,
    Secret,
    Start,
)
from engine.worker.spec import JobInfo, JobSpec

if TYPE_CHECKING:
    from engine.worker.foreground import Foreground

T = TypeVar("T")

# A worker ends by itself after so many seconds without work and clients.
IDLE = 60.0
# While it follows a job, a client starts so many workers anew before it gives up.
_RESTARTS = 3


def open_project(start: Path) -> Project:
    """Return the project of a dataset file, a folder or a project.toml.

    Without a project.toml in its folder or above, a dataset file stands for itself, with the
    defaults for everything else.

    Raises:
        ProjectError: Nothing is there, or project.toml is unusable.
    """
    start = start.expanduser().absolute()
    if not start.exists():
        raise ProjectError("no such file or folder", file=start, remedy="check the path")
    if start.name == PROJECT_FILE:
        return load_project(start)
    found = find_project(start)
    if start.is_dir():
        return load_project(found) if found is not None else Project.defaults(start)
    project = load_project(found) if found is not None else Project.defaults(start.parent)
    return apply_overrides(project, {"dataset.path": start})


class Engine(Specs):
    """A project's engine."""

    def __init__(
        self,
        project: Project,
        *,
        folders: Mapping[Stage, Path] | None = None,
        idle: float = IDLE,
    ) -> None:
        """Take a project; nothing is started.

        Args:
            project: The settings.
            folders: Where stages write that do not write under the project's output folder.
            idle: Seconds after which a worker that this starts ends by itself.
        """
        super().__init__(project, folders)
        self.folders = stage_folders(project.output_dir, folders)
        self._link = Link(project.state_dir, idle)

    @property
    def warning(self) -> str:
        """What whoever started a worker should know, such as that it ends at logout."""
        return self._link.warning

    # Plans

    def plan(
        self,
        stages: Sequence[Stage] | None = None,
        *,
        overwrite: bool = False,
        only: Iterable[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Plan:
        """Return what a run would do; blocks while media are probed, so call it in a thread.

        Args:
            stages: Which; by default those that the project asks for.
            overwrite: As if everything were to be made again.
            only: Names of the clips to look at; all if empty.
            progress: Told (done, total) while media are probed.

        Raises:
            LtxError: The dataset, a bucket or a model path is unusable as a whole.
        """
        # Probing needs FFmpeg, which a client that only asks the worker can do without.
        from engine.precompute.outlook import outlook
        from engine.precompute.plan import Planner
        from engine.precompute.status import Ask

        with Ledger(self.project.state_dir) as ledger:
            planner = Planner(self.project, self.folders, ledger)
            ask = Ask(overwrite=overwrite, only=frozenset(only))
            plan = planner.make(self._stages(stages), ask, progress=progress).plan
            journal = Journal(ledger.database)

            def known(title: str, stage: Stage) -> Sequence[Peak]:
                return journal.peaks(title, planner.facts.model(stage))

            found = outlook(self.project, plan, Monitor().sample(), known)
            return msgspec.structs.replace(plan, outlooks=found)

    # Jobs of the worker

    async def start(self, spec: JobSpec | None = None) -> JobInfo:
        """Have a job done; one that does the very same already is returned instead.

        Args:
            spec: From `encoding` and its siblings; by default all that the project asks for.

        Raises:
            LtxError: The worker does not start, or refuses.
        """
        spec = spec or self.encoding()
        keys = _keys() if spec.kind == "caption" else {}
        return await self._link.ask(Start(spec=spec, keys=keys), JobInfo)

    async def pause(self, job: int = 0) -> JobInfo:
        """Hold a job after the clips in hand, and free the device; 0 is the one that runs.

        Raises:
            UsageError: There is none.
        """
        return await self._link.ask(Pause(job=job), JobInfo)

    async def resume(self, job: int = 0) -> JobInfo:
        """Go on with a paused, failed or cancelled job; 0 is the latest.

        Raises:
            UsageError: There is none.
        """
        return await self._link.ask(Resume(job=job, keys=_keys()), JobInfo)

    async def cancel(self, job: int = 0) -> JobInfo:
        """End a job after the clips in hand; asked again, at once. 0 is the one that runs.

        Raises:
            UsageError: There is none.
        """
        return await self._link.ask(CancelJob(job=job), JobInfo)

    async def retry(self, job: int = 0, clips: Iterable[str] = ()) -> JobInfo:
        """Try again what a job gave up; return the new job.

        Args:
            job: Which; 0 is the latest in which clips failed.
            clips: Names of clips; all that failed if empty.

        Raises:
            UsageError: None of them failed.
        """
        ask = Retry(job=job, clips=tuple(clips), keys=_keys())
        return await self._link.ask(ask, JobInfo)

    async def jobs(self) -> tuple[JobInfo, ...]:
        """Return all jobs, the oldest first; starts no worker.

        Raises:
            LtxError: The journal cannot be read.
        """
        answer = await self._link.ask_if_there(ListJobs(), tuple[JobInfo, ...])
        if answer is not None:
            return answer
        return await asyncio.to_thread(self._jobs_of_journal)

    def _jobs_of_journal(self) -> tuple[JobInfo, ...]:
        if not (self.project.state_dir / "journal.db").exists():
            return ()
        with Ledger(self.project.state_dir) as ledger:
            return tuple(Journal(ledger.database).jobs())

    async def memory(self) -> MemorySample:
        """Return the memory now, as the worker sees it, or else this process."""
        answer = await self._link.ask_if_there(AskMemory(), MemorySample)
        if answer is not None:
            return answer
        return await asyncio.to_thread(Monitor().sample)

    async def worker(self) -> WorkerInfo | None:
        """Return the worker of this project, if there is one.

        Raises:
            LtxError: It runs on another machine, or is another user's.
        """
        return await self._link.worker()

    async def stop_worker(self, *, now: bool = False) -> bool:
        """End the worker, of whatever version; return whether there was one.

        A job that runs stays in the journal, and the next worker goes on with it.

        Args:
            now: Without waiting for the clips in hand.

        Raises:
            LtxError: It runs on another machine, or is another user's.
        """
        return await self._link.stop(now=now)

    def events(self, *, start: bool = True) -> AsyncGenerator[News]:
        """Yield what happens in the project: a `Snapshot` first, then changes to it.

        It ends when the worker does, with a `Goodbye` unless it was killed. A snapshot may come
        again, for a client that was too slow to be told every change. Several may watch at once.

        Args:
            start: Start a worker if there is none; otherwise nothing is yielded then.

        Raises:
            LtxError: The worker does not start, or is of another version.
        """
        return self._link.events(start=start)

    def follow(self, job: int) -> AsyncGenerator[AnyEvent]:
        """Yield the events of a job from where it stands now to its end.

        A worker that dies meanwhile is replaced, and told of in a `Notice`. What was missed is
        made up for by a `Standing`. The last event is `JobDone`; a job that is paused ends the
        iteration without one.

        Raises:
            LtxError: The job stopped as a whole, there is no such job, or workers keep dying.
        """
        return self._link.follow(job)

    async def close(self) -> None:
        """Hang up; nothing that runs is changed by it."""
        await self._link.close()

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # In this process

    def foreground(self, spec: JobSpec | None = None) -> Foreground:
        """Return a job that runs in this process instead of the worker."""
        from engine.worker.foreground import Foreground  # it loads what the worker loads

        return Foreground(spec or self.encoding(), keys_here())


def _keys() -> dict[str, Secret]:
    return {name: Secret(key) for name, key in keys_here().items()}
