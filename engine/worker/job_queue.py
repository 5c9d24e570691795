"""The worker's jobs: one runs, the others wait; all of it is in the journal first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from engine.errors import EnvironmentFaultError, LtxError, UsageError
from engine.events import JobDone, Standing
from engine.memory.monitor import NodeMemory
from engine.precompute.ledger import BusyError, Ledger, run_lock
from engine.progress import Progress
from engine.worker.hub import Hub
from engine.worker.journal import WORKER, Journal
from engine.worker.protocol import Changed, Keys, Told
from engine.worker.runs import JobRun
from engine.worker.spec import Fault, JobInfo, JobSpec, JobState, clips_of

log = logging.getLogger("ltx_tui.worker")

# Before it goes on with an interrupted job by itself, a new worker hears what its client wants.
_GRACE = 1.5
# How often a job looks whether another run has left the project.
_RETRY = 2.0


class JobQueue:
    """Runs the jobs of a project one after another."""

    def __init__(self, ledger: Ledger, hub: Hub) -> None:
        """Take up the jobs that the last worker left; nothing runs before `run`."""
        self._ledger = ledger
        self._journal = Journal(ledger.database)
        self._hub = hub
        self._wake = asyncio.Event()
        self._released = asyncio.Event()
        self._run: JobRun | None = None
        self._active = 0
        self._progress = Progress()
        self._waiting: dict[int, str] = {}
        # Services' keys by job: in memory alone, so that they end with this process.
        self._keys: dict[int, Keys] = {}
        # How jobs stopped whose end cannot be written yet: the disk is full.
        self._unwritten: dict[int, tuple[JobState, Fault]] = {}
        # What is to become of the job that runs once it has stopped; None where nobody asked.
        self._ask: JobState | None = None
        self._closing = False
        self._interrupted = self._take_over()

    def _take_over(self) -> set[int]:
        """Queue what the last worker was doing; return the jobs."""
        found = set()
        for job in self._journal.jobs(JobState.RUNNING):
            if self._journal.owner(job.id) == WORKER:
                self._journal.set_state(job.id, JobState.QUEUED)
                found.add(job.id)
            elif not _is_held(self._ledger):
                self._journal.end(job.id, JobState.CANCELLED)
        return found

    # What clients see

    @property
    def active(self) -> int:
        """The job that runs; 0 where none does."""
        return self._active

    @property
    def pids(self) -> tuple[int, ...]:
        """The encoders' process numbers."""
        return self._run.pids if self._run is not None else ()

    @property
    def nodes(self) -> tuple[NodeMemory, ...]:
        """The memory of other machines that the active job runs on."""
        return self._run.nodes if self._run is not None else ()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits to run."""
        return not self._active and not self._journal.jobs(JobState.QUEUED)

    def standing(self) -> Standing:
        """Return where the active job stands."""
        return self._progress.standing() if self._active else Standing()

    def jobs(self) -> tuple[JobInfo, ...]:
        """Return all jobs, the oldest first."""
        return tuple(self._with_waiting(job) for job in self._journal.jobs())

    def _info(self, job: int) -> JobInfo:
        found = self._journal.job(job)
        if found is None:
            raise UsageError(f"there is no job {job}", remedy="`ltx-tui status` lists them")
        return self._with_waiting(found)

    def _with_waiting(self, job: JobInfo) -> JobInfo:
        if job.id in self._unwritten:
            state, fault = self._unwritten[job.id]
            return msgspec.structs.replace(job, state=state, fault=fault)
        waiting = self._waiting.get(job.id, "")
        if job.state is JobState.QUEUED and self._active and not waiting:
            waiting = f"waits for job {self._active}"
        return msgspec.structs.replace(job, waiting=waiting)

    def _tell(self, job: int) -> JobInfo:
        info = self._info(job)
        self._hub.publish(Changed(job=info))
        return info

    # What clients ask for

    def start(self, spec: JobSpec, keys: Keys | None = None) -> JobInfo:
        """Queue a job, or return the one that does the same already.

        Args:
            spec: The job.
            keys: Of the services that it needs.

        Raises:
            UsageError: It belongs to another project.
        """
        if spec.project.state_dir.absolute() != self._ledger.database.path.parent.absolute():
            raise UsageError("the job is of another project", remedy="ask that project's worker")
        for job in self._journal.jobs(JobState.QUEUED, JobState.RUNNING, JobState.PAUSED):
            if self._journal.spec(job.id) == spec and self._journal.owner(job.id) == WORKER:
                self._keep(job.id, keys)
                return self.resume(job.id) if job.state is JobState.PAUSED else self._go(job.id)
        number = self._journal.add(spec)
        self._keep(number, keys)
        for old in sorted(self._interrupted):
            kind = self._info(old).kind
            if old != self._active and kind == spec.kind:
                words = f"interrupted, and gave way to job {number}"
                self._journal.end(old, JobState.CANCELLED, fault=Fault(kind="", message=words))
                self._interrupted.discard(old)
                self._tell(old)
        return self._go(number)

    def _keep(self, job: int, keys: Keys | None) -> None:
        if keys:
            self._keys[job] = keys

    def _go(self, job: int) -> JobInfo:
        self._wake.set()
        self._released.set()
        return self._tell(job)

    async def pause(self, job: int = 0) -> JobInfo:
        """Hold a job after the clips in hand.

        Raises:
            UsageError: There is none that could be held.
        """
        job = job or self._active or self._latest(JobState.QUEUED, JobState.RUNNING)
        info = self._info(job)
        if job == self._active:
            await self._stop_active(JobState.PAUSED)
        elif info.state is JobState.QUEUED:
            self._interrupted.discard(job)
            self._journal.set_state(job, JobState.PAUSED)
        elif info.state is not JobState.PAUSED:
            raise UsageError(f"job {job} is {info.state}", remedy="only a job that runs can pause")
        return self._go(job)

    def resume(self, job: int = 0, keys: Keys | None = None) -> JobInfo:
        """Go on with a job that was paused, failed or cancelled.

        Args:
            job: Which; 0 is the latest.
            keys: Of the services that it needs.

        Raises:
            UsageError: There is none.
        """
        job = job or self._latest(
            JobState.PAUSED, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED
        )
        state = self._info(job).state
        self._keep(job, keys)
        if job == self._active:
            if self._ask is not None:
                raise UsageError(
                    f"job {job} is about to stop", remedy="resume it when the clip in hand is done"
                )
        elif state is JobState.DONE:
            raise UsageError(f"job {job} is done", remedy="`ltx-tui run` looks what is left to do")
        else:
            self._journal.set_state(job, JobState.QUEUED)
        return self._go(job)

    async def cancel(self, job: int = 0) -> JobInfo:
        """End a job after the clips in hand; asked again, at once.

        Raises:
            UsageError: There is none that could be ended.
        """
        job = job or self._active or self._latest(JobState.QUEUED, JobState.PAUSED)
        info = self._info(job)
        if job == self._active:
            await self._stop_active(JobState.CANCELLED)
        elif info.state.has_ended:
            raise UsageError(f"job {job} has ended already", remedy="`ltx-tui status` lists jobs")
        else:
            self._interrupted.discard(job)
            self._journal.end(job, JobState.CANCELLED)
        return self._go(job)

    def retry(self, job: int, clips: tuple[str, ...], keys: Keys | None = None) -> JobInfo:
        """Queue a job for clips that another one gave up.

        Args:
            job: Which; 0 is the latest in which clips failed.
            clips: By name; all that failed if empty.
            keys: Of the services that it needs.

        Raises:
            UsageError: Nothing failed, or not those.
        """
        if not job:
            failed = [info for info in self._journal.jobs() if info.failed]
            if not failed:
                raise UsageError("no clip has failed", remedy="there is nothing to try again")
            job = failed[-1].id
        spec, given_up = self._journal.spec(job), self._journal.failed_clips(job)
        if spec is None or not given_up:
            raise UsageError(f"no clip of job {job} has failed", remedy="see `ltx-tui status`")
        if unknown := sorted(set(clips) - set(given_up)):
            raise UsageError(
                f"{unknown[0]!r} has not failed in job {job}",
                remedy=f"those that did: {', '.join(given_up[:5])}",
            )
        # A clip that was to get another caption has one, and is to get another all the same.
        again = spec.overwrite and spec.kind == "caption"
        return self.start(
            msgspec.structs.replace(spec, only=clips_of(clips or given_up), overwrite=again),
            keys or self._keys.get(job),
        )

    def _latest(self, *states: JobState) -> int:
        """Return the latest job in the first of the states that has any."""
        for state in states:
            if jobs := self._journal.jobs(state):
                return jobs[-1].id
        raise UsageError(f"no job is {' or '.join(states)}", remedy="start one with `ltx-tui run`")

    async def _stop_active(self, then: JobState) -> None:
        """Stop the job that runs; ending it wins over holding it."""
        if self._ask is not JobState.CANCELLED:
            self._ask = then
        if self._run is not None:
            await self._run.cancel()

    # Running

    async def run(self) -> None:
        """Run jobs until `close`."""
        if self._interrupted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), _GRACE)
        while not self._closing:
            queued = self._journal.jobs(JobState.QUEUED)
            if queued:
                await self._run_one(queued[0].id)
                continue
            self._wake.clear()
            await self._wake.wait()

    async def close(self, *, now: bool) -> bool:
        """Stop after the clips in hand, or at once; return whether a job is left to go on with."""
        self._closing = True
        self._wake.set()
        self._released.set()
        if self._run is not None:
            await self._run.cancel()
            if now:
                await self._run.cancel()
        return bool(self._active or self._journal.jobs(JobState.QUEUED))

    async def _run_one(self, job: int) -> None:
        spec = self._journal.spec(job)
        if spec is None:
            error = EnvironmentFaultError(
                "the job was asked for by another version of ltx-tui", remedy="start it again"
            )
            await self._end(job, JobState.FAILED, fault=Fault.of(error))
            return
        try:
            with run_lock(self._ledger.database.path.parent):
                self._waiting.pop(job, None)
                await self._run_spec(job, spec)
        except BusyError as error:
            if self._waiting.get(job) != error.message:
                self._waiting[job] = error.message
                self._tell(job)
            with contextlib.suppress(TimeoutError):
                self._wake.clear()
                await asyncio.wait_for(self._wake.wait(), _RETRY)

    async def _run_spec(self, job: int, spec: JobSpec) -> None:
        began = time.monotonic()
        self._interrupted.discard(job)
        self._journal.begin(job)
        self._active, self._ask, self._progress = job, None, Progress()
        keys = {name: key.value for name, key in self._keys.get(job, {}).items()}
        self._run = JobRun(job, spec, self._ledger, keys)
        self._tell(job)
        log.info("job %d: %s of %s begins", job, spec.kind, ", ".join(spec.stages))
        end: JobDone | None = None
        fault: Fault | None = None
        try:
            async with contextlib.aclosing(self._run.events()) as events:
                async for event in events:
                    if isinstance(event, JobDone):
                        end = event
                        continue
                    self._progress.take(event)
                    self._hub.publish(Told(job=job, event=event))
        except LtxError as error:
            log.error("job %d stopped: %s", job, error)
            fault = Fault.of(error)
        except Exception as error:
            log.exception("job %d stopped", job)
            fault = Fault.of(error)
        finally:
            self._run, self._active = None, 0
        await self._settle(job, end, fault, time.monotonic() - began)

    async def _settle(
        self, job: int, end: JobDone | None, fault: Fault | None, busy: float
    ) -> None:
        """Write down how a job stopped, and tell."""
        ask, self._ask = self._ask, None
        if end is not None and not end.cancelled:
            await self._end(job, JobState.DONE, busy=busy, result=end)
        elif self._closing and ask is None:
            return  # it stays as running in the journal, and the next worker goes on with it
        elif ask is JobState.PAUSED and fault is None:
            await self._written(job, JobState.PAUSED, lambda: self._journal.pause(job, busy))
            self._tell(job)
        elif ask is not None or fault is None:
            await self._end(job, JobState.CANCELLED, busy=busy, result=end)
        else:
            await self._end(job, JobState.FAILED, busy=busy, fault=fault)

    async def _end(
        self,
        job: int,
        state: JobState,
        *,
        busy: float = 0.0,
        fault: Fault | None = None,
        result: JobDone | None = None,
    ) -> None:
        log.info("job %d is %s after %.0f s", job, state, busy)
        await self._written(
            job,
            state,
            lambda: self._journal.end(job, state, busy=busy, fault=fault, result=result),
            fault,
        )
        if result is not None:
            self._hub.publish(Told(job=job, event=result))
        self._tell(job)

    async def _written(
        self, job: int, state: JobState, write: Callable[[], None], fault: Fault | None = None
    ) -> None:
        """Write to the journal; while its disk is full, tell at least, and try again."""
        while True:
            try:
                write()
                self._unwritten.pop(job, None)
                return
            except EnvironmentFaultError as error:
                if self._closing:
                    return
                if job not in self._unwritten:
                    log.error("job %d is %s, but %s", job, state, error)
                    self._unwritten[job] = (state, fault or Fault.of(error))
                    self._tell(job)
            await asyncio.sleep(_RETRY)


def _is_held(ledger: Ledger) -> bool:
    """Whether a run in the foreground holds the project."""
    try:
        with run_lock(ledger.database.path.parent):
            return False
    except LtxError:
        return True
