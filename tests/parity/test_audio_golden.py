"""The audio encoder against the official preprocessing's latents."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from engine.models.audio_vae import AudioEncoder, load_audio_decoder, load_audio_encoder
from engine.models.checkpoint import Checkpoint
from engine.models.vocoder import load_vocoder

CLIPS = ("landscape_24", "portrait_30", "film_23976", "audio_shorter")


@pytest.fixture(scope="module")
def checkpoint(golden: Path) -> Checkpoint:
    return Checkpoint.open(golden / "models" / "ltx2.safetensors")


@pytest.fixture(scope="module")
def encoder(checkpoint: Checkpoint) -> AudioEncoder:
    return load_audio_encoder(checkpoint, "cpu")


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "expected" / "tensors.npz") as file:
        return {k: file[k] for k in file.files if k.startswith("audio_latents/")}


@pytest.fixture(scope="module")
def media(golden: Path) -> dict[str, dict]:
    return json.loads((golden / "expected" / "media_stage.json").read_text())


def waveform(clip: Path, samples: int) -> tuple[torch.Tensor, int]:
    """Decode a stereo track as it is, cut or padded with silence."""
    with av.open(str(clip)) as file:
        rate = file.streams.audio[0].rate
        planes = [frame.to_ndarray() for frame in file.decode(audio=0)]
    sound = np.concatenate(planes, axis=1)[:, :samples]
    sound = np.pad(sound, ((0, 0), (0, samples - sound.shape[1])))
    return torch.from_numpy(sound.astype(np.float32)), rate


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("clip", CLIPS)
def test_latents_are_the_official_ones(golden, encoder, expected, media, clip):
    facts = media[f"{clip}.mp4"]["audio"]
    sound, rate = waveform(golden / "clips" / f"{clip}.mp4", facts["shape"][1])
    assert rate == facts["sample_rate"]
    # AAC decoders differ in the last bit from machine to machine, so there is no hash to compare.
    rms = sound.square().mean(dim=1).sqrt()
    assert rms.tolist() == pytest.approx(facts["rms"], rel=1e-5)
    ours = encoder.encode(sound, rate)
    theirs = torch.from_numpy(expected[f"audio_latents/{clip}.pt::latents"])
    assert ours.dtype == torch.float32
    assert ours.shape == theirs.shape
    assert relative(ours, theirs) <= 1e-5


def test_rounded_waveforms_stay_close(golden, encoder, expected):
    with np.load(golden / "expected" / "media_stage_frames.npz") as file:
        sound = torch.from_numpy(file["landscape_24.mp4::audio_i16"].astype(np.float32) / 32767)
    theirs = torch.from_numpy(expected["audio_latents/landscape_24.pt::latents"])
    assert relative(encoder.encode(sound, 48_000), theirs) <= 2e-4


def test_a_batch_equals_its_clips(golden, encoder):
    sound, rate = waveform(golden / "clips" / "landscape_24.mp4", 34_000)
    batch = torch.stack([sound, sound.flip(0)])
    together = encoder.encode(batch, rate)
    assert relative(together[0], encoder.encode(sound, rate)) <= 1e-6


def test_latents_become_sound_again(checkpoint, expected):
    latents = torch.from_numpy(expected["audio_latents/landscape_24.pt::latents"])
    mel = load_audio_decoder(checkpoint, "cpu").decode(latents)
    assert mel.shape == (2, 4 * latents.shape[1] - 3, 64)
    vocoder = load_vocoder(checkpoint, "cpu")
    sound = vocoder.synthesise(mel)
    assert vocoder.sample_rate == 24_000
    assert sound.shape == (2, mel.shape[1] * 240)
    assert sound.abs().max() <= 1
