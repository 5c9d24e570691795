"""What a plan says of memory, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.client import Engine
from engine.memory.monitor import HostMemory, MemorySample
from engine.memory.nvml import GpuMemory
from engine.memory.peaks import Peak
from engine.precompute.layout import Stage
from engine.precompute.outlook import outlook
from engine.precompute.plan_types import Outlook, Plan
from engine.project import Project, apply_overrides
from tests.jobs import project_of

MIB = 1 << 20
GIB = 1 << 30
BUCKET = "512x512x121"


@pytest.fixture
def project(tmp_path: Path, models: tuple[Path, Path]) -> Project:
    return project_of(
        tmp_path, models, run__device="auto", video__buckets=BUCKET, memory__reserve=0.0
    )


def sample(free: int, *, gpu: bool = True) -> MemorySample:
    host = HostMemory(total=64 * GIB, used=0, available=64 * GIB if gpu else free, ours=0)
    card = GpuMemory(
        index=0,
        title="Fake 9000",
        uuid="0",
        total=8 * GIB,
        used=8 * GIB - free,
        ours=None,
        utilisation=None,
        temperature=None,
        power=None,
    )
    return MemorySample(time=0.0, host=host, gpus=(card,) if gpu else ())


def plan(**more: object) -> Plan:
    whole = Plan(
        stages=(Stage.CONDITIONS, Stage.LATENTS),
        items=(),
        orphans=(),
        clips=(),
        buckets={BUCKET: 3, "32x32x1": 0},
        warnings=(),
    )
    return msgspec.structs.replace(whole, **more)


def look(
    project: Project, memory: MemorySample, peaks: tuple[Peak, ...] = (), **more: object
) -> dict[str, Outlook]:
    found = outlook(project, plan(**more), memory, lambda _title, _stage: peaks)
    return {one.name: one for one in found}


def test_with_room_a_bucket_is_encoded_at_once(project: Project) -> None:
    found = look(project, sample(6 * GIB))
    assert set(found) == {"captions", BUCKET}
    assert found[BUCKET].rung == "one-shot"
    assert found[BUCKET].fits
    assert found[BUCKET].text.endswith("6.0 of 8.0 GiB free")
    assert found["captions"].rung == "batch 8"


def test_rungs_follow_one_another_as_memory_shrinks(project: Project) -> None:
    whole = look(project, sample(6 * GIB))[BUCKET].need
    rungs, free = [], whole
    while free > MIB:
        one = look(project, sample(free))[BUCKET]
        if one.fits and one.rung not in rungs:
            rungs.append(one.rung)
        free = int(free * 0.93)
    assert rungs == ["one-shot", "stream 24", "stream 16", "stream 8", "lean 8", "offload 8"]


def test_it_says_what_one_shot_would_take_and_what_will_be_done_instead(project: Project) -> None:
    whole = look(project, sample(6 * GIB))[BUCKET].need
    one = look(project, sample(whole - MIB))[BUCKET]
    assert one.text.startswith("one-shot ")
    assert ", will stream in chunks of 24: " in one.text
    assert one.need < whole


def test_what_fits_in_no_way_is_said(project: Project) -> None:
    one = look(project, sample(MIB))[BUCKET]
    assert not one.fits
    assert "more than the 1.0 MiB of 8.0 GiB free; waits for memory" in one.text
    on_cpu = look(project, sample(2 * GIB + MIB, gpu=False))[BUCKET]
    assert not on_cpu.fits
    assert "waits" not in on_cpu.text


def test_measured_peaks_and_limits_count(project: Project) -> None:
    before = look(project, sample(6 * GIB))[BUCKET]
    measured = Peak(shape=BUCKET, rung="one-shot", bytes=7 * GIB)
    after = look(project, sample(6 * GIB), (measured,))[BUCKET]
    assert before.rung == "one-shot"
    assert after.rung == "stream 24"
    limited = apply_overrides(project, {"memory.limit": before.need / GIB / 2})
    assert look(limited, sample(6 * GIB))[BUCKET].rung != "one-shot"
    reserved = apply_overrides(project, {"memory.reserve": (6 * GIB - before.need) / GIB + 0.01})
    assert look(reserved, sample(6 * GIB))[BUCKET].rung != "one-shot"


def test_tiles_are_named_as_what_they_are(project: Project) -> None:
    tiled = apply_overrides(project, {"video.vae_tiling": True})
    assert look(tiled, sample(GIB))[BUCKET].text == "feathered tiles (approximate)"


def test_without_models_or_memory_figures_nothing_is_said(project: Project) -> None:
    nameless = apply_overrides(project, {"models.checkpoint": "", "models.text_encoder": ""})
    assert look(nameless, sample(GIB)) == {}
    missing = apply_overrides(project, {"models.checkpoint": "/nowhere.safetensors"})
    assert look(missing, sample(GIB)) == {}
    unknown = msgspec.structs.replace(
        sample(GIB), gpus=(msgspec.structs.replace(sample(GIB).gpus[0], total=None, used=None),)
    )
    assert look(project, unknown) == {}


def test_a_plan_of_the_engine_has_it(tmp_path: Path, models: tuple[Path, Path]) -> None:
    from tests.small_set import BUCKETS, make_small_set

    project = project_of(make_small_set(tmp_path), models, video__buckets=BUCKETS)
    found = {one.name: one for one in Engine(project).plan().outlooks}
    assert set(found) == {"captions", *BUCKETS.split(";")}
    assert all(one.need > 0 for one in found.values())
