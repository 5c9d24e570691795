"""The toy models, through every loader."""

import pytest
import torch

from engine.models.audio_vae import load_audio_decoder, load_audio_encoder
from engine.models.checkpoint import Checkpoint, model_folder_digest
from engine.models.text_encoder import TextEncoder
from engine.models.toy import ToyModels, make_toy_models
from engine.models.video_vae import load_video_decoder, load_video_encoder
from engine.models.vocoder import load_vocoder

PARTS = ["vae.", "audio_vae.", "vocoder.", "text_embedding_projection."]


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def toy(request, tmp_path_factory) -> tuple[str, ToyModels]:
    generation = request.param
    return generation, make_toy_models(tmp_path_factory.mktemp("toy"), generation=generation)


def test_the_checkpoint_is_what_it_says(toy):
    generation, models = toy
    checkpoint = Checkpoint.open(models.checkpoint)
    assert checkpoint.generation == generation
    assert checkpoint.scale_factors == (32, 8)
    assert models.checkpoint.stat().st_size < 16e6
    assert {info.dtype for info in checkpoint.tensors.values()} == {"BF16"}


def test_pictures_through_the_video_vae(toy):
    checkpoint = Checkpoint.open(toy[1].checkpoint)
    x = torch.linspace(0, 6, 64)
    pixels = torch.sin(x[:, None] + x).expand(1, 3, 9, 64, 64).to(torch.bfloat16)
    latents = load_video_encoder(checkpoint).encode(pixels)
    assert latents.shape == (1, 128, 2, 2, 2)
    assert 0.3 < latents.float().std() < 3
    back = load_video_decoder(checkpoint).decode(latents)
    assert back.shape == pixels.shape
    assert back.isfinite().all()


def test_sound_through_the_audio_vae_and_the_vocoder(toy):
    checkpoint = Checkpoint.open(toy[1].checkpoint)
    noise = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    latents = load_audio_encoder(checkpoint, "cpu").encode(noise, 16_000)
    assert latents.shape == (8, 26, 16)
    assert 0.3 < latents.std() < 3
    vocoder = load_vocoder(checkpoint, "cpu")
    sound = vocoder.synthesise(load_audio_decoder(checkpoint, "cpu").decode(latents))
    assert vocoder.sample_rate == (24_000 if toy[0] == "2.0" else 48_000)
    assert sound.shape == (2, 101 * vocoder.sample_rate // 100)
    assert sound.isfinite().all()
    assert sound.std() > 0


def test_prompts_through_the_text_encoder(toy):
    checkpoint = Checkpoint.open(toy[1].checkpoint)
    encoder = TextEncoder.load(toy[1].text_encoder, checkpoint, "cpu")
    one, other = encoder.encode(["a man walks", "a dog walks"])
    assert one.video.shape == (1024, 64 if toy[0] == "2.0" else 128)
    assert one.audio.shape == (1024, 64)
    assert (one.audio is one.video) == (toy[0] == "2.0")
    assert not torch.equal(one.video, other.video)
    assert one.video[-one.tokens :].float().std() > 0.1


def test_a_seed_gives_the_same_models(toy, tmp_path):
    generation, models = toy
    again = make_toy_models(tmp_path / "again", generation=generation)
    other = make_toy_models(tmp_path / "other", generation=generation, seed=1)

    def digests(made: ToyModels) -> tuple[str, str]:
        checkpoint = Checkpoint.open(made.checkpoint)
        return checkpoint.digest(PARTS), model_folder_digest(made.text_encoder)

    assert digests(again) == digests(models)
    assert all(a != b for a, b in zip(digests(other), digests(models), strict=True))


def test_making_them_leaves_the_random_state_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    make_toy_models(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
