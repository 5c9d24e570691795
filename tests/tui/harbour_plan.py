"""The plan of the made-up project in `harbour`."""

from __future__ import annotations

from engine.precompute.digest import (
    Digest,
    Estimate,
    Group,
    OrphanGroup,
    Remarks,
    StageDigest,
)
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Status
from tests.tui.fake_worker import GIB
from tests.tui.harbour import bucket_counts, outlooks


def _group(
    clips: int, reason: str, stages: tuple[Stage, ...], *names: str, remedy: str = ""
) -> Group:
    return Group(
        reasons=(reason,), remedy=remedy, stages=stages, clips=names, names=clips, rows=clips
    )


_TEXT, _VIDEO, _SOUND = Stage.CONDITIONS, Stage.LATENTS, Stage.AUDIO_LATENTS
PLAN = Digest(
    clips=624,
    stages=(
        StageDigest(
            stage=_TEXT,
            counts={Status.FRESH: 547, Status.STALE: 14, Status.MISSING: 24, Status.BLOCKED: 39},
            estimate=Estimate(seconds=19, bytes=round(0.3 * GIB)),
        ),
        StageDigest(
            stage=_VIDEO,
            counts={Status.FRESH: 450, Status.MISSING: 135, Status.BLOCKED: 39},
            estimate=Estimate(seconds=216, bytes=round(0.25 * GIB)),
        ),
        StageDigest(
            stage=_SOUND,
            counts={
                Status.FRESH: 390,
                Status.MISSING: 117,
                Status.BLOCKED: 39,
                Status.SKIPPED: 78,
            },
            estimate=Estimate(seconds=31, bytes=4 << 20),
        ),
    ),
    groups={
        Status.STALE: (
            _group(
                14, "caption edited", (_TEXT,), *(f"clips/gulls-{n:02}.mp4" for n in (4, 9, 12))
            ),
        ),
        Status.BLOCKED: (
            _group(
                39,
                "too short: 37 frames, and the shortest bucket has 49",
                (_TEXT, _VIDEO, _SOUND),
                *(f"clips/sail-{n:02}.mp4" for n in (1, 2, 3)),
                remedy="add a shorter bucket",
            ),
        ),
        Status.SKIPPED: (
            _group(78, "no sound", (_SOUND,), *(f"clips/fog-{n:02}.mp4" for n in (1, 2, 3))),
        ),
    },
    orphans=(
        OrphanGroup(
            reason="no clip has this output", paths=("latents/clips/crane-40.pt",), count=1
        ),
    ),
    buckets=bucket_counts(),
    warnings=("3 buckets are in use: the trainer's batch size must be 1",),
    remarks=(
        Remarks(
            text="interlaced: moving edges are combed",
            clips=("clips/market-02.mp4", "clips/market-03.mp4"),
            count=2,
        ),
    ),
    outlooks=outlooks(),
    blocked=39,
    disk_free=212 * GIB,
)
