"""The plan: what running now would do to each clip in each stage, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engine.buckets import Bucket, parse_buckets
from engine.dataset.clips import Clip, ClipSet, load_clips
from engine.dataset.columns import (
    ColumnMap,
    find_column,
    resolve_columns,
    unused_columns,
)
from engine.dataset.manifest import Manifest, load_manifest
from engine.errors import UsageError
from engine.identity import FileIdentity, stat_identity
from engine.models.checkpoint import Checkpoint
from engine.precompute.facts import Facts, component_path, is_set
from engine.precompute.fingerprint import differences
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger, OutputRecord, stored
from engine.precompute.make_steps import make_step, output_path
from engine.precompute.plan_types import Orphan, Plan, PlanItem, Status
from engine.precompute.steps import AnyStep
from engine.precompute.survey import ClipPlan, Progress, outline, probe_files, survey
from engine.project import Project
from engine.text import plural, visible

UNADOPTED = "not made by ltx-tui"
_ADOPT = "`ltx-tui adopt` checks such outputs and keeps them; a run encodes them again"


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
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Job:
        """Read the dataset, probe its media, and hold every output against what it should be.

        Args:
            stages: The stages that a run would do.
            overwrite: Encode everything again.
            progress: Told (done, total) while media are probed.

        Raises:
            LtxError: The dataset file, a bucket or a model path is unusable as a whole.
        """
        manifest = load_manifest(self.project.dataset_path)
        columns = self._columns(manifest)
        clip_set = load_clips(manifest, columns, on_collision=self.project.dataset.on_collision)
        stats = {path: _stat(path) for clip in clip_set.clips for path in _files(clip)}
        clips = self._survey(clip_set, stages, progress)
        items = [*self._refused(clip_set, manifest, columns, stages)]
        for stage in stages:
            items += self._items(stage, clips, overwrite=overwrite)
        wanted = {
            stage: {item.output for item in items if item.stage is stage and _has_output(item)}
            for stage in stages
        }
        plan = Plan(
            stages=tuple(stages),
            items=tuple(items),
            orphans=tuple(self._orphans(wanted, items)),
            clips=tuple(outline(clip) for clip in clips),
            buckets=self._coverage(clips),
            warnings=(*unused_columns(columns), *self._warnings(clip_set, clips, stages)),
        )
        by_row = {clip.clip.row: clip for clip in clips}
        return Job(plan=plan, clips=by_row, work=self._work(plan, by_row), stats=stats)

    def _columns(self, manifest: Manifest) -> ColumnMap:
        names = self.project.dataset
        video = names.video_column
        sounds = self.project.audio.durations and not find_column(manifest.columns, "video")
        if not video and sounds:
            # No picture anywhere: the sounds are the media.
            video = names.audio_column or find_column(manifest.columns, "audio")
        return resolve_columns(
            manifest,
            video=video,
            caption=names.caption_column,
            reference=names.reference_column,
            audio=names.audio_column,
        )

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
        if all(stage is Stage.CONDITIONS for stage in stages):
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

    def _items(self, stage: Stage, clips: Sequence[ClipPlan], *, overwrite: bool) -> list[PlanItem]:
        records = self.ledger.outputs(self.folders[stage])
        items = []
        for clip in clips:
            output = output_path(stage, clip)
            status, reasons, remedy = self._status(
                stage, clip, output, records.get(stored(output)), overwrite=overwrite
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

    def _status(
        self,
        stage: Stage,
        clip: ClipPlan,
        output: str,
        record: OutputRecord | None,
        *,
        overwrite: bool,
    ) -> tuple[Status, tuple[str, ...], str]:
        if clip.blocked is not None:
            return Status.BLOCKED, (clip.blocked.reason,), clip.blocked.remedy
        if _lacks_picture(stage, clip):
            return Status.SKIPPED, ("a sound without a picture",), ""
        if self._is_silent(stage, clip):
            return _silent(clip)
        path = self.folders[stage] / output
        present = path.is_file()
        if overwrite:
            return (Status.STALE, ("asked for again",), "") if present else _MISSING
        if record is None:
            return (Status.STALE, (UNADOPTED,), _ADOPT) if present else _MISSING
        if record.aside and not present:
            present = Path(record.aside).is_file()
            whole = present and not self._differences(stage, clip, record)
            return (Status.ASIDE, ("made before, and set aside",), "") if whole else _MISSING
        if not present:
            return _MISSING
        if not stat_identity(path).same_stat(record.identity):
            return Status.STALE, ("the output was changed after it was written",), ""
        reasons = self._differences(stage, clip, record)
        return (Status.STALE, reasons, "") if reasons else (Status.FRESH, (), "")

    def _differences(self, stage: Stage, clip: ClipPlan, record: OutputRecord) -> tuple[str, ...]:
        try:
            now = self.facts.of(stage, clip)
        except OSError as error:
            # The run will say so of this clip alone, should it still be so then.
            return (f"a file of it cannot be read: {error.strerror}",)
        return differences(record.fingerprint.facts, now.facts)

    def _is_silent(self, stage: Stage, clip: ClipPlan) -> bool:
        if stage not in (Stage.AUDIO_LATENTS, Stage.DECODED_AUDIO):
            return False
        kept = clip.require()
        image = kept.probe.kind == "image"
        return kept.audio is None and (image or self.project.audio.silent == "skip")

    def _orphans(self, wanted: Mapping[Stage, set[str]], items: Sequence[PlanItem]) -> list[Orphan]:
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
            for path in sorted(folder.rglob(f"*{stage.suffix}")):
                name = path.relative_to(folder).as_posix()
                if name in outputs or not path.is_file() or path.name.startswith("."):
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
        return {str(bucket): counts[str(bucket)] for bucket in self.buckets()}

    def _warnings(
        self, clip_set: ClipSet, clips: Sequence[ClipPlan], stages: Sequence[Stage]
    ) -> list[str]:
        warnings = [
            problem.message if problem.row is None else f"row {problem.row + 1}: {problem.message}"
            for problem in clip_set.problems
            if problem.severity == "warning"
        ]
        used = {_bucket(clip) for clip in clips} - {""}
        if len(used) > 1:
            warnings.append(f"{len(used)} buckets are in use: the trainer's batch size must be 1")
        if Stage.AUDIO_LATENTS in stages and self.project.audio.silent == "skip":
            silent = sum(
                clip.kept is not None and self._is_silent(Stage.AUDIO_LATENTS, clip)
                for clip in clips
            )
            if silent:
                warnings.append(
                    f"{plural(silent, 'clip has', 'clips have')} no sound: training on sound "
                    'and picture will drop them (audio.silent = "silence" keeps them)'
                )
        return warnings + self._unrequested(clips, stages)

    def _unrequested(self, clips: Sequence[ClipPlan], stages: Sequence[Stage]) -> list[str]:
        """Warn of outputs in other stages' folders that a trainer may still read."""
        warnings = []
        for stage in Stage:
            if stage in stages or stage.is_decode or not self.ledger.outputs(self.folders[stage]):
                continue
            known = [c for c in clips if stage is Stage.CONDITIONS or _can_have(stage, c)]
            items = self._items(stage, known, overwrite=False)
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


_MISSING: tuple[Status, tuple[str, ...], str] = (Status.MISSING, (), "")


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


def _lacks_picture(stage: Stage, clip: ClipPlan) -> bool:
    if stage in (Stage.CONDITIONS, Stage.AUDIO_LATENTS, Stage.DECODED_AUDIO):
        return False
    return clip.require().bucket is None


def _has_output(item: PlanItem) -> bool:
    return item.status not in (Status.BLOCKED, Status.SKIPPED)


def _can_have(stage: Stage, clip: ClipPlan) -> bool:
    if clip.kept is None:
        return False
    return stage is not Stage.REFERENCE_LATENTS or clip.kept.reference is not None


def _silent(clip: ClipPlan) -> tuple[Status, tuple[str, ...], str]:
    if clip.require().probe.kind == "image":
        return Status.SKIPPED, ("an image has no sound",), ""
    return Status.SKIPPED, ('no sound (audio.silent = "skip")',), ""
