"""The vocoders against ltx-core and diffusers, on the same random weights."""

import pytest
import torch
import torchaudio
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE
from ltx_core.model.audio_vae.model_configurator import VocoderConfigurator

from engine.errors import ModelError
from engine.models.audio_config import vocoder_config
from engine.models.vocoder import build_vocoder
from engine.models.vocoder_blocks import SincUpsample, lowpass

PLAIN = {
    "upsample_initial_channel": 64,
    "resblock": "1",
    "upsample_rates": [6, 5, 2, 2, 2],
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "stereo": True,
}
_AMP = {
    "resblock": "AMP1",
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "stereo": True,
    "use_tanh_at_final": False,
    "activation": "snakebeta",
    "use_bias_at_final": False,
}
EXTENDED = {
    "vocoder": {
        **_AMP,
        "upsample_initial_channel": 128,
        "upsample_rates": [5, 2, 2, 2, 2, 2],
        "upsample_kernel_sizes": [11, 4, 4, 4, 4, 4],
    },
    "bwe": {
        **_AMP,
        "upsample_initial_channel": 64,
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [12, 11, 4, 4, 4],
        "apply_final_activation": False,
        "input_sampling_rate": 16_000,
        "output_sampling_rate": 48_000,
        "hop_length": 80,
        "n_fft": 512,
        "win_size": 512,
        "num_mels": 64,
    },
}


def ours(section: dict) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = build_vocoder(*vocoder_config(section), 64)
        for name, tensor in model.state_dict().items():
            if name.endswith(("alpha", "beta")):
                tensor.normal_(std=0.3)
            elif name.startswith("mel_stft."):
                tensor.uniform_(0, 0.05)
    return model.eval().requires_grad_(False)


def mel(frames: int) -> torch.Tensor:
    return torch.randn(2, frames, 64, generator=torch.Generator().manual_seed(2))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(
    ("section", "rate", "samples"), [(PLAIN, 24_000, 240), (EXTENDED, 48_000, 480)]
)
@torch.inference_mode()
def test_vocoder_equals_ltx_core(section, rate, samples):
    model = ours(section)
    theirs = VocoderConfigurator.from_config({"vocoder": section})
    theirs.load_state_dict(model.state_dict(), strict=True)
    sound = model.synthesise(mel(13))
    assert sound.shape == (2, 13 * samples)
    assert model.sample_rate == theirs.output_sampling_rate == rate
    assert relative(sound, theirs.eval()(mel(13)[None])[0]) <= 1e-6
    assert sound.std() > 1e-4


@torch.inference_mode()
def test_bf16_vocoder_stays_close():
    model = ours(PLAIN)
    sound = model.synthesise(mel(13))
    rounded = model.to(torch.bfloat16).synthesise(mel(13))
    assert rounded.dtype == torch.float32
    assert relative(rounded, sound) <= 0.1


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = (
        ("resblocks.", "resnets."),
        ("ups.", "upsamplers."),
        ("conv_pre", "conv_in"),
        ("conv_post", "conv_out"),
        ("act_post", "act_out"),
        ("downsample.lowpass.", "downsample."),
    )
    result = {}
    for key, value in state.items():
        for mine, theirs in names:
            key = key.replace(mine, theirs)
        result[key] = value
    return result


@torch.inference_mode()
def test_plain_vocoder_equals_diffusers():
    model = ours(PLAIN)
    theirs = LTX2Vocoder(
        hidden_channels=64, resnet_kernel_sizes=[3, 7], resnet_dilations=[[1, 3, 5], [1, 3, 5]]
    )
    theirs.load_state_dict(renamed(model.state_dict()), strict=True)
    assert relative(model.synthesise(mel(7)), theirs.eval()(mel(7)[None])[0]) <= 1e-6


@torch.inference_mode()
def test_extension_equals_diffusers():
    model = ours(EXTENDED)
    shape = {
        "resnet_kernel_sizes": [3, 7],
        "resnet_dilations": [[1, 3, 5], [1, 3, 5]],
    }
    theirs = LTX2VocoderWithBWE(
        hidden_channels=128,
        bwe_hidden_channels=64,
        final_act_fn="clamp",
        **shape,
        **{f"bwe_{k}": v for k, v in shape.items()},
    )
    state = {}
    for key, value in model.state_dict().items():
        head, _, tail = key.partition(".")
        inner = tail if head == "mel_stft" else next(iter(renamed({tail: value})))
        state[f"{head}.{inner}"] = value
    theirs.load_state_dict(state, strict=True)
    assert relative(model.synthesise(mel(7)), theirs.eval()(mel(7)[None])[0]) <= 1e-6


@pytest.mark.parametrize("ratio", [2, 3])
def test_resampling_is_torchaudios(ratio):
    sound = torch.sin(torch.arange(800) * 0.2)[None, None]
    ours = SincUpsample(ratio)(sound)
    theirs = torchaudio.functional.resample(sound, 1, ratio)
    assert ours.shape == theirs.shape
    # The ends differ: ours repeats the last sample, torchaudio adds zeros.
    middle = slice(20 * ratio, -20 * ratio)
    assert relative(ours[..., middle], theirs[..., middle]) <= 1e-5


def test_the_lowpass_passes_what_is_low():
    taps = lowpass().flatten()
    assert taps.sum().item() == pytest.approx(1)
    assert torch.allclose(taps, taps.flip(0))
    gain = torch.fft.rfft(taps, 64).abs()
    assert gain[-1] < 1e-3


def test_a_batch_equals_its_parts():
    model = ours(EXTENDED)
    both = model.synthesise(torch.stack([mel(4), mel(4) * 0.5]))
    assert relative(both[1], model.synthesise(mel(4) * 0.5)) <= 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resblock": "2"}, "resblock"),
        ({"stereo": False}, "stereo"),
        ({"upsample_rates": [6, 5]}, "differ in length"),
        ({"upsample_kernel_sizes": [5, 15, 8, 4, 4]}, "below its rate"),
        ({"upsample_initial_channel": 65}, "halved"),
        ({"resblock": "AMP1"}, "activation"),
    ],
)
def test_other_vocoders_are_refused_by_name(changes, words):
    with pytest.raises(ModelError, match=words):
        vocoder_config({**PLAIN, **changes})


def test_an_extension_that_does_not_fit_is_refused():
    bwe = {**EXTENDED["bwe"], "hop_length": 160}
    with pytest.raises(ModelError, match="do not agree"):
        vocoder_config({**EXTENDED, "bwe": bwe})
