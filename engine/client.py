"""The one door for a user interface: plan, run, adopt, decode. Never imports torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from engine.errors import ProjectError, UsageError
from engine.events import AnyEvent, Scanning
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger, run_lock
from engine.precompute.plan import Job, Planner
from engine.precompute.plan_types import Plan
from engine.project import PROJECT_FILE, Project, apply_overrides, find_project, load_project
from engine.worker.adopt import AdoptJob
from engine.worker.decode_folder import DecodeFolders
from engine.worker.foreground import ForegroundJob

# Scanning is told this often, in seconds.
_SCAN_INTERVAL = 0.25


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


class Engine:
    """A project's engine; an exec'd child process holds the models."""

    def __init__(self, project: Project, *, folders: Mapping[Stage, Path] | None = None) -> None:
        """Take a project.

        Args:
            project: The settings.
            folders: Where stages write that do not write under the project's output folder.
        """
        self.project = project
        self.folders = stage_folders(project.output_dir, folders)
        self._job: ForegroundJob | AdoptJob | DecodeFolders | None = None

    @property
    def default_stages(self) -> tuple[Stage, ...]:
        """The stages that the project asks for."""
        project = self.project
        audio, references = project.audio.enabled, bool(project.dataset.reference_column)
        wanted = {
            Stage.CONDITIONS: True,
            Stage.LATENTS: True,
            Stage.AUDIO_LATENTS: audio,
            Stage.REFERENCE_LATENTS: references,
            Stage.DECODED_VIDEOS: project.run.decode,
            Stage.DECODED_REFERENCE_VIDEOS: project.run.decode and references,
            Stage.DECODED_AUDIO: project.run.decode and audio,
        }
        return tuple(stage for stage, is_wanted in wanted.items() if is_wanted)

    def plan(
        self,
        stages: Sequence[Stage] | None = None,
        *,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Plan:
        """Return what a run would do; blocks while media are probed.

        Raises:
            LtxError: The dataset, a bucket or a model path is unusable as a whole.
        """
        with Ledger(self.project.state_dir) as ledger:
            planner = Planner(self.project, self.folders, ledger)
            wanted = self._stages(stages)
            return planner.make(wanted, overwrite=overwrite, progress=progress).plan

    async def run(
        self, stages: Sequence[Stage] | None = None, *, overwrite: bool = False
    ) -> AsyncIterator[AnyEvent]:
        """Plan, then do exactly the plan; the last event is `JobDone`.

        Raises:
            LtxError: Something that stops the whole job: an unusable dataset or model, a full
                disk, another run in the same project.
        """
        with run_lock(self.project.state_dir), Ledger(self.project.state_dir) as ledger:
            planner = Planner(self.project, self.folders, ledger)
            planning = _Planning(planner, self._stages(stages), overwrite=overwrite)
            async for event in planning.events():
                yield event
            job = ForegroundJob(planner, ledger, self.project.state_dir)
            self._job = job
            try:
                async for event in job.run(planning.job):
                    yield event
            finally:
                self._job = None

    async def adopt(
        self, stages: Sequence[Stage] | None = None, *, sample: int = 4
    ) -> AsyncIterator[AnyEvent]:
        """Verify outputs of another tool against the dataset, and record those that hold.

        Args:
            stages: Which; by default those of the project that write tensors.
            sample: How many a stage are encoded again and compared.

        Raises:
            LtxError: As `run`.
        """
        wanted = [stage for stage in self._stages(stages) if not stage.is_decode]
        with run_lock(self.project.state_dir), Ledger(self.project.state_dir) as ledger:
            planner = Planner(self.project, self.folders, ledger)
            planning = _Planning(planner, wanted, overwrite=False)
            async for event in planning.events():
                yield event
            job = AdoptJob(planner, ledger, self.project.state_dir)
            self._job = job
            try:
                async for event in job.run(planning.job, sample=sample):
                    yield event
            finally:
                self._job = None

    async def decode_folder(
        self, latents: Path, out: Path, *, audio_latents: Path | None = None
    ) -> AsyncIterator[AnyEvent]:
        """Decode every latents file of a folder, and of a folder of audio latents.

        Raises:
            LtxError: A folder is missing or empty, or a model is unusable.
        """
        job = DecodeFolders(self.project)
        self._job = job
        try:
            async for event in job.run(latents, out, audio_latents):
                yield event
        finally:
            self._job = None

    async def cancel(self) -> None:
        """Stop at the next safe point; a second call ends the encoder at once."""
        if self._job is not None:
            await self._job.cancel()

    def _stages(self, stages: Sequence[Stage] | None) -> tuple[Stage, ...]:
        wanted = self.default_stages if stages is None else tuple(stages)
        if not wanted:
            raise UsageError("no stage to do", remedy="name one with --stages")
        if Stage.REFERENCE_LATENTS in wanted and not self.project.dataset.reference_column:
            raise UsageError(
                "reference latents need a column of references",
                remedy="set dataset.reference_column, or give --reference-column",
            )
        return wanted


class _Planning:
    """Makes a plan in a thread, and tells of the scanning."""

    def __init__(self, planner: Planner, stages: Sequence[Stage], *, overwrite: bool) -> None:
        self._planner = planner
        self._stages = stages
        self._overwrite = overwrite
        self._seen = (0, 0)
        self.job: Job

    async def events(self) -> AsyncIterator[AnyEvent]:
        task = asyncio.create_task(
            asyncio.to_thread(
                self._planner.make,
                self._stages,
                overwrite=self._overwrite,
                progress=self._progress,
            )
        )
        told = (0, 0)
        while not task.done():
            await asyncio.wait([task], timeout=_SCAN_INTERVAL)
            if self._seen != told:
                told = self._seen
                yield Scanning(done=told[0], total=told[1])
        self.job = task.result()

    def _progress(self, done: int, total: int) -> None:
        self._seen = (done, total)
