"""Our encoder and decoder compute what ltx-core and diffusers compute, to the bit."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLLTX2Video
from ltx_core.model.video_vae.model_configurator import (
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
)
from safetensors.torch import save_file

from engine.errors import ModelError
from engine.models.checkpoint import Checkpoint
from engine.models.video_blocks import fold, patchify, unfold, unpatchify
from engine.models.video_vae import load_video_decoder, load_video_encoder
from tests.video_models import CONFIGS, SHALLOW, random_clip, random_decoder, random_encoder

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
GENERATIONS = pytest.mark.parametrize("generation", ["2.0", "2.3"])
CLIP = (1, 3, 17, 64, 96)


def oracle(configurator: type, config: dict, model: torch.nn.Module, part: str) -> torch.nn.Module:
    """Build ltx-core's module with the weights of ours."""
    other = configurator.from_config({"vae": {"timestep_conditioning": False, **config}})
    state = {name.removeprefix(f"{part}."): value for name, value in model.state_dict().items()}
    other.load_state_dict(state)
    return other.to(next(model.parameters()).dtype).eval()


@GENERATIONS
@DTYPES
def test_encoder_equals_ltx_core_to_the_bit(generation: str, dtype: torch.dtype) -> None:
    encoder = random_encoder(CONFIGS[generation], dtype)
    pixels = random_clip(*CLIP, dtype=dtype)
    found = encoder.encode(pixels)
    with torch.no_grad():
        expected = oracle(VideoEncoderConfigurator, CONFIGS[generation], encoder, "encoder")(pixels)
    assert found.shape == (1, 8, 3, 2, 3)
    assert 0.1 < found.float().std() < 10
    assert torch.equal(found, expected)


@GENERATIONS
@DTYPES
def test_decoder_equals_ltx_core_to_the_bit(generation: str, dtype: torch.dtype) -> None:
    decoder = random_decoder(CONFIGS[generation], dtype)
    latents = random_clip(2, 8, 3, 2, 3, dtype=dtype)
    found = decoder.decode(latents)
    with torch.no_grad():
        expected = oracle(VideoDecoderConfigurator, CONFIGS[generation], decoder, "decoder")(
            latents
        )
    assert found.shape == (2, 3, 17, 64, 96)
    assert 0.1 < found.float().std() < 10
    assert torch.equal(found, expected)


@DTYPES
def test_both_equal_diffusers_to_the_bit(dtype: torch.dtype) -> None:
    config = CONFIGS["2.0"]
    encoder, decoder = random_encoder(config, dtype), random_decoder(config, dtype)
    other = AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(16, 32, 64, 128),
        decoder_block_out_channels=(16, 32, 64),
        decoder_causal=False,
    )
    names = {_diffusers_name(n): v for n, v in encoder.encoder.state_dict().items()}
    other.encoder.load_state_dict(names)
    names = {_diffusers_name(n): v for n, v in decoder.decoder.state_dict().items()}
    other.decoder.load_state_dict(names)
    other.to(dtype)
    pixels, latents = random_clip(*CLIP, dtype=dtype), random_clip(1, 8, 3, 2, 3, dtype=dtype)
    with torch.no_grad():
        means = other.encode(pixels).latent_dist.mean
        decoded = other.decode(decoder.per_channel_statistics.restore(latents)).sample
    assert torch.equal(encoder.encode(pixels), encoder.per_channel_statistics.normalise(means))
    assert torch.equal(decoder.decode(latents), decoded)


def _diffusers_name(name: str) -> str:
    """Translate: there a block holds its residual blocks and the re-sampler next to them."""
    head, _, rest = name.partition(".")
    index, _, tail = rest.partition(".")
    if head == "down_blocks":
        stage, is_sampler = divmod(int(index), 2)
        where = "mid_block" if stage == 4 else f"down_blocks.{stage}"
        inner = f"downsamplers.0.{tail}" if is_sampler else tail.replace("res_blocks", "resnets")
        return f"{where}.{inner}"
    if head == "up_blocks":
        # Sampler 1 opens stage 0, whose residual blocks come second.
        stage, is_sampler = (int(index) - 1) // 2, int(index) % 2
        where = "mid_block" if index == "0" else f"up_blocks.{stage}"
        inner = f"upsamplers.0.{tail}" if is_sampler else tail.replace("res_blocks", "resnets")
        return f"{where}.{inner}"
    return name


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 1, 1), (2, 2, 2)])
def test_fold_and_unfold_are_inverse(stride: tuple[int, int, int]) -> None:
    x = random_clip(2, 3, 4, 6, 8)
    assert torch.equal(unfold(fold(x, stride), stride), x)


