"""The golden checkpoint: loaded without gaps, encoded and decoded as ltx-core does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ltx_core.model.video_vae.model_configurator import (
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
)
from safetensors.torch import load_file

from engine.models.checkpoint import Checkpoint, model_folder_digest
from engine.models.streaming import stream_encode
from engine.models.video_vae import load_video_decoder, load_video_encoder
from tests.video_models import random_clip

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])


@pytest.fixture(scope="module")
def checkpoint(golden: Path) -> Checkpoint:
    return Checkpoint.open(golden / "models" / "ltx2.safetensors")


def oracle(
    configurator: type, checkpoint: Checkpoint, part: str, dtype: torch.dtype
) -> torch.nn.Module:
    """Build ltx-core's module and give it the file's weights, all of them."""
    state = {}
    for name, value in load_file(checkpoint.path).items():
        if name.startswith((f"vae.{part}.", "vae.per_channel_statistics.")):
            state[name.removeprefix("vae.").removeprefix(f"{part}.")] = value
    model = configurator.from_config(checkpoint.config)
    model.load_state_dict(state)
    return model.to(dtype).eval()


def test_the_checkpoint_says_what_it_is(checkpoint: Checkpoint, golden: Path) -> None:
    assert checkpoint.generation == "2.0"
    assert checkpoint.scale_factors == (32, 8)
    parts = [["vae."], ["audio_vae."], ["vocoder."], ["text_embedding_projection."]]
    digests = {checkpoint.digest(part) for part in parts}
    assert len(digests) == 4
    assert model_folder_digest(golden / "models" / "gemma") not in digests


@DTYPES
def test_encoder_and_streaming_equal_ltx_core(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    encoder = load_video_encoder(checkpoint, dtype=dtype)
    pixels = random_clip(1, 3, 25, 96, 160, dtype=dtype)
    with torch.no_grad():
        expected = oracle(VideoEncoderConfigurator, checkpoint, "encoder", dtype)(pixels)
    assert expected.shape == (1, 128, 4, 3, 5)
    assert torch.equal(encoder.encode(pixels), expected)
    tolerance = 1e-5 if dtype == torch.float32 else 0
    streamed = stream_encode(encoder, pixels, 8)
    assert torch.allclose(streamed, expected, rtol=tolerance, atol=tolerance)


@DTYPES
def test_decoder_equals_ltx_core(checkpoint: Checkpoint, golden: Path, dtype: torch.dtype) -> None:
    """On the latents that the official preprocessing wrote."""
    with np.load(golden / "expected" / "tensors.npz") as tensors:
        name = next(n for n in sorted(tensors.files) if "latents/" in n and "audio" not in n)
        bits = torch.from_numpy(tensors[name].astype(np.int32)).to(torch.int16)
    latents = bits.view(torch.bfloat16)[None, :, :2, :4, :3].to(dtype)
    with torch.no_grad():
        expected = oracle(VideoDecoderConfigurator, checkpoint, "decoder", dtype)(latents)
    found = load_video_decoder(checkpoint, dtype=dtype).decode(latents)
    assert found.shape == (1, 3, 9, 128, 96)
    assert torch.equal(found, expected)
