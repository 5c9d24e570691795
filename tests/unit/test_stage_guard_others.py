"""Sound and decoding under a memory budget: on the device, then on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.media.audio import Waveform
from engine.memory.ways import CancelledError
from engine.precompute.layout import Stage
from engine.precompute.outputs import tensor
from engine.precompute.stages.audio import AudioStage
from engine.precompute.stages.decode import AudioDecodeStage, VideoDecodeStage
from engine.precompute.steps import (
    AudioStep,
    DecodeStep,
    StageSetup,
    Window,
)
from tests.small_set import tone
from tests.stage_guards import PROBE, Gpu, Models, Told, go_on, latents, nobody, same


def short_budget(
    monkeypatch: pytest.MonkeyPatch, stage: AudioStage | VideoDecodeStage | AudioDecodeStage
) -> None:
    """Let the device have room for the models alone."""
    stage.open()
    memory = stage.homes[0].memory
    memory._limit = memory.weight_bytes + 10_000


def audio_step() -> AudioStep:
    window = Window(start=0.0, frames=12, fps=(24, 1), resample=False)
    return AudioStep(
        id=3, clip="a", row=0, output="unused", media="unused", probe=PROBE, window=window
    )


def test_sound_goes_from_the_device_to_the_cpu(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = StageSetup(stage=Stage.AUDIO_LATENTS, checkpoint=str(models[0]), device="cpu")
    sound: Waveform = tone(0.5)
    (plain,) = AudioStage(setup, nobody).make([audio_step()], [sound], go_on)
    assert (plain.rung, plain.detail) == ("", "")
    assert plain.peak > 0
    told, gpu = Told(), Gpu(monkeypatch, AudioStage, 0)
    stage = AudioStage(setup, gpu.load, report=told)
    short_budget(monkeypatch, stage)
    (made,) = stage.make([audio_step()], [sound], go_on)
    assert (made.rung, made.detail) == ("on CPU", "on CPU")
    assert gpu.loaded == ["audio VAE encoder"] * 2
    assert same([made], latents([plain]))
    assert [(step, rung) for step, rung, _ in told.lines] == [(3, "on CPU")]
    assert stage.host_bytes(audio_step()) == 2 * 48_000 * 4


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (
            VideoDecodeStage,
            {"latents": torch.zeros(128, 2, 2, 2).bfloat16(), "fps": 24.0},
        ),
        (AudioDecodeStage, {"latents": torch.zeros(8, 13, 16), "duration": 0.5}),
    ],
)
def test_decoding_goes_from_the_device_to_the_cpu(
    kind: type[VideoDecodeStage] | type[AudioDecodeStage],
    payload: dict[str, torch.Tensor | float],
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "clip.pt"
    source.write_bytes(b"x" * 1000)
    step = DecodeStep(id=1, clip="a", row=0, output="unused", source=str(source))
    setup = StageSetup(stage=Stage.DECODED_VIDEOS, checkpoint=str(models[0]), device="cpu")
    (plain,) = kind(setup, nobody).make([step], [payload], go_on)  # type: ignore[list-item]
    gpu = Gpu(monkeypatch, kind, 0)
    stage = kind(setup, gpu.load)
    short_budget(monkeypatch, stage)
    (made,) = stage.make([step], [payload], go_on)  # type: ignore[list-item]
    assert (made.rung, made.detail) == ("on CPU", "on CPU")
    key = "frames" if "frames" in made.payload else "samples"
    assert torch.equal(tensor(made.payload, key), tensor(plain.payload, key))
    assert stage.host_bytes(step) >= 1000
    with pytest.raises(CancelledError):
        stage.make([step], [payload], lambda: True)  # type: ignore[list-item]
