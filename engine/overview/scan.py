"""The overview of a project: its rows, what their media are, and how their outputs stand.

Reads every media file once and all of the dataset, so it is made in a process of its own; see
`engine.worker.make_overview`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import msgspec

from engine.client import Engine
from engine.dataset.caption_marks import KnownCaptions
from engine.dataset.clips import Problem, load_clips
from engine.dataset.columns import ColumnMap
from engine.dataset.lint import lint
from engine.dataset.manifest import Manifest, caption_text, cell_text, load_manifest
from engine.dataset.name_keys import name_keys
from engine.media.probe_types import AudioTrack, Probe
from engine.memory.monitor import Monitor
from engine.memory.peaks import Peak
from engine.overview.file import Table
from engine.overview.identity import identity_of
from engine.overview.types import (
    MOST_REMARKS,
    CaptionState,
    Made,
    OutputState,
    Overview,
    Remark,
    Row,
    StageState,
)
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.outlook import outlook
from engine.precompute.plan import Job, Planner
from engine.precompute.plan_types import PlanItem, Status
from engine.precompute.survey import ClipPlan
from engine.project import Project
from engine.state.file import stored
from engine.text import visible
from engine.worker.journal import Journal
from engine.worker.outcomes import Failure, Try, failures, tries

Progress = Callable[[int, int], None]
# From this on a sound is late to the ear.
_LATE = 0.05
_HZ = 1000


class Scan:
    """The making of one overview, in two steps: the dataset alone, then all of it."""

    def __init__(self, project: Project, ledger: Ledger) -> None:
        """Read the dataset file.

        Args:
            project: The settings.
            ledger: Its ledger.

        Raises:
            LtxError: The dataset file cannot be read, or lacks a column.
        """
        self.project = project
        self.identity = identity_of(project)
        self._ledger = ledger
        self._engine = Engine(project)
        self._stages = self._engine.default_stages
        self._planner = Planner(project, self._engine.folders, ledger)
        self._manifest = load_manifest(project.dataset_path)
        self._columns = self._planner.columns(self._manifest)
        self._rows = tuple(_bare_rows(self._manifest, self._columns, project))

    def first(self, before: Table | None = None) -> Overview:
        """Return the rows of the dataset, with what an earlier overview knew of their media."""
        known = {name: index for index, name in enumerate(before.names)} if before else {}
        rows = self._rows
        if before is not None:
            rows = tuple(
                _carried(row, before.row(known[row.name])) if row.name in known else row
                for row in rows
            )
        return Overview(
            rows=rows,
            identity=self.identity,
            whole=False,
            stages=tuple(self._stages),
            coverage=before.overview.coverage if before is not None else {},
        )

    def whole(self, progress: Progress | None = None) -> Overview:
        """Look at media and outputs; return everything.

        Args:
            progress: Told (done, total) while media are probed.

        Raises:
            LtxError: A bucket or a model path is unusable as a whole, or the dataset changed into
                something that cannot be read.
        """
        job = self._planner.make(self._stages, progress=progress)
        clips = load_clips(
            self._manifest, self._columns, on_collision=self.project.dataset.on_collision
        )
        problems = lint(self._manifest, self._columns, clips)
        return Overview(
            rows=tuple(self._whole_rows(job, problems)),
            identity=self.identity,
            stages=tuple(self._stages),
            remarks=tuple(_remark(one) for one in problems[:MOST_REMARKS]),
            remark_count=len(problems),
            coverage=job.plan.buckets,
            outlooks=outlook(self.project, job.plan, Monitor().sample(), self._peaks),
            warnings=job.plan.warnings[:MOST_REMARKS],
            orphans=len(job.plan.orphans),
        )

    def _peaks(self, title: str, stage: Stage) -> Sequence[Peak]:
        facts = self._planner.facts
        return Journal(self._ledger.database).peaks(title, facts.model(stage))

    def _whole_rows(self, job: Job, problems: Sequence[Problem]) -> Iterator[Row]:
        items: dict[int, list[PlanItem]] = {}
        for item in job.plan.items:
            items.setdefault(item.row, []).append(item)
        notes: dict[int, list[str]] = {}
        for problem in problems:
            # An empty caption has a state of its own, and what blocks a clip is its stages' reason.
            if problem.row is None or problem.severity == "error":
                continue
            if problem.code != "caption-empty":
                notes.setdefault(problem.row, []).append(_with(problem.message, problem.remedy))
        outputs = {stage: self._ledger.outputs(self._engine.folders[stage]) for stage in Stage}
        past = _Past(outputs, failures(self._ledger.database), tries(self._ledger.database))
        for row in self._rows:
            mine = items.get(row.row, [])
            row = msgspec.structs.replace(
                row,
                warnings=tuple(notes.get(row.row, ())),
                stages=tuple(past.state(item) for item in mine),
                made=tuple(made for item in mine if (made := past.made(item)) is not None),
            )
            plan = job.clips.get(row.row)
            yield _with_plan(row, plan) if plan is not None else row


class _Past(msgspec.Struct, frozen=True):
    """What ledger and journal know of outputs."""

    outputs: Mapping[Stage, Mapping[str, OutputRecord]]
    failures: Mapping[tuple[str, str], Failure]
    tries: Mapping[tuple[str, str], Try]

    def state(self, item: PlanItem) -> StageState:
        """Return how an output stands; one that failed and was not made since has failed."""
        failure = self.failures.get((item.stage.value, item.output))
        if failure is not None and item.status in (Status.MISSING, Status.STALE):
            return StageState(item.stage.value, OutputState.FAILED, failure.reason, failure.remedy)
        reason = ", ".join(item.reasons)
        return StageState(item.stage.value, OutputState(item.status.value), reason, item.remedy)

    def made(self, item: PlanItem) -> Made | None:
        """Return how an output was made; None where there is none or nobody knows."""
        record = self.outputs[item.stage].get(stored(item.output))
        if record is None or item.status not in (Status.FRESH, Status.STALE, Status.ASIDE):
            return None
        last = self.tries.get((item.stage.value, item.output))
        return Made(
            stage=item.stage.value,
            seconds=record.seconds,
            rung=record.detail or (last.rung if last is not None else ""),
            device=last.device if last is not None else "",
            peak=last.peak if last is not None else 0,
            adopted=record.adopted,
        )


def _bare_rows(manifest: Manifest, columns: ColumnMap, project: Project) -> Iterator[Row]:
    """Yield what the dataset alone says of its rows."""
    folder = manifest.path.parent.absolute()
    # The caption editor tells of a file that is damaged.
    known = KnownCaptions.readable(project.state_dir)
    keys = name_keys(manifest.rows, columns.video)
    for number, (key, values) in enumerate(zip(keys, manifest.rows, strict=True)):
        cell = cell_text(values.get(columns.video))
        reference = cell_text(values.get(columns.reference)) if columns.reference else ""
        shown, state = known.look_up(key, caption_text(values, columns.caption))
        yield Row(
            row=number,
            name=key.name,
            media=visible(folder / cell) if cell.strip() else "",
            caption=shown,
            caption_state=CaptionState(state),
            reference=visible(folder / reference) if reference.strip() else "",
        )


def _carried(row: Row, before: Row) -> Row:
    """Return a row with what was known of its media; its outputs may stand differently now."""
    return msgspec.structs.replace(
        before,
        row=row.row,
        media=row.media,
        caption=row.caption,
        caption_state=row.caption_state,
        reference=row.reference,
    )


def _with_plan(row: Row, plan: ClipPlan) -> Row:
    """Return a row with what its media are and what becomes of them."""
    found, kept = plan.probe, plan.kept
    row = msgspec.structs.replace(row, output=plan.clip.output.as_posix())
    if found is None:
        return row
    remedies = {one.text: one.remedy for one in found.warnings}
    media = tuple(_with(text, remedies.get(text, "")) for text in plan.warnings)
    sound = kept.audio if kept is not None else found if found.audio else None
    return msgspec.structs.replace(
        row,
        seconds=found.duration,
        size=(found.width, found.height),
        frames=found.frames,
        fps=float(found.fps) if found.kind == "video" else 0.0,
        audio=sound is not None,
        bucket=str(kept.bucket) if kept is not None and kept.bucket is not None else "",
        kept=_seconds(kept.window.start, kept.window.duration) if kept is not None else (0.0, 0.0),
        codec=_codec(found, sound),
        warnings=(*media, *row.warnings),
    )


def _seconds(start: float, duration: Fraction) -> tuple[float, float]:
    return start, start + float(duration)


def _codec(found: Probe, sound: Probe | None) -> str:
    """Return "h264 · aac 48 kHz stereo"."""
    parts = [found.codec] if found.kind != "audio" else []
    if found.hdr:
        parts.append(f"HDR ({found.hdr.upper()})")
    if sound is not None and sound.audio:
        own = sound is found or sound == found
        parts.append(_track(sound.audio[0], picture=found.kind == "video" and own))
    elif found.kind == "video":
        parts.append("no sound")
    return visible(" · ".join(parts))


def _track(track: AudioTrack, *, picture: bool) -> str:
    rate = f"{track.rate / _HZ:g} kHz" if track.rate else ""
    text = " ".join(part for part in (track.codec, rate, track.layout) if part)
    if picture and abs(track.start) >= _LATE:
        when = "after" if track.start > 0 else "before"
        text += f", starts {abs(track.start):.2f} s {when} the picture (aligned)"
    return text


def _with(text: str, remedy: str) -> str:
    return f"{text} — {remedy}" if remedy else text


def _remark(problem: Problem) -> Remark:
    return Remark(
        row=problem.row,
        severity=problem.severity,
        text=problem.message,
        remedy=problem.remedy,
        code=problem.code,
    )
