"""What a plan says: for each clip and stage, whether there is work, and why."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

import msgspec

from engine.precompute.layout import Stage


class Status(StrEnum):
    """How an output stands against what it should be."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
    ASIDE = "aside"  # made before, right, and set aside: it will be put back
    SKIPPED = "skipped"  # the policy says that this clip has none, such as a silent clip
    BLOCKED = "blocked"

    @property
    def is_work(self) -> bool:
        """Whether a run acts on it."""
        return self in (Status.MISSING, Status.STALE, Status.ASIDE)


class PlanItem(msgspec.Struct, frozen=True, kw_only=True):
    """One clip in one stage.

    Attributes:
        row: 0-based row of the dataset.
        output: Path of the output inside the stage's folder.
        reasons: Why it is stale, blocked or skipped; empty for fresh and missing outputs.
        remedy: What the user can do; empty where nothing needs doing.
    """

    stage: Stage
    row: int
    clip: str
    output: str
    status: Status
    reasons: tuple[str, ...] = ()
    remedy: str = ""


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a stage's folder that no clip of the dataset accounts for."""

    stage: Stage
    path: str
    reason: str


class ClipOutline(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip will become, for display.

    Attributes:
        bucket: "WxHxF", or empty when it has none.
        kept: (start, end) of the kept frames in seconds.
        warnings: Facts about its media that the user should know.
    """

    row: int
    clip: str
    media: str
    size: tuple[int, int]
    frames: int
    fps: float
    duration: float
    audio: bool
    bucket: str
    kept: tuple[float, float]
    warnings: tuple[str, ...] = ()


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What memory a kind of clip will take, and how it will be encoded because of that.

    Attributes:
        name: A bucket, or "captions".
        rung: The way that the memory guard would begin with now.
        need: Bytes that it takes on the device, weights included.
        text: All of it in words.
        fits: False where no way fits what is free now.
    """

    stage: Stage
    name: str
    rung: str
    need: int
    text: str
    fits: bool = True


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do, and why.

    Attributes:
        outlooks: What memory it would take; empty where nobody looked.
        buckets: Clips a bucket, every asked-for bucket included.
        warnings: About the dataset as a whole.
    """

    stages: tuple[Stage, ...]
    items: tuple[PlanItem, ...]
    orphans: tuple[Orphan, ...]
    clips: tuple[ClipOutline, ...]
    buckets: dict[str, int]
    warnings: tuple[str, ...]
    outlooks: tuple[Outlook, ...] = ()

    def count(self, stage: Stage) -> Counter[Status]:
        """Return how many clips of a stage have which status."""
        return Counter(item.status for item in self.items if item.stage is stage)

    @property
    def has_work(self) -> bool:
        """Whether a run would change anything."""
        return bool(self.orphans) or any(item.status.is_work for item in self.items)

    @property
    def blocked(self) -> tuple[PlanItem, ...]:
        """One item for each blocked clip, the first of its stages."""
        seen: dict[int, PlanItem] = {}
        for item in self.items:
            if item.status is Status.BLOCKED:
                seen.setdefault(item.row, item)
        return tuple(seen.values())
