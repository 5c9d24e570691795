"""Video under a memory budget: every rung is reached, and all give the same latents."""

from __future__ import annotations

import pytest
import torch

from engine.errors import EnvironmentFaultError
from engine.media.cores import SCALERS
from engine.memory.forecast import VideoShape, video_peak, video_weights
from engine.memory.peaks import Peak
from engine.memory.rungs import on_cpu, video_ladder
from engine.memory.ways import CancelledError, MemoryShortError
from engine.models.checkpoint import Checkpoint
from engine.models.video_config import encoder_config
from engine.precompute.layout import Stage
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import (
    StageSetup,
    VideoStep,
    Window,
)
from tests.stage_guards import PROBE, Gpu, Models, Told, go_on, nobody, same
from tests.video_models import random_clip

WIDTH, HEIGHT, FRAMES = 64, 32, 49
SHAPE = VideoShape(WIDTH, HEIGHT, FRAMES)


def clips(count: int = 1) -> list[torch.Tensor]:
    return [
        random_clip(3, FRAMES, HEIGHT, WIDTH, dtype=torch.bfloat16, seed=seed)
        for seed in range(1, 1 + count)
    ]


def video_steps(count: int = 1, frames: int = FRAMES) -> list[VideoStep]:
    return [
        VideoStep(
            id=number,
            clip=f"{number}.mp4",
            row=number,
            output="unused",
            media="unused",
            probe=PROBE,
            window=Window(start=0.0, frames=frames, fps=(24, 1), resample=False),
            size=(WIDTH, HEIGHT),
            reshape="center",
            seed=0,
            crop_key="",
            hdr="refuse",
        )
        for number in range(count)
    ]


