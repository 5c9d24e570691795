"""Running whole jobs in tests: the real engine, with its real child process, on the CPU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from engine.client import Engine
from engine.events import AnyEvent, ClipDone, ClipFailed, JobDone
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan, Status
from engine.project import Project, apply_overrides


def project_of(root: Path, models: tuple[Path, Path], **settings: object) -> Project:
    """Return a project of `root/dataset.json`; settings are named like `video__buckets`."""
    checkpoint, text_encoder = models
    values: dict[str, object] = {
        "models.checkpoint": checkpoint,
        "models.text_encoder": text_encoder,
        "run.device": "cpu",
    }
    values |= {name.replace("__", "."): value for name, value in settings.items()}
    return apply_overrides(Project.defaults(root), values)


def run(project: Project, stages: Iterable[Stage] | None = None) -> list[AnyEvent]:
    """Run a job in the foreground to its end and return all its events."""

    async def collect() -> list[AnyEvent]:
        wanted = None if stages is None else tuple(stages)
        engine = Engine(project)
        return [event async for event in engine.foreground(engine.encoding(wanted)).events()]

    return asyncio.run(collect())


def made(events: Iterable[AnyEvent]) -> list[tuple[str, str]]:
    """Return (stage, clip) of every output that a job made, sorted."""
    return sorted((e.stage, e.clip) for e in events if isinstance(e, ClipDone))


def failed(events: Iterable[AnyEvent]) -> list[ClipFailed]:
    """Return the failures that a job met, without those that its plan knew."""
    return [event for event in events if isinstance(event, ClipFailed)]


def ending(events: list[AnyEvent]) -> JobDone:
    """Return the last event."""
    assert isinstance(events[-1], JobDone)
    return events[-1]


def statuses(plan: Plan, stage: Stage) -> dict[str, Status]:
    """Return the status of every clip in a stage."""
    return {item.clip: item.status for item in plan.items if item.stage is stage}


def outputs(folder: Path) -> set[str]:
    """Return the outputs below a folder, as paths relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
