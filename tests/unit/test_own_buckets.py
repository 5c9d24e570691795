"""Buckets that project.toml gives single clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from engine.client import Engine
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan, PlanItem, Status
from engine.precompute.survey import unused_choices
from engine.project import Project
from tests.jobs import project_of, run
from tests.small_set import BUCKETS, CAPTIONS, make_small_set


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_set(tmp_path_factory.mktemp("own"))


def with_clips(
    root: Path, models: tuple[Path, Path], clips: Mapping[str, str], **more: object
) -> Project:
    project = project_of(root, models, video__buckets=BUCKETS, **more)
    return msgspec.structs.replace(project, clips=dict(clips))


def latents(project: Project) -> tuple[Plan, dict[str, PlanItem]]:
    plan = Engine(project).plan([Stage.LATENTS])
    return plan, {item.clip: item for item in plan.items}


def test_a_clip_gets_its_own_bucket_and_the_others_the_nearest(
    root: Path, models: tuple[Path, Path]
) -> None:
    own = {"square.mp4": "64x32x9", "sub/long.mp4": " 32X32×17 "}
    plan, items = latents(with_clips(root, models, own))
    assert {one.clip: one.bucket for one in plan.clips} == {
        "wide.mp4": "96x64x9",
        "square.mp4": "64x32x9",
        "sub/long.mp4": "32x32x17",
        "mute.mp4": "64x64x9",
    }
    assert {item.status for item in items.values()} == {Status.MISSING}
    # Those of single clips are counted, and foreseen, behind the others.
    assert plan.buckets == {"64x64x9": 1, "96x64x9": 1, "32x32x17": 1, "64x32x9": 1}
    assert [one.name for one in plan.outlooks if one.stage is Stage.LATENTS] == list(plan.buckets)
    gone = with_clips(root, models, {"gone.mp4": "64x64x9"})
    assert any("names no clip of the dataset: gone.mp4" in w for w in latents(gone)[0].warnings)


@pytest.mark.usefixtures("warm_encoder")
def test_another_bucket_makes_the_output_stale_and_the_plan_says_so(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    root = make_small_set(tmp_path)
    run(with_clips(root, models, {}), [Stage.LATENTS])
    project = with_clips(root, models, {"square.mp4": "64x32x9"})
    _, items = latents(project)
    stale = {name: item for name, item in items.items() if item.status is not Status.FRESH}
    assert list(stale) == ["square.mp4"]
    assert "bucket" in stale["square.mp4"].reasons[0]
    run(project, [Stage.LATENTS])
    assert {item.status for item in latents(project)[1].values()} == {Status.FRESH}


@pytest.mark.parametrize(
    ("own", "more", "words"),
    [
        ("64x64x17", {}, ("10 frames", "own bucket is 64x64x17", "at most 9 frames")),
        ("60x64x9", {}, ("width 60 is not a multiple of 32", "32x64x9 or 64x64x9")),
        ("64x64x8", {}, ("8 frames are not a multiple of 8 plus 1", "64x64x9")),
        ("", {}, ("is no bucket", "960x544x49")),
        ("wide", {}, ("'wide' is no bucket", "960x544x49")),
    ],
)
def test_a_bucket_that_cannot_be_blocks_that_clip_alone(
    root: Path,
    models: tuple[Path, Path],
    own: str,
    more: dict[str, object],
    words: tuple[str, ...],
) -> None:
    _, items = latents(with_clips(root, models, {"square.mp4": own}, **more))
    blocked = items.pop("square.mp4")
    assert blocked.status is Status.BLOCKED
    told = " ".join([*blocked.reasons, blocked.remedy])
    assert all(one in told for one in words), told
    assert {item.status for item in items.values()} == {Status.MISSING}


@pytest.mark.parametrize(
    ("own", "reference", "words"),
    [
        ("64x64x9", {"downscale": 2}, ("downscale factor of 2", "take its line out")),
        ("96x64x9", {"temporal_scale": 2}, ("slowed by 2", "16·k + 1")),
    ],
)
def test_a_bucket_of_its_own_suits_the_references(
    root: Path,
    models: tuple[Path, Path],
    own: str,
    reference: dict[str, int],
    words: tuple[str, ...],
) -> None:
    more = {f"reference__{name}": value for name, value in reference.items()}
    project = with_clips(root, models, {"wide.mp4": own})
    project = msgspec.structs.replace(
        project_of(
            root,
            models,
            video__buckets="64x128x1" if "temporal_scale" in reference else "128x128x9",
            dataset__reference_column="media_path",
            **more,
        ),
        clips=project.clips,
    )
    plan = Engine(project).plan([Stage.LATENTS])
    item = next(one for one in plan.items if one.clip == "wide.mp4")
    told = " ".join([*item.reasons, item.remedy])
    assert item.status is Status.BLOCKED
    assert all(one in told for one in words), told


def test_a_bucket_for_a_clip_that_is_not_there_is_told(
    root: Path, models: tuple[Path, Path]
) -> None:
    from engine.dataset.clips import load_clips
    from engine.dataset.columns import resolve_columns
    from engine.dataset.manifest import load_manifest

    manifest = load_manifest(root / "dataset.json")
    clips = load_clips(manifest, resolve_columns(manifest)).clips
    project = with_clips(root, models, {"gone.mp4": "64x64x9", "wide.mp4": "64x64x9"})
    assert unused_choices(project, clips) == [
        "[clips] of project.toml names no clip of the dataset: gone.mp4"
    ]
    assert unused_choices(with_clips(root, models, dict.fromkeys(CAPTIONS, "64x64x9")), clips) == []
