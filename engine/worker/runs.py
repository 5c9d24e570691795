"""One life of a job, from its plan to its end, in whatever process it runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

from engine.errors import UsageError
from engine.events import AnyEvent, JobDone, Scanning
from engine.files.identity import FileIdentity, stat_identity
from engine.memory.monitor import NodeMemory
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.plan import Job, Planner
from engine.precompute.status import Ask
from engine.worker.adopt import AdoptJob
from engine.worker.cluster import make_cluster
from engine.worker.decode_folder import DecodeFolders
from engine.worker.encode_job import EncodeJob
from engine.worker.journal import History, Journal, SentStep
from engine.worker.pool import Pool
from engine.worker.process import ENCODER
from engine.worker.record import Recorder
from engine.worker.spec import JobSpec

# Scanning is told this often, in seconds.
_SCAN_INTERVAL = 0.25
# Clocks of a network folder's server may be behind ours by so many seconds.
_SKEW = 2.0


class JobRun:
    """Runs a job until it ends, is cancelled, or its process dies; then another can go on."""

    def __init__(
        self, number: int, spec: JobSpec, ledger: Ledger, keys: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            number: Of the job in the journal.
            spec: What it is to do.
            ledger: The project's, whose database holds the journal too.
            keys: Of the services that it needs, by environment variable.
        """
        self._number = number
        self._spec = spec
        self._ledger = ledger
        self._journal = Journal(ledger.database)
        project = spec.project
        self._folders = stage_folders(project.output_dir, spec.folders)
        self._keys = dict(keys or {})
        device, program = project.run.device, ENCODER
        if spec.kind == "caption":
            # What only captions need would double the time that a worker takes to start.
            from engine.worker.caption_job import place

            device, program = place(project, self._keys)
        # A service elsewhere is asked from here; only encoders go to other machines.
        cluster = make_cluster(project) if program is ENCODER else None
        logs = project.state_dir / "logs"
        self._pool = Pool(logs, device, project.run.patience, program, cluster)
        self._planning: _Planning | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The encoders' process numbers."""
        return self._pool.pids

    @property
    def nodes(self) -> tuple[NodeMemory, ...]:
        """The memory of other machines that it runs on."""
        return self._pool.nodes

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoders at once."""
        if self._planning is not None:
            self._planning.abandon()
        await self._pool.cancel()

    async def events(self) -> AsyncGenerator[AnyEvent]:
        """Do the job, and tell of it; the last event is `JobDone`.

        Raises:
            LtxError: Something that stops the whole job: an unusable dataset or model, a full
                disk, another run in the same project.
        """
        run = {
            "encode": self._encode,
            "adopt": self._adopt,
            "decode": self._decode,
            "caption": self._caption,
        }
        try:
            async with contextlib.aclosing(run[self._spec.kind]()) as events:
                async for event in events:
                    yield event
        finally:
            await self._pool.close()

    async def _encode(self) -> AsyncGenerator[AnyEvent]:
        self._journal.bury_attempts(self._number)
        await asyncio.to_thread(self._recover)
        history = self._journal.history(self._number)
        planner = Planner(self._spec.project, self._folders, self._ledger)
        ask = Ask(
            overwrite=self._spec.overwrite,
            spare=frozenset((key.stage, key.output) for key in history.done),
            only=frozenset(self._spec.only),
        )
        if self._is_sure_of_work(history):
            self._pool.warm()
        planning = self._planning = _Planning(planner, self._spec.stages, ask)
        async for event in planning.events():
            yield event
        if planning.job is None:
            yield _nothing_done()
            return
        recorder = Recorder(self._journal, self._number)
        job = EncodeJob(planner, self._ledger, recorder, self._pool, history)
        async with contextlib.aclosing(job.run(planning.job)) as events:
            async for event in events:
                yield event

    def _is_sure_of_work(self, history: History) -> bool:
        """Whether there is something to encode, as far as that can be told without a plan."""
        if self._spec.overwrite or history.sent:
            return True
        return not all(self._ledger.has_outputs(self._folders[one]) for one in self._spec.stages)

    async def _adopt(self) -> AsyncGenerator[AnyEvent]:
        planner = Planner(self._spec.project, self._folders, self._ledger)
        planning = self._planning = _Planning(planner, self._spec.stages, Ask())
        async for event in planning.events():
            yield event
        if planning.job is None:
            yield _nothing_done()
            return
        job = AdoptJob(planner, self._ledger, self._pool)
        async with contextlib.aclosing(job.run(planning.job, sample=self._spec.sample)) as events:
            async for event in events:
                yield event

    async def _decode(self) -> AsyncGenerator[AnyEvent]:
        spec = self._spec
        if spec.latents is None or spec.out is None:
            raise UsageError("no folder to decode", remedy="name the latents and where to put them")
        job = DecodeFolders(spec.project, self._pool)
        events = job.run(spec.latents, spec.out, spec.audio_latents)
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    async def _caption(self) -> AsyncGenerator[AnyEvent]:
        from engine.worker.caption_job import CaptionJob

        job = CaptionJob(self._spec, self._number, self._ledger.database, self._pool, self._keys)
        async with contextlib.aclosing(job.run()) as events:
            async for event in events:
                yield event

    def _recover(self) -> None:
        """Record outputs that were finished when the worker ended before it could do so.

        An output appears under its name only when it is whole and checked, and whatever was
        there before had been moved away: what is there now is what the step made.
        """
        for step in self._journal.history(self._number).sent:
            path = self._folders[step.key.stage] / step.key.output
            identity = _made_since(path, step.sent)
            record = self._ledger.output(self._folders[step.key.stage], step.key.output)
            with self._ledger.database.transaction():
                if identity is None or not step.fingerprint.facts:
                    self._journal.drop(self._number, step.key)
                    continue
                if record is None or record.aside or not identity.same_stat(record.identity):
                    self._record(step, identity)
                self._journal.finish(self._number, step.key)

    def _record(self, step: SentStep, identity: FileIdentity) -> None:
        record = OutputRecord(
            fingerprint=Fingerprint(step.fingerprint.facts),
            identity=identity,
            detail="found finished after an interruption",
        )
        self._ledger.record(self._folders[step.key.stage], step.key.output, record)


def _made_since(path: Path, sent: float) -> FileIdentity | None:
    try:
        identity = stat_identity(path)
    except OSError:
        return None
    return identity if identity.mtime_ns / 1e9 >= sent - _SKEW else None


def _nothing_done() -> JobDone:
    return JobDone(done=0, fresh=0, failures=(), skipped=0, set_aside=0, seconds=0, cancelled=True)


class _AbandonedError(Exception):
    """The planning is not wanted any more."""


class _Planning:
    """Makes a plan in a thread, and tells of the scanning.

    Attributes:
        job: The plan; None where it was abandoned.
    """

    def __init__(self, planner: Planner, stages: tuple[Stage, ...], ask: Ask) -> None:
        self._planner = planner
        self._stages = stages
        self._ask = ask
        self._seen = (0, 0)
        self._abandoned = threading.Event()
        self.job: Job | None = None

    def abandon(self) -> None:
        """Give up as soon as the file in hand is looked at."""
        self._abandoned.set()

    async def events(self) -> AsyncIterator[AnyEvent]:
        task = asyncio.create_task(asyncio.to_thread(self._make))
        told = (0, 0)
        while not task.done():
            await asyncio.wait([task], timeout=_SCAN_INTERVAL)
            if self._seen != told:
                told = self._seen
                yield Scanning(done=told[0], total=told[1])
        try:
            self.job = task.result()
        except _AbandonedError:
            self.job = None

    def _make(self) -> Job:
        job = self._planner.make(self._stages, self._ask, progress=self._progress)
        if self._abandoned.is_set():
            raise _AbandonedError
        return job

    def _progress(self, done: int, total: int) -> None:
        if self._abandoned.is_set():
            raise _AbandonedError
        self._seen = (done, total)