def video_setup(models: Models, **more: object) -> StageSetup:
    settings = {"device": "cpu", "batch_size": 4} | more
    return StageSetup(stage=Stage.LATENTS, checkpoint=str(models[0]), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checkpoint(models: Models) -> Checkpoint:
    return Checkpoint.open(models[0])


@pytest.fixture(scope="module")
def weights(checkpoint: Checkpoint) -> int:
    return video_weights(checkpoint, 2)


@pytest.fixture(scope="module")
def needs(checkpoint: Checkpoint) -> dict[str, int]:
    """The forecast of each rung, for three clips at hand."""
    config = encoder_config(checkpoint.section("vae"), checkpoint.path)
    ladder = video_ladder(FRAMES, batch=3)
    return {rung.name: video_peak(config, SHAPE, rung, 2) for rung in ladder}


@pytest.fixture(scope="module")
def one_shot(models: Models) -> list[torch.Tensor]:
    """The latents of three clips, each encoded at once and without any limit."""
    encoder = VideoStage(video_setup(models), nobody).model
    return [encoder.encode(clip[None])[0] for clip in clips(3)]


RUNGS = [rung.name for rung in video_ladder(FRAMES, batch=3)]


@pytest.mark.parametrize("rung", RUNGS)
def test_the_forecast_picks_each_rung_and_all_give_the_same_latents(
    rung: str,
    models: Models,
    weights: int,
    needs: dict[str, int],
    one_shot: list[torch.Tensor],
) -> None:
    told = Told()
    stage = VideoStage(video_setup(models, limit=weights + needs[rung]), nobody, report=told)
    stage.open()
    made = stage.make(video_steps(3), clips(3), go_on)
    assert same(made, one_shot)
    assert (made[0].rung, made[0].detail) == (rung, rung)
    # The clip itself is not on the CPU's account, so it takes a little less.
    assert all(0.7 * needs[rung] <= one.peak <= needs[rung] for one in made if one.rung == rung)
    learned = {(peak.shape, peak.rung): peak for peak in stage.take_learned()}
    assert learned[str(SHAPE), rung].bytes == made[0].peak
    assert all(peak.fits for peak in learned.values())
    assert [line[1] for line in told.lines[:1]] == ([] if rung == "batch 3" else [rung])


@pytest.mark.parametrize("rung", RUNGS)
def test_running_out_of_memory_reaches_each_rung_too(
    rung: str,
    models: Models,
    weights: int,
    needs: dict[str, int],
    one_shot: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a forecast that is far too low, it is torch's own error that leads down the ladder."""
    monkeypatch.setattr("engine.memory.calibration.video_peak", lambda *_: 1)
    told = Told()
    stage = VideoStage(video_setup(models, limit=weights + needs[rung]), nobody, report=told)
    stage.open()
    made = stage.make(video_steps(3), clips(3), go_on)
    assert same(made, one_shot)
    assert made[0].rung == rung
    above = RUNGS[: RUNGS.index(rung)]
    failed = [peak.rung for peak in stage.take_learned() if not peak.fits]
    assert failed[: len(above)] == above
    reasons = [text.partition("(")[2] for _, _, text in told.lines]
    assert reasons[: len(above)] == [
        f"{name} ran out of memory, {needs[rung] / (1 << 20):.1f} MiB were free)" for name in above
    ]
    # The next clip of that shape begins where this one ended.
    again = stage.make(video_steps(3), clips(3), go_on)
    assert same(again, one_shot)
    assert again[0].rung == rung
    assert not [peak for peak in stage.take_learned() if not peak.fits]


def test_out_of_memory_in_the_middle_of_a_batch_costs_no_clip(
    models: Models, one_shot: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others take the memory while the second clip of three is encoded; it comes back later."""
    stage = VideoStage(video_setup(models), nobody)
    stage.open()
    encode, calls = stage.model.encode, []

    def sometimes(pixels: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(pixels.shape[0])
        if len(calls) <= 2 or calls == [3, 2, 1, 2]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return encode(pixels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.model, "encode", sometimes)
    made = stage.make(video_steps(3), clips(3), go_on)
    assert same(made, one_shot)
    assert calls[:3] == [3, 2, 1]
    assert [one.rung for one in made] == ["one-shot"] * 3


def test_what_failed_before_the_encoder_died_is_known_again(
    models: Models, one_shot: list[torch.Tensor]
) -> None:
    failed = [Peak(shape=str(SHAPE), rung=name, bytes=1 << 50, fits=False) for name in RUNGS[:4]]
    stage = VideoStage(video_setup(models), nobody, peaks=failed)
    assert stage.begins_with(video_steps(3)) == RUNGS[4]
    made = stage.make(video_steps(3), clips(3), go_on)
    assert (made[0].rung, same(made, one_shot)) == (RUNGS[4], True)


def test_a_step_that_an_encoder_died_on_begins_lower(
    models: Models, one_shot: list[torch.Tensor]
) -> None:
    stage = VideoStage(video_setup(models), nobody)
    stage.open()
    assert stage.begins_with(video_steps()) == "one-shot"
    assert stage.begins_with(video_steps(), 1) == "stream 24"
    made = stage.make(video_steps(), clips(), go_on, 2)
    assert (made[0].rung, same(made, one_shot[:1])) == ("stream 16", True)


def test_a_chunk_that_is_asked_for_is_the_longest(models: Models) -> None:
    def first(chunk: int, frames: int = FRAMES) -> str:
        stage = VideoStage(video_setup(models, chunk=chunk), nobody)
        return stage.begins_with(video_steps(1, frames))

    assert first(16) == "stream 16"
    assert first(32) == "stream 32"
    # One as long as the clip is no chunk.
    assert first(48) == "one-shot"
    assert first(16, frames=9) == "one-shot"


def test_the_cpu_takes_what_fits_the_device_in_no_way(
    models: Models, weights: int, one_shot: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, told = Gpu(monkeypatch, VideoStage, weights + 1000), Told()
    stage = VideoStage(video_setup(models), gpu.load, report=told)
    stage.open()
    assert gpu.loaded == ["video VAE encoder"]
    assert stage.begins_with(video_steps(3)) == "one-shot on CPU"
    made = stage.make(video_steps(3), clips(3), go_on)
    assert same(made, one_shot)
    fastest = on_cpu(video_ladder(FRAMES))[0].name
    assert [one.rung for one in made] == [fastest] * 3
    # A second encoder, loaded once and kept.
    assert gpu.loaded == ["video VAE encoder"] * 2
    assert told.lines[0][1] == "one-shot on CPU"
    assert "offload 8 needs 0.5 MiB, 0.0 MiB free" in told.lines[0][2]
    stage.close()
    assert all(home.model is None for home in stage.homes)


def test_models_that_do_not_fit_the_device_go_to_the_cpu(
    models: Models, weights: int, one_shot: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, told = Gpu(monkeypatch, VideoStage, weights - 1), Told()
    stage = VideoStage(video_setup(models), gpu.load, report=told)
    stage.open()
    made = stage.make(video_steps(), clips(), go_on)
    assert (made[0].rung, same(made, one_shot[:1])) == ("one-shot on CPU", True)
    assert [(step, rung) for step, rung, _ in told.lines] == [(-1, "on CPU")]
    assert all(peak.fits for peak in stage.take_learned())


def test_running_out_of_memory_while_loading_goes_to_the_cpu_too(
    models: Models, weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(monkeypatch, VideoStage, weights - 1)
    monkeypatch.setattr("engine.precompute.stages.video.video_weights", lambda *_: 0)
    stage = VideoStage(video_setup(models), gpu.load)
    stage.open()
    assert gpu.loaded == ["video VAE encoder"] * 2
    assert [home.spare for home in stage.homes] == [True]
    assert stage.take_learned() == ()


def test_a_clip_that_fits_nowhere_fails_with_the_figures(
    models: Models, weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.precompute.stages.video.video_weights", lambda *_: 0)
    stage = VideoStage(video_setup(models, limit=weights - 1), nobody)
    with pytest.raises(MemoryShortError, match="needs at least"):
        stage.open()
    stage = VideoStage(video_setup(models, limit=weights + 1000), nobody)
    with pytest.raises(MemoryShortError, match=r"at least 0\.5 MiB in any way, 0\.0 of 5\.4 MiB"):
        stage.make(video_steps(), clips(), go_on)
    assert issubclass(MemoryShortError, EnvironmentFaultError)


def test_a_cancel_ends_a_stream_between_two_chunks(models: Models) -> None:
    answers = iter([False, False, False, True])
    stage = VideoStage(video_setup(models, chunk=8), nobody)
    with pytest.raises(CancelledError):
        stage.make(video_steps(), clips(), lambda: next(answers))


def test_the_peak_is_learned_after_the_second_chunk(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = VideoStage(video_setup(models, chunk=8), nobody)
    stage.open()
    known: list[int] = []
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        known.append(len(stage.guard.take_learned()))
        return False

    stage.make(video_steps(), clips(), cancelled)
    # Asked before the clip and before each chunk; learned when the third one is moved.
    assert known == [0, 0, 0, 0, 1, 0, 0]


def test_every_op_on_the_cpu_is_a_sign_of_life(models: Models) -> None:
    told = Told()
    stage = VideoStage(video_setup(models), nobody, report=told)
    stage.open()
    loading = told.ticks
    stage.make(video_steps(), clips(), go_on)
    assert 0 < loading < told.ticks


def test_tiles_are_taken_only_by_name_and_have_no_ladder(models: Models) -> None:
    stage = VideoStage(video_setup(models, vae_tiling=True), nobody)
    (made,) = stage.make(video_steps(), clips(), go_on)
    assert (made.detail, made.rung, made.approximate) == ("feathered tiles (approximate)", "", "")
    assert stage.begins_with(video_steps()) == ""


def test_what_reading_takes_is_known_before(models: Models) -> None:
    stage = VideoStage(video_setup(models), nobody)
    kept, frame = 3 * FRAMES * WIDTH * HEIGHT * 2, 3 * 96 * 80 * 4
    assert stage.host_bytes(video_steps()[0]) == kept + SCALERS * frame
