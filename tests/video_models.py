"""Small random video VAEs with the block lists of the published models."""

from typing import TypeVar

import torch
from torch import nn

from engine.models.video_config import decoder_config, encoder_config
from engine.models.video_vae import VideoDecoder, VideoEncoder


def blocks(*pairs: object) -> list[list[object]]:
    return [[name, {"num_layers": n} if name == "res_x" else n] for name, n in pairs]


def encoder_blocks(layers: tuple[int, ...], multipliers: tuple[int, ...]) -> list[list[object]]:
    kinds = ("compress_space_res", "compress_time_res", "compress_all_res", "compress_all_res")
    pairs: list[object] = [("res_x", layers[0])]
    for kind, multiplier, layer in zip(kinds, multipliers, layers[1:], strict=True):
        pairs += [(kind, {"multiplier": multiplier}), ("res_x", layer)]
    return blocks(*pairs)


M = TypeVar("M", bound=nn.Module)

UP = {"residual": True, "multiplier": 2}

# As published, but for the widths: LTX-2.0 multiplies by 16 on the way down, LTX-2.3 by 8.
FULL_20 = {
    "encoder_blocks": encoder_blocks((4, 6, 6, 2, 2), (2, 2, 2, 2)),
    "decoder_blocks": blocks(
        ("res_x", 5), ("compress_all", UP), ("res_x", 5), ("compress_all", UP),
        ("res_x", 5), ("compress_all", UP), ("res_x", 5),
    ),
}  # fmt: skip
FULL_23 = {
    "spatial_padding_mode": "zeros",
    "encoder_blocks": encoder_blocks((4, 6, 4, 2, 2), (2, 2, 2, 1)),
    "decoder_blocks": blocks(
        ("res_x", 4), ("compress_space", {"multiplier": 2}),
        ("res_x", 6), ("compress_time", {"multiplier": 2}),
        ("res_x", 4), ("compress_all", {"multiplier": 1}),
        ("res_x", 2), ("compress_all", {"multiplier": 2}), ("res_x", 2),
    ),
}  # fmt: skip
SMALL = {"latent_channels": 8, "decoder_base_channels": 8}
CONFIGS = {"2.0": {**FULL_20, **SMALL}, "2.3": {**FULL_23, **SMALL}}
SHALLOW = {
    **SMALL,
    "encoder_blocks": encoder_blocks((1, 1, 1, 1, 1), (1, 1, 1, 1)),
    "decoder_blocks": blocks(*[("res_x", 1), ("compress_all", UP)] * 3, ("res_x", 1)),
}

# As no published model is: reflected borders, other strides first, a block list with nothing in it.
ODD = {
    "latent_channels": 16,
    "patch_size": 2,
    "spatial_padding_mode": "reflect",
    "latent_log_var": "per_channel",
    "encoder_blocks": blocks(
        ("res_x", 1), ("compress_space_res", {"multiplier": 2}), ("res_x", 0),
        ("compress_all_res", {"multiplier": 4}), ("res_x", 2),
        ("compress_time_res", {"multiplier": 1}), ("res_x", 1),
    ),
}  # fmt: skip


@torch.no_grad()
def randomise(model: M, seed: int = 0) -> M:
    """Fill weights so that every convolution keeps its input's scale, and freeze them."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        scale = tensor[0].numel() ** -0.5 if name.endswith("conv.weight") else 0.1
        tensor.normal_(0, scale, generator=generator)
        if name.endswith("std-of-means"):
            tensor.abs_().add_(0.5)
    return model.eval().requires_grad_(False)


def random_encoder(config: dict, dtype: torch.dtype = torch.float32, seed: int = 0) -> VideoEncoder:
    return randomise(VideoEncoder(encoder_config(config)).to(dtype), seed)


def random_decoder(config: dict, dtype: torch.dtype = torch.float32, seed: int = 1) -> VideoDecoder:
    return randomise(VideoDecoder(decoder_config(config)).to(dtype), seed)


def random_clip(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 2) -> torch.Tensor:
    """Return pixels [B, 3, F, H, W], uniform in −1 … 1."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) * 2 - 1).to(dtype)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the L2 norm of the difference over that of `expected`."""
    expected = expected.double()
    return ((found.double() - expected).norm() / expected.norm()).item()
