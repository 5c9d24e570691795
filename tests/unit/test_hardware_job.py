"""Hardware decoding in a stage and in whole jobs: the same outputs, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.client import Engine
from engine.events import Notice
from engine.media.hardware_decoder import why_unusable
from engine.media.probe import probe
from engine.precompute.layout import Stage
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import StageSetup, VideoStep, Window
from engine.project import apply_overrides
from tests.hardware import Hardware, moving, off_by_one
from tests.jobs import failed, made, project_of, run
from tests.media_clips import make_video
from tests.small_set import CAPTIONS, make_small_set, write_clip
from tests.stage_guards import Told, nobody

STAGES = (Stage.LATENTS, Stage.REFERENCE_LATENTS)


def step_of(path: Path) -> VideoStep:
    return VideoStep(
        id=0,
        clip="a.mp4",
        row=0,
        output="unused",
        media=str(path),
        probe=probe(path),
        window=Window(start=0.5, frames=17, fps=(24, 1), resample=False),
        size=(96, 64),
        reshape="random",
        seed=1,
        crop_key="a.mp4",
        hdr="refuse",
    )


def test_a_stage_reads_the_same_clip_by_way_of_hardware(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of(make_video(tmp_path / "a.mp4", moving(60)))
    setup = StageSetup(stage=Stage.LATENTS, checkpoint=str(models[0]), device="cpu")
    wanted = VideoStage(setup, nobody).prepare(step)
    for change, remarks in ((lambda frame, _: frame, 0), (off_by_one(9), 1)):
        hardware, told = Hardware(change), Told()
        asked: list[tuple[str, int | None]] = []

        def decoder_of(name: str, index: int | None, hardware=hardware, asked=asked):
            asked.append((name, index))
            return hardware.decoder

        monkeypatch.setattr("engine.precompute.stages.video.decoder_of", decoder_of)
        by_hardware = StageSetup(
            stage=Stage.LATENTS,
            checkpoint=str(models[0]),
            device="cpu",
            hardware_decoding="cuda",
        )
        stage = VideoStage(by_hardware, nobody, report=told)
        for _ in range(2):
            assert torch.equal(stage.prepare(step), wanted)
        assert asked == [("cuda", None)]
        assert hardware.given > 0
        assert len(told.remarks) == remarks


@pytest.mark.skipif(not why_unusable("cuda", None), reason="there is a GPU here that decodes")
def test_a_job_without_the_hardware_says_so_once_and_makes_the_same(
    tmp_path: Path, models: tuple[Path, Path], warm_encoder: None
) -> None:
    root = make_small_set(tmp_path / "set")
    for name in CAPTIONS:  # longer ones, as hardware is not asked about a few frames
        write_clip(root / name, count=30)
    rows = json.loads((root / "dataset.json").read_text())
    rows = [row | {"reference_path": row["media_path"]} for row in rows]
    (root / "dataset.json").write_text(json.dumps(rows))
    more = {"video__buckets": "64x64x9", "dataset__reference_column": "reference_path"}
    reference = project_of(root, models, **more)
    assert failed(run(reference, STAGES)) == []
    out = reference.output_dir
    before = {path: torch.load(path, weights_only=True)["latents"] for path in out.rglob("*.pt")}
    assert len(before) == 2 * len(CAPTIONS)

    project = apply_overrides(reference, {"run.hardware_decoding": "cuda"})
    assert made(run(project, STAGES)) == []  # it changes no output
    assert {i.status for i in Engine(project).plan().items if i.stage in STAGES} == {"fresh"}
    for path in before:
        path.unlink()
    events = run(project, STAGES)
    assert len(made(events)) == 2 * len(CAPTIONS)
    assert failed(events) == []
    (text,) = [event.text for event in events if isinstance(event, Notice)]
    assert text.startswith("no hardware decoding, clips are decoded in software: ")
    assert "cuda" in text
    for path, latents in before.items():
        assert torch.equal(torch.load(path, weights_only=True)["latents"], latents)
