"""The plan: what running now would do to each clip in each stage, and why."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.buckets import Bucket, parse_buckets
from engine.dataset.clips import Clip, ClipSet, load_clips
from engine.dataset.columns import (
    ColumnMap,
    find_column,
    project_columns,
    unused_columns,
)
from engine.dataset.manifest import Manifest, load_manifest
from engine.errors import UsageError
from engine.files.identity import FileIdentity, stat_identity
from engine.models.checkpoint import Checkpoint
from engine.precompute.facts import Facts, PlanFacts, component_path, is_set
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.precompute.make_steps import make_step, output_path
from engine.precompute.outline import outline
from engine.precompute.plan_types import Orphan, Plan, PlanItem, Status
from engine.precompute.status import Ask, Judge
from engine.precompute.steps import AnyStep
from engine.precompute.survey import (
    ClipPlan,
    Progress,
    probe_files,
    survey,
    unused_choices,
)
from engine.project import Project
from engine.state.file import stored
from engine.text import plural, visible


class Job(msgspec.Struct, kw_only=True):
    """A plan with what is needed to carry it out.

    Attributes:
        clips: By row; rows that the dataset refuses are in the plan only.
        work: The items to encode with their steps, in the order of the dataset.
        stats: What size and time every media file had before it was probed.
    """

    plan: Plan
    clips: dict[int, ClipPlan]
    work: dict[Stage, list[tuple[PlanItem, AnyStep]]]
    stats: dict[Path, FileIdentity | None]

    def has_changed(self, clip: ClipPlan) -> bool:
        """Whether a file of the clip is no longer the one that was planned with."""
        return any(_stat(path) != self.stats.get(path) for path in _files(clip.clip))


class Planner:
    """Makes plans for one project."""

    def __init__(self, project: Project, folders: Mapping[Stage, Path], ledger: Ledger) -> None:
        """Keep what plans are made from.

        Args:
            project: The settings.
            folders: Where each stage writes.
            ledger: What is known of files and outputs.
        """
        self.project = project
        self.folders = folders
        self.ledger = ledger
        self.facts = Facts(project, ledger)

    def make(
        self,
        stages: Sequence[Stage],
        ask: Ask = Ask(),  # noqa: B008 - it is immutable
        *,
        progress: Progress | None = None,
    ) -> Job:
        """Read the dataset, probe its media, and hold every output against what it should be.

        Args:
            stages: The stages that a run would do.
            ask: What is asked for beside that.
            progress: Told (done, total) while media are probed.

        Raises:
            LtxError: The dataset file, a bucket or a model path is unusable as a whole.
        """
        with _collected_later():
            return self._make(stages, ask, progress)

    def _make(self, stages: Sequence[Stage], ask: Ask, progress: Progress | None) -> Job:
        manifest = load_manifest(self.project.dataset_path)
        columns = self.columns(manifest)
        clip_set = load_clips(manifest, columns, on_collision=self.project.dataset.on_collision)
        refused = self._refused(clip_set, manifest, columns, stages)
        del manifest  # a third of what the plan of a large dataset takes
        stats = {path: _stat(path) for clip in clip_set.clips for path in _files(clip)}
        clips = self._survey(clip_set, stages, progress)
        judge = self._judge(stats if _needs_media(stages) else ())
        items = refused
        for stage in stages:
            items += self._items(stage, clips, ask, judge)
        wanted = {
            stage: {item.output for item in items if item.stage is stage and _has_output(item)}
            for stage in stages
        }
        orphans = self._orphans(wanted, items, judge)
        if unknown := sorted(ask.only - {item.clip for item in items}):
            raise UsageError(
                f"there is no clip {unknown[0]!r}",
                remedy="write its name as the dataset does",
                file=self.project.dataset_path,
            )
        items = [item for item in items if ask.wants(item.clip)]
        plan = Plan(
            stages=tuple(stages),
            items=tuple(items),
            orphans=tuple(orphans),
            clips=tuple(outline(clip) for clip in clips),
            buckets=self._coverage(clips),
            warnings=(*unused_columns(columns), *self._warnings(clip_set, clips, stages, judge)),
        )
        by_row = {clip.clip.row: clip for clip in clips}
        return Job(plan=plan, clips=by_row, work=self._work(plan, by_row), stats=stats)

    def _judge(self, media: Iterable[Path]) -> Judge:
        facts = PlanFacts(self.project, self.ledger, tuple(media))
        return Judge(self.project, self.folders, facts)

    def columns(self, manifest: Manifest) -> ColumnMap:
        """Return which column holds what; raises as `resolve_columns`."""
        section, video = self.project.dataset, ""
        if self.project.audio.durations and not find_column(manifest.columns, "video"):
            # No picture anywhere: the sounds are the media.
            video = section.audio_column or find_column(manifest.columns, "audio")
        return project_columns(manifest, section, video=video)

    def buckets(self) -> tuple[Bucket, ...]:
        """Return the project's buckets, held against the VAE's compression.

        Raises:
            UsageError: A bucket does not fit the VAE or the reference's scale.
        """
        spatial, temporal = 32, 8
        if is_set(self.project, "video_vae"):
            path = component_path(self.project, "video_vae")
            spatial, temporal = Checkpoint.open(path).scale_factors
        buckets = parse_buckets(self.project.video.buckets, spatial=spatial, temporal=temporal)
        if self.project.dataset.reference_column:
            self._check_reference_scale(buckets, spatial, temporal)
        return buckets

    def _check_reference_scale(
        self, buckets: Sequence[Bucket], spatial: int, temporal: int
    ) -> None:
        scale, slower = self.project.reference.downscale, self.project.reference.temporal_scale
        if scale > 1 and len(buckets) > 1:
            raise UsageError(
                f"a reference downscale factor of {scale} needs exactly one bucket, "
                f"and there are {len(buckets)}",
                remedy="keep one bucket, or set the factor to 1",
            )
        for bucket in buckets:
            if bucket.width % (spatial * scale) or bucket.height % (spatial * scale):
                raise UsageError(
                    f"bucket {bucket} cannot be downscaled by {scale} for the reference",
                    remedy=f"use sides that are multiples of {spatial * scale}",
                )
            if (bucket.frames - 1) % (temporal * slower):
                raise UsageError(
                    f"bucket {bucket} cannot be slowed by {slower} for the reference",
                    remedy=f"use a frame count of the form {temporal * slower}·k + 1",
                )

    def _survey(
        self, clip_set: ClipSet, stages: Sequence[Stage], progress: Progress | None
    ) -> list[ClipPlan]:
        if not _needs_media(stages):
            # Text alone needs no media: it may be encoded on a machine that has none.
            return [ClipPlan(clip=clip) for clip in clip_set.clips]
        buckets = self.buckets()
        paths = [path for clip in clip_set.clips for path in _files(clip)]
        probes = probe_files(paths, self.ledger, progress)
        return survey(clip_set.clips, self.project, buckets, probes)

    def _refused(
        self,
        clip_set: ClipSet,
        manifest: Manifest,
        columns: ColumnMap,
        stages: Sequence[Stage],
    ) -> list[PlanItem]:
        """Return items for the rows that the dataset itself refuses."""
        usable = {clip.row for clip in clip_set.clips}
        items = []
        for problem in clip_set.problems:
            if problem.severity != "error" or problem.row is None or problem.row in usable:
                continue
            usable.add(problem.row)
            cell = manifest.rows[problem.row].get(columns.video)
            items += [
                PlanItem(
                    stage=stage,
                    row=problem.row,
                    clip=visible(cell or f"row {problem.row + 1}"),
                    output="",
                    status=Status.BLOCKED,
                    reasons=(problem.message,),
                    remedy=problem.remedy,
                )
                for stage in stages
            ]
        return items

    def _items(
        self, stage: Stage, clips: Sequence[ClipPlan], ask: Ask, judge: Judge
    ) -> list[PlanItem]:
        records = self.ledger.outputs(self.folders[stage])
        items = []
        for clip in clips:
            output = output_path(stage, clip)
            status, reasons, remedy = judge.status(
                stage,
                clip,
                output,
                records.get(stored(output)),
                again=ask.again(stage, output),
            )
            items.append(
                PlanItem(
                    stage=stage,
                    row=clip.clip.row,
                    clip=clip.clip.name,
                    output=output,
                    status=status,
                    reasons=reasons,
                    remedy=remedy,
                )
            )
        return items

    def _orphans(
        self, wanted: Mapping[Stage, set[str]], items: Sequence[PlanItem], judge: Judge
    ) -> list[Orphan]:
        """Find the files that a trainer would glob and that no clip accounts for."""
        reasons = {
            (item.stage, item.output): f"its clip is {item.status}: {item.reasons[0]}"
            for item in items
            if item.status in (Status.BLOCKED, Status.SKIPPED) and item.output
        }
        orphans = []
        for stage, outputs in wanted.items():
            folder = self.folders[stage]
            # A folder that the user named may hold other things: only ours are moved out of it.
            own = folder == self.project.output_dir / stage.value
            ours = self.ledger.outputs(folder).keys() if not own else set()
            others = [name for name in judge.present(stage) if name not in outputs]
            for name in sorted(others, key=lambda name: name.split("/")):
                if name.rpartition("/")[2].startswith("."):
                    continue
                if not own and stored(name) not in ours:
                    continue
                reason = reasons.get((stage, name), "no clip of the dataset has this output")
                orphans.append(Orphan(stage=stage, path=name, reason=reason))
        return orphans

    def _coverage(self, clips: Sequence[ClipPlan]) -> dict[str, int]:
        counts = Counter(_bucket(clip) for clip in clips)
        if not any(clip.probe is not None for clip in clips):
            return {}
        asked = [str(bucket) for bucket in self.buckets()]
        own = sorted(counts.keys() - {"", *asked})
        return {name: counts[name] for name in [*asked, *own]}

    def _warnings(
        self,
        clip_set: ClipSet,
        clips: Sequence[ClipPlan],
        stages: Sequence[Stage],
        judge: Judge,
    ) -> list[str]:
        warnings = [
            problem.message if problem.row is None else f"row {problem.row + 1}: {problem.message}"
            for problem in clip_set.problems
            if problem.severity == "warning"
        ]
        warnings += unused_choices(self.project, clip_set.clips)
        used = {_bucket(clip) for clip in clips} - {""}
        if len(used) > 1:
            warnings.append(f"{len(used)} buckets are in use: the trainer's batch size must be 1")
        if Stage.AUDIO_LATENTS in stages and self.project.audio.silent == "skip":
            silent = sum(
                clip.kept is not None and judge.is_silent(Stage.AUDIO_LATENTS, clip)
                for clip in clips
            )
            if silent:
                warnings.append(
                    f"{plural(silent, 'clip has', 'clips have')} no sound: training on sound "
                    'and picture will drop them (audio.silent = "silence" keeps them)'
                )
        return warnings + self._unrequested(clips, stages, judge)

    def _unrequested(
        self, clips: Sequence[ClipPlan], stages: Sequence[Stage], judge: Judge
    ) -> list[str]:
        """Warn of outputs in other stages' folders that a trainer may still read."""
        warnings = []
        for stage in Stage:
            if stage in stages or stage.is_decode or not self.ledger.outputs(self.folders[stage]):
                continue
            known = [c for c in clips if stage is Stage.CONDITIONS or _can_have(stage, c)]
            items = self._items(stage, known, Ask(), judge)
            stale = sum(item.status is Status.STALE for item in items)
            if stale:
                warnings.append(
                    f"{stage} has {plural(stale, 'stale output')} and is not part of this run"
                )
        return warnings

    def _work(
        self, plan: Plan, clips: Mapping[int, ClipPlan]
    ) -> dict[Stage, list[tuple[PlanItem, AnyStep]]]:
        work: dict[Stage, list[tuple[PlanItem, AnyStep]]] = {stage: [] for stage in plan.stages}
        number = 0
        for item in plan.items:
            if item.status in (Status.MISSING, Status.STALE):
                number += 1
                clip = clips[item.row]
                step = make_step(number, item.stage, clip, self.project, self.folders)
                work[item.stage].append((item, step))
        return work


@contextlib.contextmanager
def _collected_later() -> Iterator[None]:
    """Leave cycles alone meanwhile.

    A plan makes objects by the million and keeps them all: looking through them again and again
    for what is not there takes a quarter of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _needs_media(stages: Sequence[Stage]) -> bool:
    return any(stage is not Stage.CONDITIONS for stage in stages)


def _files(clip: Clip) -> list[Path]:
    return [path for path in (clip.media, clip.reference, clip.audio) if path is not None]


def _stat(path: Path) -> FileIdentity | None:
    try:
        return stat_identity(path)
    except OSError:
        return None


def _bucket(clip: ClipPlan) -> str:
    kept = clip.kept
    return str(kept.bucket) if kept is not None and kept.bucket is not None else ""


def _has_output(item: PlanItem) -> bool:
    return item.status not in (Status.BLOCKED, Status.SKIPPED)


def _can_have(stage: Stage, clip: ClipPlan) -> bool:
    if clip.kept is None:
        return False
    return stage is not Stage.REFERENCE_LATENTS or clip.kept.reference is not None
