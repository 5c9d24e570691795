"""Decoding whole folders of latents, whoever made them; no dataset is needed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from pathlib import Path

from engine.errors import UsageError
from engine.events import (
    AnyEvent,
    ClipDone,
    ClipFailed,
    JobDone,
    StageDone,
)
from engine.precompute.layout import Stage
from engine.precompute.make_steps import make_setup
from engine.precompute.steps import AnyStep, DecodeStep
from engine.project import Project
from engine.text import visible
from engine.worker.messages import Work
from engine.worker.pool import Pool
from engine.worker.stage_work import Outcome
from engine.worker.tell import to_event, to_notice


class DecodeFolders:
    """Decodes `.pt` files into videos, images and sounds, mirroring their folders."""

    def __init__(self, project: Project, pool: Pool) -> None:
        """Start nothing yet."""
        self._project = project
        self._pool = pool
        self._failures: list[ClipFailed] = []
        self._done = 0

    async def run(
        self, latents: Path, out: Path, audio_latents: Path | None
    ) -> AsyncGenerator[AnyEvent]:
        """Decode a folder of video latents, and one of audio latents.

        Args:
            latents: Holds `.pt` files at any depth.
            out: Gets the videos and images; sounds go there too, beside them.
            audio_latents: Holds `.pt` files of sound, or None.

        Raises:
            LtxError: A folder is missing or empty, or a model is unusable.
        """
        began = time.monotonic()
        jobs = [(Stage.DECODED_VIDEOS, _steps(latents, out, ".mp4"))]
        if audio_latents is not None:
            jobs.append((Stage.DECODED_AUDIO, _steps(audio_latents, out, ".wav")))
        for stage, steps in jobs:
            if not self._pool.cancelled:
                async for event in self._stage(stage, steps):
                    yield event
        yield JobDone(
            done=self._done,
            fresh=0,
            failures=tuple(self._failures),
            skipped=0,
            set_aside=0,
            seconds=time.monotonic() - began,
            cancelled=self._pool.cancelled,
        )

    async def _stage(self, stage: Stage, steps: list[AnyStep]) -> AsyncGenerator[AnyEvent]:
        began, done, failed = time.monotonic(), 0, 0
        setup = make_setup(stage, self._project)
        async for outcome in self._pool.run(setup, [Work(step) for step in steps]):
            if not isinstance(outcome, Outcome):
                yield to_notice(outcome)
                continue
            event = to_event(stage, outcome, len(steps))
            if isinstance(event, ClipDone):
                done += 1
            elif isinstance(event, ClipFailed):
                failed += 1
                self._failures.append(event)
            if event is not None:
                yield event
        self._done += done
        yield StageDone(stage=stage, done=done, failed=failed, seconds=time.monotonic() - began)


def _steps(folder: Path, out: Path, suffix: str) -> list[AnyStep]:
    if not folder.is_dir():
        raise UsageError("no such folder", file=folder, remedy="give the folder of the latents")
    files = [path for path in sorted(folder.rglob("*.pt")) if path.is_file()]
    if not files:
        raise UsageError("holds no .pt files", file=folder, remedy="encode first")
    return [
        DecodeStep(
            id=number,
            clip=visible(path.relative_to(folder).as_posix()),
            row=-1,
            output=str((out / path.relative_to(folder)).with_suffix(suffix).absolute()),
            source=str(path.absolute()),
        )
        for number, path in enumerate(files)
    ]
