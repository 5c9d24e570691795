"""Stand-ins for the tests of the command line: a job's events, a plan, an engine."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.theme import Theme as RichTheme

from engine import events as ev
from engine.events import AnyEvent
from engine.precompute.layout import Stage
from engine.precompute.plan_types import ClipOutline, Orphan, Plan, PlanItem, Status
from engine.project import Project
from ltx_tui.cli.console import rich_styles
from ltx_tui.themes import load_theme


def console(width: int = 80, *, terminal: bool = True) -> Console:
    """Return a console that writes to memory, without escape codes for colour."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        theme=RichTheme(rich_styles(load_theme("ltx-dark"))),
        color_system=None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def written(where: Console) -> str:
    """Return what a console of `console` was given."""
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def failure(clip: str = "b\x1b[2Jad.mp4", row: int = 1, stage: str = "latents") -> ev.ClipFailed:
    """Return a clip that failed, with a hostile name."""
    return ev.ClipFailed(
        stage=stage,
        clip=clip,
        row=row,
        reason="cut short after 62 of 137 frames",
        remedy="cut it again",
    )


def job(clips: int = 4, *, fail: bool = True, cancelled: bool = False) -> list[AnyEvent]:
    """Return a job of two stages in which the second clip's video fails."""
    counts = [
        ev.StageCount(stage="conditions", to_do=clips, fresh=2, blocked=0, skipped=0),
        ev.StageCount(stage="latents", to_do=clips, fresh=0, blocked=0, skipped=0),
        ev.StageCount(stage="audio_latents", to_do=0, fresh=9, blocked=0, skipped=1),
    ]
    out: list[AnyEvent] = [
        ev.Scanning(done=1, total=clips),
        ev.Scanning(done=clips, total=clips),
        ev.JobStarted(stages=tuple(counts)),
    ]
    for stage in ("conditions", "latents"):
        out.append(ev.ModelLoading(stage=stage, model="a [bold]model", device="cpu"))
        out.append(ev.StageStarted(stage=stage, total=clips, load_seconds=0.5))
        for row in range(clips):
            name = f"clips/scene-{row:04}.mp4"
            out.append(ev.ClipStarted(stage=stage, clip=name, row=row))
            if fail and stage == "latents" and row == 1:
                out.append(failure())
            else:
                done = ev.ClipDone(stage=stage, clip=name, row=row, output="x.pt", seconds=0.1)
                out.append(done)
        failed = int(fail and stage == "latents")
        out.append(ev.StageDone(stage=stage, done=clips - failed, failed=failed, seconds=4.2))
    out.append(ev.Notice(level="warning", text="caption cut to 1,024 tokens", clip="a.mp4"))
    out.append(
        ev.JobDone(
            done=2 * clips - int(fail),
            fresh=11,
            failures=(failure(),) if fail else (),
            skipped=1,
            set_aside=int(fail),
            seconds=62.0,
            cancelled=cancelled,
        )
    )
    return out


def plan(*, fresh: bool = False) -> Plan:
    """Return a plan with every status, an orphan and warnings; or one where all is fresh."""
    statuses = [
        (Status.FRESH, (), ""),
        (Status.MISSING, (), ""),
        (Status.STALE, ("caption edited",), ""),
        (Status.STALE, ("caption edited",), ""),
        (Status.ASIDE, ("made before, and set aside",), ""),
        (Status.BLOCKED, ("too short: 9 frames, and the shortest bucket has 49",), "use 9 frames"),
        (Status.SKIPPED, ('no sound (audio.silent = "skip")',), ""),
    ]
    if fresh:
        statuses = statuses[:1]
    items = [
        PlanItem(
            stage=stage,
            row=row,
            clip=f"clip-{row}[red].mp4",
            output=f"clip-{row}.pt",
            status=status,
            reasons=reasons,
            remedy=remedy,
        )
        for stage in (Stage.CONDITIONS, Stage.REFERENCE_LATENTS)
        for row, (status, reasons, remedy) in enumerate(statuses)
    ]
    outline = ClipOutline(
        row=0,
        clip="clip-0[red].mp4",
        media="/somewhere/clip-0.mp4",
        size=(1920, 1080),
        frames=149,
        fps=23.976,
        duration=6.2,
        audio=True,
        bucket="960x544x121",
        kept=(0.0, 5.05),
        warnings=("audio starts 0.48 s late",),
    )
    orphan = Orphan(
        stage=Stage.LATENTS, path="old/take.pt", reason="no clip of the dataset has this output"
    )
    return Plan(
        stages=(Stage.CONDITIONS, Stage.REFERENCE_LATENTS),
        items=tuple(items),
        orphans=() if fresh else (orphan,),
        clips=(outline,),
        buckets={"960x544x121": 812, "544x960x49": 3, "32x32x1": 0},
        warnings=("2 buckets are in use: the trainer's batch size must be 1",),
    )


class FakeEngine:
    """An engine that plays events back and keeps what it was asked."""

    def __init__(self, events: Sequence[AnyEvent] = (), error: Exception | None = None) -> None:
        self.events = list(events)
        self.error = error
        self.calls: list[tuple[str, Any]] = []
        self.project: Project
        self.folders: Mapping[Stage, Path] = {}
        self.default_stages = (Stage.CONDITIONS, Stage.LATENTS)

    def open(self, project: Project, folders: Mapping[Stage, Path] | None = None) -> FakeEngine:
        """Stand in for `session.open_engine`."""
        self.project, self.folders = project, dict(folders or {})
        return self

    def plan(self, stages: Any = None, **options: Any) -> Plan:
        """Return a plan."""
        self.calls.append(("plan", (stages, options)))
        return plan()

    async def run(self, stages: Any = None, *, overwrite: bool = False) -> AsyncIterator[AnyEvent]:
        """Play the events back."""
        self.calls.append(("run", (tuple(stages), overwrite)))
        async for event in self._play():
            yield event

    async def adopt(self, stages: Any = None, *, sample: int = 4) -> AsyncIterator[AnyEvent]:
        """Play the events back."""
        self.calls.append(("adopt", (tuple(stages), sample)))
        async for event in self._play():
            yield event

    async def decode_folder(
        self, latents: Path, out: Path, *, audio_latents: Path | None = None
    ) -> AsyncIterator[AnyEvent]:
        """Play the events back."""
        self.calls.append(("decode", (latents, out, audio_latents)))
        async for event in self._play():
            yield event

    async def _play(self) -> AsyncIterator[AnyEvent]:
        for event in self.events:
            yield event
        if self.error is not None:
            raise self.error

    async def cancel(self) -> None:
        """Keep that it was called."""
        self.calls.append(("cancel", None))