def test_patches_are_ordered_channel_column_row() -> None:
    pixels = torch.arange(2 * 4 * 8, dtype=torch.float32).view(1, 2, 1, 4, 8)
    patches = patchify(pixels, 4)
    assert patches.shape == (1, 32, 1, 1, 2)
    # Channel 0, then the second row of its first column, then the first row of the second column.
    assert patches[0, [0, 1, 4, 16], 0, 0, 0].tolist() == [0.0, 8.0, 1.0, 32.0]
    assert torch.equal(unpatchify(patches, 4), pixels)


def test_a_batch_is_its_clips() -> None:
    encoder = random_encoder(CONFIGS["2.0"], torch.bfloat16)
    pixels = random_clip(2, 3, 9, 64, 64, dtype=torch.bfloat16)
    both = encoder.encode(pixels)
    assert torch.equal(both[:1], encoder.encode(pixels[:1]))
    assert torch.equal(both[1:], encoder.encode(pixels[1:]))


@pytest.mark.parametrize(
    "shape", [(3, 9, 64, 64), (1, 4, 9, 64, 64), (1, 3, 8, 64, 64), (1, 3, 9, 64, 60)]
)
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        random_encoder(SHALLOW).encode(random_clip(*shape))
    with pytest.raises(ValueError, match="do not fit"):
        random_decoder(SHALLOW).decode(random_clip(1, 9, 1, 2, 2))


def test_a_reflecting_decoder_needs_two_cells_each_way() -> None:
    with pytest.raises(ValueError, match="2 × 2 latent cells"):
        random_decoder(SHALLOW).decode(random_clip(1, 8, 1, 1, 2))


class TestLoading:
    def save(self, path: Path, prefix: str, leave_out: str = "?") -> Checkpoint:
        encoder, decoder = random_encoder(SHALLOW), random_decoder(SHALLOW)
        tensors = {**decoder.state_dict(), **encoder.state_dict()}
        tensors["per_channel_statistics.mean-of-stds"] = torch.zeros(8)
        tensors = {f"{prefix}{n}": v for n, v in tensors.items() if leave_out not in f".{n}"}
        save_file(tensors, path, metadata={"config": json.dumps({"vae": SHALLOW})})
        return Checkpoint.open(path)

    @pytest.mark.parametrize("prefix", ["vae.", ""])
    def test_unified_and_split_files(self, tmp_path: Path, prefix: str) -> None:
        checkpoint = self.save(tmp_path / "m.safetensors", prefix)
        encoder = load_video_encoder(checkpoint)
        assert encoder.dtype == torch.bfloat16
        pixels = random_clip(1, 3, 1, 32, 32)
        expected = random_encoder(SHALLOW).to(torch.bfloat16).encode(pixels)
        assert torch.equal(encoder.encode(pixels), expected)
        decoder = load_video_decoder(checkpoint, dtype=torch.float32)
        statistics = random_encoder(SHALLOW).per_channel_statistics
        same = random_decoder(SHALLOW)
        same.per_channel_statistics = statistics
        latents = random_clip(1, 8, 1, 2, 2)
        assert torch.equal(decoder.decode(latents), same.decode(latents))

    def test_a_missing_weight_is_named(self, tmp_path: Path) -> None:
        checkpoint = self.save(tmp_path / "m.safetensors", "vae.", "encoder.conv_out.conv.bias")
        with pytest.raises(ModelError, match=r"missing: encoder\.conv_out\.conv\.bias"):
            load_video_encoder(checkpoint)
        assert load_video_decoder(checkpoint)

    def test_a_config_for_other_weights_is_refused(self, tmp_path: Path) -> None:
        checkpoint = self.save(tmp_path / "m.safetensors", "vae.")
        checkpoint.config["vae"]["encoder_blocks"].append(["res_x", {"num_layers": 1}])
        with pytest.raises(ModelError, match="missing"):
            load_video_encoder(checkpoint)
