"""Captioning: clip by clip, each caption into the dataset as it comes, none of them twice.

An answer lies on disk before its clip counts as answered, and until its caption is in the dataset:
whoever comes after a worker that died takes it from there instead of asking again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

from engine.captioners.check import at_once, check_captioner, model_of
from engine.captioners.keys import NETWORK
from engine.dataset.caption_db import digest
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.caption_store import open_store
from engine.dataset.to_caption import Choice, ToCaption, Wanted, choose
from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    ClipStarted,
    JobDone,
    JobStarted,
    Notice,
    StageCount,
    StageDone,
)
from engine.memory.peaks import Peak
from engine.precompute.layout import CAPTIONS
from engine.precompute.steps import CaptionSetup, CaptionStep
from engine.project import Project
from engine.state.database import Database
from engine.text import visible
from engine.worker.caption_answers import Answers, Arrived
from engine.worker.caption_steps import CaptionSteps
from engine.worker.journal import Journal
from engine.worker.messages import StepDone, StepDropped, StepFailed, StepStarted, Work
from engine.worker.pool import Pool
from engine.worker.process import ENCODER, Program
from engine.worker.spec import JobSpec, JobState
from engine.worker.stage_work import Outcome
from engine.worker.tell import to_event, to_notice

_NETWORK = "network"
_PROGRAM = "engine.worker.captioner"
_GIB = 1 << 30


def place(project: Project, keys: Mapping[str, str]) -> tuple[str, Program]:
    """Return the devices of a caption job, and what runs on each: a service needs no GPU."""
    if project.captions.captioner in NETWORK:
        return _NETWORK, Program(_PROGRAM, keys)
    return project.run.device, ENCODER


def make_setup(project: Project) -> CaptionSetup:
    """Return what captioning needs before its first clip."""
    section, memory = project.captions, project.memory
    return CaptionSetup(
        captioner=section.captioner,
        model=model_of(section, project.root),
        base_url=section.base_url,
        device=project.run.device,
        batch_size=at_once(section),
        eight_bit=section.use_8bit,
        limit=round(memory.limit * _GIB),
        reserve=round(memory.reserve * _GIB),
        host_reserve=round(memory.host_reserve * _GIB),
        wait=memory.wait,
        cpu_fallback=memory.cpu,
    )


def choose_clips(spec: JobSpec, made_folders: Sequence[Path] = ()) -> Choice:
    """Return which clips a job is about; nothing is loaded or asked.

    Args:
        spec: The job.
        made_folders: Folders of clips that earlier jobs made.

    Raises:
        LtxError: The folder is not there or is empty, or the dataset cannot be read; or what a
            person wrote is to be kept, and nobody knows what that is.
    """
    project = spec.project
    store = open_store(
        project.dataset_path,
        project.state_dir,
        video_column=project.dataset.video_column,
        caption_column=project.dataset.caption_column,
    )
    wanted = Wanted(
        source=spec.source,
        extensions=spec.extensions,
        recursive=spec.recursive,
        override=spec.overwrite,
        kept=KnownCaptions(project.state_dir) if spec.keep_edited else None,
        only=frozenset(spec.only),
        reference_column=project.dataset.reference_column,
        left_out=(project.output_dir, *made_folders),
    )
    return choose(store, wanted)


class CaptionJob:
    """One life of a caption job."""

    def __init__(
        self, spec: JobSpec, number: int, database: Database, pool: Pool, keys: Mapping[str, str]
    ) -> None:
        """Start nothing yet.

        Args:
            spec: What it is to do.
            number: Of the job in the journal.
            database: The project's.
            pool: Asks about clips.
            keys: Of the services, by environment variable.
        """
        self._spec = spec
        self._project = spec.project
        self._journal = Journal(database)
        self._steps = CaptionSteps(database, number)
        self._pool = pool
        self._keys = keys
        self._setup = make_setup(spec.project)
        self._answers = Answers(spec, self._setup)
        self._failures: dict[str, ClipFailed] = {}
        self._done = 0
        self._malformed = 0
        # Which call is busy with which clip, so that a client sees as many as there are.
        self._calls: dict[int, str] = {}
        self._events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self._writing: asyncio.Task[None] | None = None
        self._arrived: list[Arrived] = []

    async def run(self) -> AsyncGenerator[AnyEvent]:
        """Caption what has no caption, and tell of it; the last event is `JobDone`.

        Raises:
            LtxError: Nothing can be captioned this way, or the dataset cannot be read or written.
        """
        began = time.monotonic()
        choice = await asyncio.to_thread(choose_clips, self._spec, self._made_folders())
        notes = await asyncio.to_thread(self._check)
        # Captions that were written, and nobody could note it any more.
        self._steps.settle(self._steps.sent() & choice.captioned)
        done, gave_up = self._steps.done(), self._steps.failures()
        clips = [one for one in choice.clips if one.name not in done]
        self._failures = {one.name: gave_up[one.name] for one in clips if one.name in gave_up}
        todo = [one for one in clips if one.name not in self._failures]
        self._done = len(done)
        captioned = len(choice.captioned - done)
        yield JobStarted(stages=(self._count(choice, todo, captioned),))
        for text in (*notes, *choice.notes):
            yield Notice(level="info", text=text)
        if todo and not self._pool.cancelled:
            async for event in self._work(todo):
                yield event
        if not self._pool.cancelled:
            await asyncio.to_thread(self._answers.clear)
        yield self._end(choice, captioned, time.monotonic() - began)

    def _made_folders(self) -> tuple[Path, ...]:
        """Return where earlier jobs decoded latents to."""
        jobs = self._journal.jobs(JobState.DONE, JobState.CANCELLED, JobState.FAILED)
        specs = (self._journal.spec(job.id) for job in jobs if job.kind == "decode")
        return tuple(spec.out for spec in specs if spec is not None and spec.out is not None)

    def _check(self) -> tuple[str, ...]:
        # The child has what this process has, and the keys that came with the job.
        environment = Program(_PROGRAM, self._keys).environment
        return check_captioner(self._project.captions, self._project.root, environment)

    def _count(self, choice: Choice, todo: Sequence[ToCaption], captioned: int) -> StageCount:
        return StageCount(
            stage=CAPTIONS,
            to_do=len(todo),
            fresh=captioned,
            blocked=len(choice.blocked),
            skipped=choice.ours,
            done=self._done,
            failed=len(self._failures),
        )

    def _end(self, choice: Choice, captioned: int, seconds: float) -> JobDone:
        blocked = (
            ClipFailed(
                stage="plan", clip=one.name, row=one.row, reason=one.reason, remedy=one.remedy
            )
            for one in choice.blocked
        )
        return JobDone(
            done=self._done,
            fresh=captioned,
            failures=(*blocked, *self._failures.values()),
            skipped=choice.ours,
            set_aside=0,
            seconds=seconds,
            cancelled=self._pool.cancelled,
        )

    # The work

    async def _work(self, todo: Sequence[ToCaption]) -> AsyncGenerator[AnyEvent]:
        began, done_before, failed_before = time.monotonic(), self._done, len(self._failures)
        task = asyncio.create_task(self._do(todo))
        try:
            while (event := await self._events.get()) is not None:
                yield event
        finally:
            if not task.done():
                task.cancel()
            await asyncio.wait([task])
        task.result()
        if self._malformed:
            yield Notice(
                level="warning",
                text=f"{self._malformed:,} of the captions are not as they should be, although "
                "asked for twice; they are marked",
            )
        yield StageDone(
            stage=CAPTIONS,
            done=self._done - done_before,
            failed=len(self._failures) - failed_before,
            seconds=time.monotonic() - began,
        )

    async def _do(self, todo: Sequence[ToCaption]) -> None:
        try:
            try:
                left = await self._take_up(todo)
                if left and not self._pool.cancelled:
                    await self._ask(left)
            finally:
                # Also after an error: what was answered goes into the dataset.
                await self._written()
        finally:
            self._events.put_nowait(None)

    async def _take_up(self, todo: Sequence[ToCaption]) -> list[ToCaption]:
        """Take the answers that an earlier life left behind; return what has none."""
        left, sent = [], self._steps.sent()
        for clip in todo:
            was_sent = clip.name in sent
            arrived = await asyncio.to_thread(self._answers.take_up, clip, was_sent=was_sent)
            if arrived is None:
                left.append(clip)
            else:
                self._arrived.append(arrived)
        if self._arrived:
            await self._write()
        return left

    async def _ask(self, todo: Sequence[ToCaption]) -> None:
        clips = dict(enumerate(todo))

        async def sending(work: Work) -> None:
            await asyncio.to_thread(self._steps.send, clips[work.step.id])

        model = f"{self._setup.captioner}:{self._setup.model}"
        outcomes = self._pool.run(
            self._setup,
            [Work(self._step(number, clip)) for number, clip in clips.items()],
            sending=sending,
            known=lambda title: self._known(title, model),
        )
        async with contextlib.aclosing(outcomes):
            async for outcome in outcomes:
                if not isinstance(outcome, Outcome):
                    self._events.put_nowait(to_notice(outcome))
                    continue
                clip = clips[outcome.step.id] if outcome.step is not None else None
                await self._take(clip, outcome, len(todo), model)
                if self._writing is not None and self._writing.done():
                    self._writing.result()  # a dataset that cannot be written ends the job

    def _known(self, title: str, model: str) -> tuple[Peak, ...]:
        return self._journal.peaks(title, model)

    def _step(self, number: int, clip: ToCaption) -> CaptionStep:
        section = self._project.captions
        return CaptionStep(
            id=number,
            clip=clip.key.name,
            row=clip.row,
            output=str(self._answers.path(clip)),
            media=str(clip.media),
            base=digest(clip.base),
            with_audio=section.audio,
            instruction=section.instruction,
            fps=section.fps,
            clean=section.clean,
            span=clip.span,
        )

    async def _take(self, clip: ToCaption | None, outcome: Outcome, total: int, model: str) -> None:
        """Record what came of a clip, and tell it."""
        answer = outcome.answer
        if isinstance(answer, StepDone | StepFailed | StepDropped):
            self._calls.pop(answer.id, None)
        if isinstance(answer, StepDone | StepFailed):
            await asyncio.to_thread(self._journal.learn, outcome.title, model, answer.learned)
        if clip is not None and isinstance(answer, StepDone):
            await self._answered(clip, answer, outcome.device)
            return
        if clip is not None and isinstance(answer, StepDropped):
            await asyncio.to_thread(self._steps.drop, clip)
            return
        if clip is not None and isinstance(answer, StepFailed):
            if answer.fatal:
                await asyncio.to_thread(self._steps.drop, clip)
            else:
                await self._failed(clip, answer.reason, answer.remedy)
            return
        event = to_event(CAPTIONS, outcome, total)
        if isinstance(answer, StepStarted) and isinstance(event, ClipStarted):
            event = self._started(answer.id, event)
        if event is not None:
            self._events.put_nowait(event)

    def _started(self, number: int, event: ClipStarted) -> ClipStarted:
        """Return the event with the call that the clip has, where there are several at once."""
        if self._setup.captioner not in NETWORK:
            return event
        busy = set(self._calls.values())
        free = (f"call {call}" for call in range(1, len(busy) + 2))
        self._calls[number] = next(name for name in free if name not in busy)
        return ClipStarted(
            stage=event.stage, clip=event.clip, row=event.row, device=self._calls[number]
        )

    async def _answered(self, clip: ToCaption, answer: StepDone, device: str) -> None:
        arrived = await asyncio.to_thread(self._answers.find, clip, answer.detail, device)
        if arrived is None:
            await self._failed(clip, "its answer vanished before it was read", "run again")
            return
        self._arrived.append(arrived)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _failed(self, clip: ToCaption, reason: str, remedy: str) -> None:
        event = ClipFailed(
            stage=CAPTIONS, clip=clip.key.name, row=clip.row, reason=reason, remedy=remedy
        )
        self._failures[clip.name] = event
        await asyncio.to_thread(self._steps.fail, clip, event)
        self._events.put_nowait(event)

    # Into the dataset

    async def _written(self) -> None:
        """Wait until all that was answered is in the dataset."""
        if self._writing is not None:
            await self._writing
        await self._write()

    async def _write(self) -> None:
        """Write what has arrived; what arrives meanwhile goes with the next writing."""
        while self._arrived:
            batch, self._arrived = self._arrived, []
            edited = await asyncio.to_thread(self._answers.store, batch)
            await asyncio.to_thread(self._steps.finish, [one.clip for one in batch])
            await asyncio.to_thread(self._answers.forget, batch)
            for one in batch:
                self._tell(one, was_edited=one.clip.key in edited)

    def _tell(self, arrived: Arrived, *, was_edited: bool) -> None:
        clip, answer = arrived.clip, arrived.answer
        self._done += 1
        self._malformed += answer.is_malformed
        name = clip.key.name
        if was_edited:
            text = "its caption was edited meanwhile and stays; the new one is among its versions"
            self._events.put_nowait(Notice(level="info", text=text, clip=name))
        if answer.is_malformed:
            problems = visible("; ".join(answer.problems))
            self._events.put_nowait(Notice(level="warning", text=f"marked: {problems}", clip=name))
        self._events.put_nowait(
            ClipDone(
                stage=CAPTIONS,
                clip=name,
                row=clip.row,
                output=str(self._project.dataset_path),
                seconds=answer.seconds,
                detail=arrived.detail or ("asked twice" if answer.asked > 1 else ""),
                device=arrived.device,
            )
        )
