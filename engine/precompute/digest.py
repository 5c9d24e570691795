"""A plan in short: what is alike counted together, so that it fits a screen whatever its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from engine.precompute.layout import Stage
from engine.precompute.plan_types import Outlook, Plan, PlanItem, Status
from engine.text import plural, visible

# Names of clips that a digest keeps of each group.
_NAMES = 3


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs that stand as they do for the same reasons.

    Attributes:
        stages: In the order of the plan.
        clips: Names, safe to show, each once, in the order of the dataset; perhaps the first few.
        names: How many names there are.
        rows: How many rows of the dataset it is about.
    """

    reasons: tuple[str, ...]
    remedy: str
    stages: tuple[Stage, ...]
    clips: tuple[str, ...]
    names: int
    rows: int


class OrphanGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Files that no clip accounts for, for the same reason; `paths` perhaps only the first."""

    reason: str
    paths: tuple[str, ...]
    count: int


class Remarks(msgspec.Struct, frozen=True, kw_only=True):
    """The same warning about several clips; `clips` perhaps only the first."""

    text: str
    clips: tuple[str, ...]
    count: int


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the work of a stage will take, as far as that can be told.

    Attributes:
        seconds: Of the outputs like which some were made before, on such a device.
        untimed: How many others there are to make.
        bytes: On the disk, of the outputs whose size is known beforehand.
        unsized: How many others there are to make.
    """

    seconds: float = 0.0
    untimed: int = 0
    bytes: int = 0
    unsized: int = 0


class StageDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A stage: clips by status, and what its work will take."""

    stage: Stage
    counts: dict[Status, int]
    estimate: Estimate = Estimate()

    def count(self, *statuses: Status) -> int:
        """Return how many clips have one of these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses)

    @property
    def work(self) -> int:
        """Outputs to encode."""
        return self.count(Status.MISSING, Status.STALE)


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to show of a plan.

    Attributes:
        clips: How many rows it is about.
        groups: Why clips are stale, blocked, skipped, the commonest reason first.
        buckets: Clips a bucket.
        warnings: About the dataset as a whole.
        remarks: About clips.
        blocked: Clips that are blocked in some stage.
        disk_free: Bytes that are free where the outputs go; 0 where that is not known.
    """

    clips: int
    stages: tuple[StageDigest, ...]
    groups: dict[Status, tuple[Group, ...]] = {}
    orphans: tuple[OrphanGroup, ...] = ()
    buckets: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    remarks: tuple[Remarks, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    blocked: int = 0
    disk_free: int = 0

    def count(self, *statuses: Status) -> int:
        """Return how many outputs have one of these statuses."""
        return sum(stage.count(*statuses) for stage in self.stages)

    @property
    def orphan_count(self) -> int:
        """Files that a run would move away."""
        return sum(group.count for group in self.orphans)

    @property
    def has_work(self) -> bool:
        """Whether a run would change anything."""
        return bool(self.orphans) or any(
            count
            for stage in self.stages
            for status, count in stage.counts.items()
            if status.is_work
        )


def digest(plan: Plan, estimates: dict[Stage, Estimate] | None = None) -> Digest:
    """Return a plan in short.

    Args:
        plan: All of it.
        estimates: What the work of its stages will take.
    """
    known = estimates or {}
    return Digest(
        clips=len({item.row for item in plan.items}),
        stages=tuple(
            StageDigest(
                stage=stage,
                counts=dict(plan.count(stage)),
                estimate=known.get(stage, Estimate()),
            )
            for stage in plan.stages
        ),
        groups={
            status: tuple(
                msgspec.structs.replace(group, clips=group.clips[:_NAMES]) for group in found
            )
            for status in (Status.STALE, Status.BLOCKED, Status.SKIPPED)
            if (found := reason_groups(plan, status))
        },
        orphans=tuple(
            msgspec.structs.replace(group, paths=group.paths[:_NAMES])
            for group in orphan_groups(plan)
        ),
        buckets=plan.buckets,
        warnings=plan.warnings,
        remarks=tuple(
            msgspec.structs.replace(one, clips=one.clips[:_NAMES]) for one in clip_remarks(plan)
        ),
        outlooks=plan.outlooks,
        blocked=len(plan.blocked),
    )


def reason_groups(plan: Plan, status: Status) -> list[Group]:
    """Return the outputs of a status by their reasons and remedy, the most rows first."""
    groups: dict[tuple[tuple[str, ...], str], list[PlanItem]] = {}
    for item in plan.items:
        if item.status is status:
            groups.setdefault((item.reasons, item.remedy), []).append(item)
    found = [_group(reasons, remedy, items) for (reasons, remedy), items in groups.items()]
    return sorted(found, key=lambda group: -group.rows)


def _group(reasons: tuple[str, ...], remedy: str, items: Sequence[PlanItem]) -> Group:
    names = tuple(dict.fromkeys(visible(item.clip) for item in items))
    return Group(
        reasons=reasons,
        remedy=remedy,
        stages=tuple(dict.fromkeys(item.stage for item in items)),
        clips=names,
        names=len(names),
        rows=len({item.row for item in items}),
    )


def orphan_groups(plan: Plan) -> list[OrphanGroup]:
    """Return the orphans by their reason."""
    groups: dict[str, list[str]] = {}
    for orphan in plan.orphans:
        groups.setdefault(orphan.reason, []).append(f"{orphan.stage.value}/{visible(orphan.path)}")
    return [
        OrphanGroup(reason=reason, paths=tuple(paths), count=len(paths))
        for reason, paths in groups.items()
    ]


def clip_remarks(plan: Plan) -> list[Remarks]:
    """Return the warnings about clips, the same words counted together."""
    about: dict[str, list[str]] = {}
    for clip in plan.clips:
        for warning in clip.warnings:
            about.setdefault(warning, []).append(visible(clip.clip))
    return [
        Remarks(text=text, clips=tuple(names), count=len(names)) for text, names in about.items()
    ]


def step_words(counts: Counter[Status], orphans: int) -> list[str]:
    """Return what a run would do, such as "encode 3 outputs" and "move 2 orphans away"."""
    encode = counts[Status.MISSING] + counts[Status.STALE]
    parts = [f"encode {plural(encode, 'output')}"] if encode else []
    if counts[Status.ASIDE]:
        parts.append(f"put {plural(counts[Status.ASIDE], 'output')} back")
    if orphans:
        parts.append(f"move {plural(orphans, 'orphan')} away")
    return parts
