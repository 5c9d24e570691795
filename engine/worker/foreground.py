"""Jobs in the process that asked for them: for containers and batch systems, and for tests."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Mapping

from engine.errors import LtxError
from engine.events import AnyEvent, JobDone
from engine.precompute.ledger import Ledger, run_lock
from engine.worker.journal import Journal
from engine.worker.runs import JobRun
from engine.worker.spec import Fault, JobSpec, JobState


class Foreground:
    """Runs one job here, with the journal of the project; encoders are its children."""

    def __init__(self, spec: JobSpec, keys: Mapping[str, str] | None = None) -> None:
        """Start nothing yet.

        Args:
            spec: The job.
            keys: Of the services that it needs, by environment variable.
        """
        self._spec = spec
        self._keys = dict(keys or {})
        self._run: JobRun | None = None

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoders at once."""
        if self._run is not None:
            await self._run.cancel()

    async def events(self) -> AsyncGenerator[AnyEvent]:
        """Do the job, and tell of it; the last event is `JobDone`.

        Raises:
            LtxError: Something that stops the whole job: an unusable dataset or model, a full
                disk, another run in the same project.
        """
        state_dir = self._spec.project.state_dir
        with run_lock(state_dir), Ledger(state_dir) as ledger:
            journal = Journal(ledger.database)
            self._give_way(journal)
            number = journal.add(self._spec, owner=f"process {os.getpid()}")
            journal.begin(number)
            self._run = JobRun(number, self._spec, ledger, self._keys)
            began = time.monotonic()
            end: JobDone | None = None
            fault: Fault | None = None
            try:
                async with contextlib.aclosing(self._run.events()) as events:
                    async for event in events:
                        end = event if isinstance(event, JobDone) else None
                        yield event
            except LtxError as error:
                fault = Fault.of(error)
                raise
            finally:
                self._run = None
                whole = end is not None and not end.cancelled
                stopped = JobState.FAILED if fault else JobState.CANCELLED
                with contextlib.suppress(LtxError):  # a disk that is full has been told of
                    journal.end(
                        number,
                        JobState.DONE if whole else stopped,
                        busy=time.monotonic() - began,
                        fault=fault,
                        result=end,
                    )

    def _give_way(self, journal: Journal) -> None:
        """End what was interrupted and would do the same; we hold the lock, so nobody runs it."""
        for job in journal.jobs(JobState.RUNNING):
            if job.kind == self._spec.kind:
                words = "interrupted, and gave way to a run in the foreground"
                journal.end(job.id, JobState.CANCELLED, fault=Fault(kind="", message=words))
