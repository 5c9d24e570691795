"""The audio VAE against diffusers and ltx-core, on the same random weights."""

import pytest
import torch
from diffusers import AutoencoderKLLTX2Audio
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.model.audio_vae import audio_vae as core
from ltx_core.model.audio_vae.model_configurator import (
    AudioDecoderConfigurator,
    AudioEncoderConfigurator,
)
from ltx_core.types import Audio

from engine.errors import MediaError, ModelError
from engine.models.audio_config import audio_config
from engine.models.audio_vae import AudioDecoder, AudioEncoder
from engine.models.mel import MelFrontEnd

# ltx-core takes `ch` for the number of statistics, so it has to be z × bins = 128 beside it.
LAYOUT = {
    "double_z": True,
    "mel_bins": 64,
    "z_channels": 8,
    "resolution": 256,
    "in_channels": 2,
    "out_ch": 2,
    "ch": 128,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "mid_block_add_attention": False,
    "norm_type": "pixel",
    "causality_axis": "height",
}
STFT = {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "causal": True}


def section(**changes) -> dict:
    return {
        "model": {"params": {"sampling_rate": 16_000, "ddconfig": {**LAYOUT, **changes}}},
        "preprocessing": {"stft": STFT, "mel": {"n_mel_channels": 64}},
    }


def statistics(module: torch.nn.Module, generator: torch.Generator) -> None:
    buffers = module.per_channel_statistics
    buffers.get_buffer("mean-of-means").copy_(torch.randn(128, generator=generator))
    buffers.get_buffer("std-of-means").copy_(torch.rand(128, generator=generator) + 0.5)


@pytest.fixture(scope="module")
def small():
    """Our encoder and decoder, on random weights that keep the signal's size."""
    generator = torch.Generator().manual_seed(7)
    config = audio_config(section())
    with torch.random.fork_rng():
        torch.manual_seed(7)
        encoder, decoder = AudioEncoder(config), AudioDecoder(config)
    for module in (encoder, decoder):
        statistics(module, generator)
        module.eval().requires_grad_(False)
    return encoder, decoder


def core_encoder(ours: AudioEncoder) -> core.AudioEncoder:
    theirs = AudioEncoderConfigurator.from_config({"audio_vae": section()})
    state = {k.removeprefix("encoder."): v for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    return theirs.eval()


def core_decoder(ours: AudioDecoder) -> core.AudioDecoder:
    theirs = AudioDecoderConfigurator.from_config({"audio_vae": section()})
    state = {k.removeprefix("decoder."): v for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    return theirs.eval()


def sound(samples: int) -> torch.Tensor:
    return torch.randn(2, samples, generator=torch.Generator().manual_seed(1)) * 0.1


@pytest.mark.parametrize("rate", [16_000, 44_100])
@torch.inference_mode()
def test_encoder_equals_ltx_core_to_the_bit(small, rate):
    waveform = sound(rate // 4)
    theirs = core.encode_audio(Audio(waveform[None], rate), core_encoder(small[0]))[0]
    assert torch.equal(small[0].encode(waveform, rate), theirs)


@torch.inference_mode()
def test_bf16_encoder_equals_ltx_core_to_the_bit(small):
    config = small[0].config
    ours = AudioEncoder(config)
    ours.load_state_dict(small[0].state_dict())
    theirs = core_encoder(small[0]).to(torch.bfloat16)
    ours.to(torch.bfloat16)
    latents = ours.encode(sound(4_000), 16_000)
    expected = core.encode_audio(Audio(sound(4_000)[None], 16_000), theirs)[0]
    assert latents.dtype == torch.float32
    assert torch.equal(latents, expected.float())


@torch.inference_mode()
def test_decoder_equals_ltx_core(small):
    latents = torch.randn(8, 5, 16, generator=torch.Generator().manual_seed(3))
    assert torch.equal(small[1].decode(latents), core_decoder(small[1])(latents[None])[0])


@torch.inference_mode()
def test_networks_equal_diffusers(small):
    theirs = AutoencoderKLLTX2Audio(num_res_blocks=1).eval()
    for name, ours in zip(("encoder", "decoder"), small, strict=True):
        state = getattr(ours, name).state_dict()
        getattr(theirs, name).load_state_dict(state, strict=True)
    mel = torch.randn(1, 2, 21, 64, generator=torch.Generator().manual_seed(4))
    assert torch.equal(small[0].encoder(mel), theirs.encoder(mel))
    latents = torch.randn(1, 8, 6, 16, generator=torch.Generator().manual_seed(5))
    assert torch.equal(small[1].decoder(latents), theirs.decoder(latents))


TINY = audio_config(section(ch=4, ch_mult=[1, 1, 1]))


@pytest.fixture(scope="module")
def tiny() -> AudioEncoder:
    return AudioEncoder(TINY).eval().requires_grad_(False)


@settings(deadline=None, max_examples=15)
@given(samples=st.integers(1, 5_000), rate=st.sampled_from([8_000, 16_000, 48_000]))
def test_latents_follow_the_length(tiny, samples, rate):
    latents = tiny.encode(sound(samples), rate)
    own = max(-(-samples * 16_000 // rate), 513)
    frames = 1 + own // 160
    assert latents.shape == (8, -(-frames // 4), 16)
    assert latents.isfinite().all()


def test_what_is_too_short_counts_as_followed_by_silence(tiny):
    short = sound(100)
    padded = torch.nn.functional.pad(short, (0, 413))
    assert torch.equal(tiny.encode(short, 16_000), tiny.encode(padded, 16_000))


def test_the_past_does_not_depend_on_the_future(tiny):
    mel = MelFrontEnd(TINY)(sound(16_000)[None], 16_000)
    changed = mel.clone()
    changed[:, :, 48:] += 1
    before, after = tiny(mel), tiny(changed)
    # Latent t sees spectrogram frames up to 4 t.
    assert torch.equal(before[:, :, :12], after[:, :, :12])
    assert not torch.equal(before[:, :, 12:], after[:, :, 12:])


@pytest.mark.parametrize("shape", [(1, 4_000), (6, 4_000), (4_000,)])
def test_only_stereo(tiny, shape):
    with pytest.raises(MediaError, match="2 channels"):
        tiny.encode(torch.zeros(shape), 16_000)


def test_nothing_to_encode(tiny):
    with pytest.raises(MediaError, match="no samples"):
        tiny.encode(torch.zeros(2, 0), 16_000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm_type": "group"}, "norm_type"),
        ({"causality_axis": "width"}, "causality_axis"),
        ({"mid_block_add_attention": True}, "mid_block_add_attention"),
        ({"attn_resolutions": [16]}, "attn_resolutions"),
        ({"ch": 10**9}, "ch"),
        ({"ch_mult": []}, "ch_mult"),
        ({"ch": "many"}, "ch"),
        ({"mel_bins": 65}, "65 mel bins"),
    ],
)
def test_other_architectures_are_refused_by_name(changes, words):
    with pytest.raises(ModelError, match=words):
        audio_config(section(**changes))


def test_a_missing_layout_is_no_default():
    with pytest.raises(ModelError, match="ch"):
        audio_config({})
