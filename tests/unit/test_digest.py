"""A plan in short, and what its work will take."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.client import Engine
from engine.files.identity import FileIdentity
from engine.memory.monitor import HostMemory, MemorySample
from engine.memory.nvml import GpuMemory
from engine.precompute.digest import digest, orphan_groups, reason_groups, step_words
from engine.precompute.estimate import estimates
from engine.precompute.fingerprint import Fingerprint
from engine.precompute.layout import Stage, stage_folders
from engine.precompute.ledger import Ledger, OutputRecord
from engine.precompute.plan_types import ClipOutline, Orphan, Plan, PlanItem, Status
from engine.project import Project, apply_overrides
from engine.worker.journal import Journal, SentStep, StepKey
from engine.worker.spec import JobSpec
from tests.jobs import project_of, run
from tests.small_set import BUCKETS, make_small_set

STAGES = (Stage.CONDITIONS, Stage.LATENTS)
GIB = 1 << 30


def item(
    row: int, stage: Stage = Stage.LATENTS, status: Status = Status.MISSING, *reasons: str
) -> PlanItem:
    return PlanItem(
        stage=stage,
        row=row,
        clip=f"{row}.mp4",
        output=f"{row}.pt",
        status=status,
        reasons=reasons,
        remedy="do it" if reasons else "",
    )


def outline(row: int, bucket: str = "64x64x9", *warnings: str) -> ClipOutline:
    return ClipOutline(
        row=row,
        clip=f"{row}.mp4",
        media="",
        size=(96, 96),
        frames=10,
        fps=24.0,
        duration=0.4,
        audio=False,
        bucket=bucket,
        kept=(0.0, 0.5),
        warnings=warnings,
    )


def plan_of(*items: PlanItem, orphans: tuple[Orphan, ...] = (), clips: int = 0) -> Plan:
    return Plan(
        stages=STAGES,
        items=items,
        orphans=orphans,
        clips=tuple(outline(row, "64x64x9", "late sound") for row in range(clips)),
        buckets={"64x64x9": clips},
        warnings=("w",),
    )


def test_what_is_alike_is_counted_together() -> None:
    plan = plan_of(
        *(item(row, Stage.LATENTS, Status.STALE, "bucket") for row in range(5)),
        *(item(row, Stage.CONDITIONS, Status.STALE, "caption edited") for row in range(9)),
        *(item(row, Stage.CONDITIONS, Status.STALE, "bucket") for row in range(4, 7)),
        item(9, Stage.LATENTS, Status.BLOCKED, "too short"),
        item(9, Stage.CONDITIONS, Status.FRESH),
        orphans=tuple(
            Orphan(stage=Stage.LATENTS, path=f"{n}.pt", reason="no clip") for n in range(5)
        ),
        clips=5,
    )
    short = digest(plan)
    found = [(g.reasons, g.rows, g.names, g.clips, g.stages) for g in short.groups[Status.STALE]]
    assert found == [
        (("caption edited",), 9, 9, ("0.mp4", "1.mp4", "2.mp4"), (Stage.CONDITIONS,)),
        (("bucket",), 7, 7, ("0.mp4", "1.mp4", "2.mp4"), (Stage.LATENTS, Stage.CONDITIONS)),
    ]
    assert [g.reasons for g in short.groups[Status.BLOCKED]] == [("too short",)]
    assert Status.SKIPPED not in short.groups
    assert [(g.reason, g.count, len(g.paths)) for g in short.orphans] == [("no clip", 5, 3)]
    assert [(one.text, one.count, len(one.clips)) for one in short.remarks] == [
        ("late sound", 5, 3)
    ]
    assert (short.clips, short.blocked, short.orphan_count) == (10, 1, 5)
    assert short.count(Status.STALE) == 17
    assert short.stages[1].work == 5
    assert short.has_work


@given(
    st.lists(
        st.builds(
            item,
            st.integers(0, 9),
            st.sampled_from(STAGES),
            st.sampled_from(list(Status)),
            st.sampled_from(["a", "b"]),
        ),
        max_size=40,
    )
)
def test_nothing_is_lost_in_short(items: list[PlanItem]) -> None:
    plan = plan_of(*items)
    short = digest(plan)
    for status in Status:
        assert short.count(status) == sum(one.status is status for one in items)
        rows = {one.row for one in items if one.status is status}
        groups = reason_groups(plan, status)
        assert {name for group in groups for name in group.clips} == {f"{r}.mp4" for r in rows}
    assert short.has_work == plan.has_work
    sizes = [group.rows for group in reason_groups(plan, Status.STALE)]
    assert sizes == sorted(sizes, reverse=True)
    # It travels as JSON.
    assert msgspec.json.decode(msgspec.json.encode(short), type=type(short)) == short


def test_names_are_safe_to_show() -> None:
    orphan = Orphan(stage=Stage.LATENTS, path="a\x1b.pt", reason="r")
    assert orphan_groups(plan_of(orphans=(orphan,)))[0].paths == ("latents/a\\x1b.pt",)


def test_steps_are_told_in_words() -> None:
    plan = plan_of(item(0), item(1, Stage.LATENTS, Status.STALE), item(2, status=Status.ASIDE))
    assert step_words(plan.count(Stage.LATENTS), 2) == [
        "encode 2 outputs",
        "put 1 output back",
        "move 2 orphans away",
    ]
    assert step_words(plan.count(Stage.CONDITIONS), 0) == []


# What it takes


def memory(gpus: int = 0) -> MemorySample:
    return MemorySample(
        time=0.0,
        host=HostMemory(total=GIB, used=0, available=GIB, ours=0),
        gpus=tuple(GpuMemory(index=n, title="G", uuid=str(n)) for n in range(gpus)),
    )


class Past:
    """Outputs that were made before."""

    def __init__(self, project: Project) -> None:
        self.ledger = Ledger(project.state_dir)
        self.journal = Journal(self.ledger.database)
        self.folders = stage_folders(project.output_dir)
        self.job = self.journal.add(JobSpec(kind="encode", project=project))
        self.count = 0

    def made(
        self,
        seconds: float,
        bucket: str = "64x64x9",
        *,
        stage: Stage = Stage.LATENTS,
        device: str = "cpu",
        together: int = 1,
        size: int = 1000,
    ) -> None:
        attempts = []
        for _ in range(together):
            self.count += 1
            key = StepKey(stage, f"old-{self.count}.pt")
            facts = {"bucket": bucket} if bucket else {}
            sent = SentStep(
                key=key, clip="c", row=0, fingerprint=Fingerprint(facts), sent=time.time()
            )
            self.journal.send(self.job, [sent])
            attempts.append(self.journal.start(self.job, key, device=device, rung=""))
            record = OutputRecord(
                fingerprint=Fingerprint(facts), identity=FileIdentity(size=size, mtime_ns=1)
            )
            self.ledger.record(self.folders[stage], key.output, record)
        for attempt in attempts:
            self.journal.settle(attempt, "done", seconds=seconds)
        # The next one begins later.
        self.ledger.database.write("UPDATE attempts SET began = began - 1")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return apply_overrides(
        Project.defaults(tmp_path), {"run.device": "cpu", "video.buckets": "64x64x9"}
    )


def test_time_is_the_usual_one_of_the_bucket_on_such_a_device(project: Project) -> None:
    past = Past(project)
    for seconds in (1.0, 2.0, 9.0):
        past.made(seconds)
    past.made(100.0, device="cuda:0")
    past.made(50.0, "96x64x9")
    plan = plan_of(item(0), item(1, Stage.LATENTS, Status.STALE), item(2, status=Status.FRESH))
    plan = msgspec.structs.replace(plan, clips=(outline(0), outline(1, "32x32x1"), outline(2)))
    found = estimates(project, plan, past.folders, past.ledger, memory())
    assert (found[Stage.LATENTS].seconds, found[Stage.LATENTS].untimed) == (2.0, 1)
    assert (found[Stage.CONDITIONS].seconds, found[Stage.CONDITIONS].untimed) == (0.0, 0)
    on_gpus = apply_overrides(project, {"run.device": "auto"})
    found = estimates(on_gpus, plan, past.folders, past.ledger, memory(gpus=2))
    assert found[Stage.LATENTS].seconds == 50.0
    named = apply_overrides(project, {"run.device": "cuda:1"})
    found = estimates(named, plan, past.folders, past.ledger, memory(gpus=2))
    assert found[Stage.LATENTS].seconds == 100.0
    past.ledger.close()


def test_what_is_encoded_together_shares_the_time(project: Project) -> None:
    past = Past(project)
    past.made(8.0, "", stage=Stage.CONDITIONS, together=8)
    plan = plan_of(*(item(row, Stage.CONDITIONS) for row in range(16)), clips=16)
    found = estimates(project, plan, past.folders, past.ledger, memory())
    assert found[Stage.CONDITIONS].seconds == pytest.approx(16.0)
    past.ledger.close()


def test_size_is_known_from_the_shape_or_from_outputs_that_are_there(
    project: Project,
) -> None:
    past = Past(project)
    plan = plan_of(item(0), item(0, Stage.CONDITIONS), clips=1)
    found = estimates(project, plan, past.folders, past.ledger, memory())
    # 128 channels of 2 x 2 x 2 cells, two bytes each, and what is around them.
    assert found[Stage.LATENTS].bytes == pytest.approx(128 * 8 * 2, abs=2_000)
    assert (found[Stage.CONDITIONS].bytes, found[Stage.CONDITIONS].unsized) == (0, 1)
    past.made(1.0, "", stage=Stage.CONDITIONS, size=70_000)
    found = estimates(project, plan, past.folders, past.ledger, memory())
    assert (found[Stage.CONDITIONS].bytes, found[Stage.CONDITIONS].unsized) == (70_000, 0)
    past.ledger.close()


@pytest.mark.usefixtures("warm_encoder")
def test_sizes_are_those_of_the_files_that_a_run_writes(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    root = make_small_set(tmp_path)
    project = project_of(root, models, video__buckets=BUCKETS, audio__enabled=True)
    stages = [Stage.CONDITIONS, Stage.LATENTS, Stage.AUDIO_LATENTS]
    engine = Engine(project)
    with Ledger(project.state_dir) as ledger:
        plan = engine.plan(stages)
        before = estimates(project, plan, engine.folders, ledger, memory())
    run(project, stages)
    for stage in stages:
        written = sum(path.stat().st_size for path in engine.folders[stage].rglob("*.pt"))
        assert before[stage].unsized == 0
        assert before[stage].bytes == pytest.approx(written, rel=0.35), stage
    with Ledger(project.state_dir) as ledger:
        again = engine.plan(stages, overwrite=True)
        after = estimates(project, again, engine.folders, ledger, memory())
    for stage in stages:
        assert after[stage].untimed == 0
        assert after[stage].seconds > 0
