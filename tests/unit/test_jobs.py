"""Jobs from plan to end: nothing twice, nothing stale, no half clips, no stop for one bad clip."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from engine.client import Engine
from engine.errors import ModelError, ProjectError
from engine.events import ModelLoading, Notice
from engine.models.toy import make_toy_models
from engine.precompute.layout import Stage
from engine.precompute.plan_types import Plan, Status
from engine.project import Project, apply_overrides
from engine.worker.take_out import Wanted
from engine.worker.take_out import do as take_out
from tests.jobs import ending, failed, made, outputs, project_of, run, statuses
from tests.small_set import (
    BUCKETS,
    CAPTIONS,
    make_small_set,
    write_clip,
    write_dataset,
)

ENCODE = (Stage.CONDITIONS, Stage.LATENTS, Stage.AUDIO_LATENTS)


@pytest.fixture(scope="session")
def encoded(
    tmp_path_factory: pytest.TempPathFactory, models: tuple[Path, Path], warm: dict[str, str]
) -> Path:
    """Make and encode the small set once; tests work on copies."""
    root = make_small_set(tmp_path_factory.mktemp("set") / "original")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in warm.items():
            patch.setenv(name, value)
        events = run(settings(root, models))
    assert failed(events) == []
    return root


@pytest.fixture
def project(
    tmp_path: Path, encoded: Path, models: tuple[Path, Path], warm_encoder: None
) -> Project:
    root = tmp_path / "project"
    shutil.copytree(encoded, root, copy_function=shutil.copy2)
    return settings(root, models)


def settings(root: Path, models: tuple[Path, Path], **more: object) -> Project:
    return project_of(root, models, video__buckets=BUCKETS, audio__enabled=True, **more)


def plan_of(project: Project) -> Plan:
    return Engine(project).plan()


def work(plan: Plan) -> list[tuple[str, str]]:
    return sorted((i.stage.value, i.clip) for i in plan.items if i.status.is_work)


def edit_rows(project: Project, **captions: str) -> None:
    rows = json.loads(project.dataset_path.read_text())
    for row in rows:
        row["caption"] = captions.get(Path(row["media_path"]).stem, row["caption"])
    project.dataset_path.write_text(json.dumps(rows))


def test_the_first_run_makes_every_output(project: Project) -> None:
    names = {Path(name).with_suffix(".pt").as_posix() for name in CAPTIONS}
    out = project.output_dir
    assert outputs(out / "conditions") == names
    assert outputs(out / "latents") == names
    assert outputs(out / "audio_latents") == names - {"mute.pt"}


def test_a_second_run_encodes_nothing_and_loads_no_model(project: Project) -> None:
    before = {p: p.stat().st_mtime_ns for p in project.output_dir.rglob("*.pt")}
    assert not plan_of(project).has_work
    events = run(project)
    assert made(events) == []
    assert not any(isinstance(event, ModelLoading) for event in events)
    assert ending(events).fresh == 11
    assert {p: p.stat().st_mtime_ns for p in project.output_dir.rglob("*.pt")} == before


def test_an_edited_caption_is_encoded_alone(project: Project) -> None:
    edit_rows(project, square="Something else entirely")
    plan = plan_of(project)
    assert work(plan) == [("conditions", "square.mp4")]
    (item,) = [item for item in plan.items if item.status is Status.STALE]
    assert item.reasons == ("caption edited",)
    before = torch.load(project.output_dir / "conditions/square.pt", weights_only=True)
    assert made(run(project)) == [("conditions", "square.mp4")]
    after = torch.load(project.output_dir / "conditions/square.pt", weights_only=True)
    assert not torch.equal(before["video_prompt_embeds"], after["video_prompt_embeds"])
    assert not plan_of(project).has_work


def test_a_new_trigger_re_encodes_all_conditions_and_no_latents(project: Project) -> None:
    project = apply_overrides(project, {"text.trigger": "TOK"})
    plan = plan_of(project)
    assert work(plan) == sorted(("conditions", name) for name in CAPTIONS)
    assert all("trigger word changed" in i.reasons for i in plan.items if i.status.is_work)
    assert len(made(run(project))) == len(CAPTIONS)


def test_a_changed_bucket_moves_only_the_clips_that_it_concerns(project: Project) -> None:
    project = apply_overrides(project, {"video.buckets": "64x64x9;96x64x9;64x64x17"})
    plan = plan_of(project)
    assert work(plan) == [("audio_latents", "sub/long.mp4"), ("latents", "sub/long.mp4")]
    (reasons,) = {i.reasons for i in plan.items if i.stage is Stage.LATENTS and i.status.is_work}
    assert reasons == ("bucket 64x64x9 → 64x64x17",)
    run(project)
    latents = torch.load(project.output_dir / "latents/sub/long.pt", weights_only=True)
    assert latents["latents"].shape == (128, 3, 2, 2)


def test_touched_media_are_fresh_and_changed_media_are_stale(project: Project) -> None:
    os.utime(project.root / "wide.mp4", ns=(1, 1))
    assert not plan_of(project).has_work
    write_clip(project.root / "wide.mp4", size=(144, 96), count=12, seed=9)
    assert work(plan_of(project)) == [("audio_latents", "wide.mp4"), ("latents", "wide.mp4")]


def test_another_model_makes_its_own_outputs_stale(
    project: Project, tmp_path: Path, models: tuple[Path, Path]
) -> None:
    other = make_toy_models(tmp_path / "other", seed=1)
    plan = plan_of(apply_overrides(project, {"models.checkpoint": other.checkpoint}))
    reasons = {i.stage: i.reasons for i in plan.items if i.status is Status.STALE}
    assert reasons[Stage.LATENTS] == ("another video VAE",)
    assert reasons[Stage.AUDIO_LATENTS] == ("another audio VAE",)
    assert reasons[Stage.CONDITIONS] == ("another text projection in the checkpoint",)
    copied = tmp_path / "same.safetensors"
    shutil.copy(models[0], copied)
    assert not plan_of(apply_overrides(project, {"models.checkpoint": copied})).has_work


def test_a_row_taken_out_leaves_orphans_that_are_moved_and_can_come_back(project: Project) -> None:
    wide = take_out(Wanted(project=project, names=("wide.mp4",)))
    assert (wide.fault, wide.rows) == (None, (0,))
    plan = plan_of(project)
    assert {(o.stage.value, o.path) for o in plan.orphans} == {
        (stage.value, "wide.pt") for stage in ENCODE
    }
    events = run(project)
    assert made(events) == []
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert notice.text.startswith("3 orphans moved to ")
    assert notice.text.count("wide.pt") == 3
    assert "wide.pt" not in outputs(project.output_dir / "latents")
    assert outputs(project.state_dir / "orphans") == {f"{s.value}/wide.pt" for s in ENCODE}

    assert take_out(Wanted(project=project, is_back=True)).rows == (0,)
    assert set(statuses(plan_of(project), Stage.LATENTS).values()) == {Status.FRESH, Status.ASIDE}
    assert made(run(project)) == []
    assert not plan_of(project).has_work
    assert "wide.pt" in outputs(project.output_dir / "latents")


def test_a_file_of_nobody_is_moved_not_deleted(project: Project) -> None:
    (project.output_dir / "latents/old-take.pt").write_bytes(b"precious")
    (project.output_dir / "latents/sub/.long.pt.x1y2z3.part").write_bytes(b"half")
    run(project)
    assert not list(project.output_dir.rglob("*.part"))
    assert (project.state_dir / "orphans/latents/old-take.pt").read_bytes() == b"precious"


def test_in_a_folder_that_the_user_named_only_our_own_files_are_orphans(project: Project) -> None:
    folder = project.root / "mine"
    engine = Engine(project, folders={Stage.LATENTS: folder})

    async def encode() -> list[object]:
        job = engine.foreground(engine.encoding([Stage.LATENTS]))
        return [event async for event in job.events()]

    asyncio.run(encode())
    (folder / "conditions").mkdir()
    (folder / "conditions/wide.pt").write_bytes(b"of another stage")
    rows = json.loads(project.dataset_path.read_text())
    write_dataset(project.root, rows[1:])
    (orphan,) = engine.plan([Stage.LATENTS]).orphans
    assert orphan.path == "wide.pt"


def test_a_clip_that_fails_later_is_kept_from_the_trainer_until_it_is_whole(
    project: Project,
) -> None:
    good = (project.root / "square.mp4").read_bytes()
    stat = (project.root / "square.mp4").stat()
    # Damage that the probe's cache cannot see: same size, same time.
    (project.root / "square.mp4").write_bytes(b"\0" * len(good))
    os.utime(project.root / "square.mp4", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    edit_rows(project, square="A new caption")
    (project.output_dir / "latents/square.pt").unlink()

    events = run(project)
    (failure,) = failed(events)
    assert (failure.stage, failure.clip) == ("latents", "square.mp4")
    assert failure.reason
    assert failure.remedy
    for stage in ENCODE:
        assert "square.pt" not in outputs(project.output_dir / stage.value)
    assert ending(events).failures == (failure,)

    (project.root / "square.mp4").write_bytes(good)
    os.utime(project.root / "square.mp4", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    plan = plan_of(project)
    assert statuses(plan, Stage.CONDITIONS)["square.mp4"] is Status.ASIDE
    assert made(run(project)) == [("latents", "square.mp4")]
    for stage in ENCODE:
        assert "square.pt" in outputs(project.output_dir / stage.value)
    assert not plan_of(project).has_work


def test_unusable_clips_are_blocked_in_every_stage_and_the_rest_goes_on(project: Project) -> None:
    rows = json.loads(project.dataset_path.read_text())
    (project.root / "empty.mp4").write_bytes(b"")
    (project.root / "text.mp4").write_text("not a video")
    write_clip(project.root / "short.mp4", count=5)
    write_clip(project.root / "new.mp4", seed=5)
    for name in ("empty.mp4", "text.mp4", "short.mp4", "gone.mp4", "new.mp4"):
        rows.append({"caption": "x", "media_path": name})
    write_dataset(project.root, rows)
    events = run(project)
    assert made(events) == [(stage, "new.mp4") for stage in sorted(s.value for s in ENCODE)]
    blocked = {failure.clip: failure for failure in ending(events).failures}
    assert set(blocked) == {"empty.mp4", "text.mp4", "short.mp4", "gone.mp4"}
    assert "too short: 5 frames" in blocked["short.mp4"].reason
    assert all(failure.remedy for failure in blocked.values())
    assert outputs(project.output_dir / "conditions").isdisjoint({"empty.pt", "short.pt"})


def test_colliding_rows_are_refused_by_name_or_renamed_on_request(project: Project) -> None:
    rows = json.loads(project.dataset_path.read_text())
    shutil.copy(project.root / "wide.mp4", project.root / "wide.mkv")
    write_dataset(project.root, [*rows, {"caption": "other", "media_path": "wide.mkv"}])
    plan = plan_of(project)
    blocked = {item.clip: item for item in plan.blocked}
    assert set(blocked) == {"wide.mp4", "wide.mkv"}
    assert blocked["wide.mkv"].reasons == ("rows 5 and 1 would both write wide.pt",)
    renamed = apply_overrides(project, {"dataset.on_collision": "rename"})
    assert work(plan_of(renamed)) == sorted((stage.value, "wide.mkv") for stage in ENCODE)


def test_silent_clips_follow_the_policy(project: Project) -> None:
    assert statuses(plan_of(project), Stage.AUDIO_LATENTS)["mute.mp4"] is Status.SKIPPED
    silent = apply_overrides(project, {"audio.silent": "silence"})
    assert made(run(silent)) == [("audio_latents", "mute.mp4")]
    latents = torch.load(project.output_dir / "audio_latents/mute.pt", weights_only=True)
    other = torch.load(project.output_dir / "audio_latents/square.pt", weights_only=True)
    assert latents["latents"].shape == other["latents"].shape
    strict = apply_overrides(project, {"audio.silent": "fail"})
    assert [item.clip for item in plan_of(strict).blocked] == ["mute.mp4"]


def test_outputs_of_another_tool_are_adopted_if_they_hold(project: Project) -> None:
    for file in project.state_dir.glob("journal.db*"):
        file.unlink()
    assert set(statuses(plan_of(project), Stage.LATENTS).values()) == {Status.STALE}
    # One output of another prompt, and one of another shape.
    conditions = project.output_dir / "conditions"
    shutil.copy(conditions / "wide.pt", conditions / "mute.pt")
    shutil.copy(project.output_dir / "latents/wide.pt", project.output_dir / "latents/mute.pt")

    async def adopt() -> list[object]:
        engine = Engine(project)
        return [event async for event in engine.foreground(engine.adopting(sample=2)).events()]

    events = asyncio.run(adopt())
    assert ending(events).adopted == 9  # type: ignore[arg-type]
    refused = {(f.stage, f.clip) for f in failed(events)}  # type: ignore[arg-type]
    assert refused == {("conditions", "mute.mp4"), ("latents", "mute.mp4")}
    assert work(plan_of(project)) == [("conditions", "mute.mp4"), ("latents", "mute.mp4")]


def test_text_alone_needs_no_media(tmp_path: Path, models: tuple[Path, Path]) -> None:
    write_dataset(tmp_path, [{"caption": "a", "media_path": "far/away.mp4"}])
    events = run(settings(tmp_path, models), [Stage.CONDITIONS])
    assert made(events) == [("conditions", "far/away.mp4")]


def test_decoding_gives_media_of_the_same_size_and_length(project: Project) -> None:
    from engine.media.probe import probe

    decoding = apply_overrides(project, {"run.decode": True})
    events = run(decoding)
    assert failed(events) == []
    video = probe(project.output_dir / "decoded_videos/wide.mp4")
    assert (video.width, video.height, video.frames, video.fps) == (96, 64, 9, 24)
    assert (project.output_dir / "decoded_audio/wide.wav").is_file()
    assert made(run(decoding)) == []


def test_a_job_goes_on_when_its_encoder_is_killed(project: Project) -> None:
    import psutil

    from engine.events import ClipStarted

    shutil.rmtree(project.output_dir / "latents")

    async def killing() -> list[object]:
        events, killed = [], False
        async for event in Engine(project).foreground().events():
            events.append(event)
            if isinstance(event, ClipStarted) and not killed:
                killed = True
                for child in psutil.Process().children(recursive=True):
                    child.kill()
        return events

    events = asyncio.run(killing())
    assert failed(events) == []  # type: ignore[arg-type]
    assert len(outputs(project.output_dir / "latents")) == len(CAPTIONS)
    assert not plan_of(project).has_work


def test_a_cancelled_job_goes_on_where_it_stopped(project: Project) -> None:
    from engine.events import ClipDone

    shutil.rmtree(project.output_dir / "latents")

    async def cancelling() -> list[object]:
        job, events = Engine(project).foreground(), []
        async for event in job.events():
            events.append(event)
            if isinstance(event, ClipDone):
                await job.cancel()
        return events

    events = asyncio.run(cancelling())
    end = ending(events)  # type: ignore[arg-type]
    assert end.cancelled
    assert 1 <= end.done < len(CAPTIONS)
    assert len(made(run(project))) == len(CAPTIONS) - end.done
    assert not plan_of(project).has_work


def test_clips_that_share_a_batch_get_the_same_latents(project: Project) -> None:
    names = outputs(project.output_dir / "latents")
    alone = {n: torch.load(project.output_dir / "latents" / n, weights_only=True) for n in names}
    shutil.rmtree(project.output_dir / "latents")
    assert len(made(run(apply_overrides(project, {"run.batch_size": 3})))) == len(CAPTIONS)
    for name in names:
        together = torch.load(project.output_dir / "latents" / name, weights_only=True)
        assert torch.equal(together["latents"], alone[name]["latents"])


def test_a_missing_model_is_told_before_anything_is_touched(project: Project) -> None:
    (project.output_dir / "latents/stray.pt").write_bytes(b"x")
    edit_rows(project, wide="new")
    nameless = apply_overrides(project, {"models.text_encoder": ""})
    with pytest.raises(ProjectError, match="--text-encoder-path"):
        run(nameless)
    assert "stray.pt" in outputs(project.output_dir / "latents")


def test_a_model_that_cannot_be_loaded_stops_the_job_with_its_reason(
    project: Project, tmp_path: Path, models: tuple[Path, Path]
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(models[0].read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        run(apply_overrides(project, {"models.checkpoint": broken}))


def test_a_cancel_does_not_wait_for_models_to_load(project: Project) -> None:
    shutil.rmtree(project.output_dir / "conditions")

    async def cancelling() -> list[object]:
        job, events = Engine(project).foreground(), []
        async for event in job.events():
            events.append(event)
            if isinstance(event, ModelLoading):
                await job.cancel()
        return events

    events = asyncio.run(cancelling())
    end = ending(events)  # type: ignore[arg-type]
    assert end.cancelled
    assert end.done == 0
    assert end.failures == ()
    assert len(made(run(project))) == len(CAPTIONS)
