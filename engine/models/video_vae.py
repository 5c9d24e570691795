"""The LTX-2 video VAE: pixels to latents and back, built from a checkpoint's own config.

Our own modules, since exact streaming has to reach every convolution. One-shot and streaming
encoding are the same modules: a `StreamState` makes the difference.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from engine.models.checkpoint import Checkpoint
from engine.models.stream_state import StreamState
from engine.models.video_blocks import (
    ChannelStatistics,
    Downsample,
    ResidualBlocks,
    TimeConv3d,
    Upsample,
    activate,
    patchify,
    unpatchify,
)
from engine.models.video_config import (
    DecoderConfig,
    EncoderConfig,
    decoder_config,
    encoder_config,
)
from engine.models.weights import load_into

# Frames at a time through the blocks at full frame rate, when memory is shortest.
_PIECE = 2
_STATISTICS = ("per_channel_statistics.mean-of-means", "per_channel_statistics.std-of-means")


class VideoEncoder(nn.Module):
    """Pixels to normalised latent means.

    Attributes:
        config: What it was built from.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _EncoderLayers(config)
        self.per_channel_statistics = ChannelStatistics(config.latent_channels)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype, in which it computes."""
        return self.encoder.conv_in.conv.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.conv_in.conv.weight.device

    @torch.no_grad()
    def encode(self, pixels: Tensor, state: StreamState | None = None) -> Tensor:
        """Encode a clip, or the next chunk of one.

        Args:
            pixels: [B, 3, F, H, W] in −1 … 1; moved to the encoder's device and dtype. H and W
                are multiples of the spatial factor (32), F is 1 + a multiple of the temporal
                one (8): 1, 9, 17 …
            state: Where a clip that comes in chunks is remembered. The first chunk has 1 + 8k
                frames, every later one 8k.

        Returns:
            [B, 128, F', H / 32, W / 32] with F' = 1 + (F − 1) / 8, or F / 8 in later chunks.

        Raises:
            ValueError: The shape does not fit.
        """
        self._check(pixels.shape, started=state is not None and state.started)
        moments = self.encoder(pixels.to(self.device, self.dtype), state)
        if state is not None:
            state.started = True
        return self.per_channel_statistics.normalise(moments[:, : self.config.latent_channels])

    def latent_shape(self, shape: torch.Size) -> tuple[int, int, int, int, int]:
        """Return the shape of a whole clip's latents, given that of its pixels.

        Raises:
            ValueError: The shape does not fit.
        """
        self._check(shape, started=False)
        space, time = self.config.scale_factors
        batch, _, frames, height, width = shape
        return (
            batch,
            self.config.latent_channels,
            1 + (frames - 1) // time,
            height // space,
            width // space,
        )

    def _check(self, shape: torch.Size, *, started: bool) -> None:
        space, time = self.config.scale_factors
        first = 0 if started else 1
        if (
            len(shape) != 5
            or shape[1] != self.config.in_channels
            or shape[2] < 1
            or shape[2] % time != first % time
            or shape[3] % space
            or shape[4] % space
        ):
            raise ValueError(
                f"pixels of shape {tuple(shape)} do not fit [B, {self.config.in_channels}, "
                f"{time}k + {first}, {space}·h, {space}·w]"
            )


class VideoDecoder(nn.Module):
    """Normalised latents to pixels.

    Attributes:
        config: What it was built from.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = _DecoderLayers(config)
        self.per_channel_statistics = ChannelStatistics(config.latent_channels)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype, in which it computes."""
        return self.decoder.conv_in.conv.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.conv_in.conv.weight.device

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode a whole clip.

        Args:
            latents: [B, 128, F', H', W'], normalised; moved to the decoder's device and dtype.

        Returns:
            Pixels [B, 3, 8 · (F' − 1) + 1, 32 · H', 32 · W'], in −1 … 1 but for overshoot.

        Raises:
            ValueError: The shape does not fit.
        """
        if latents.ndim != 5 or latents.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"latents of shape {tuple(latents.shape)} do not fit "
                f"[B, {self.config.latent_channels}, F, H, W]"
            )
        if self.config.padding == "reflect" and min(latents.shape[3:]) < 2:
            raise ValueError("this decoder reflects at the border: it needs 2 × 2 latent cells")
        latents = latents.to(self.device, self.dtype)
        return cast("Tensor", self.decoder(self.per_channel_statistics.restore(latents)))


class _EncoderLayers(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        # Those before the first one that halves time.
        self.full_rate_blocks = sum(
            1 for _ in itertools.takewhile(lambda block: block.stride[0] == 1, config.blocks)
        )
        padding, width = config.padding, config.latent_channels
        self.conv_in = TimeConv3d(
            config.in_channels * config.patch_size**2, width, padding=padding, causal=True
        )
        self.down_blocks = nn.ModuleList()
        for block in config.blocks:
            if block.name == "res_x":
                self.down_blocks.append(
                    ResidualBlocks(width, block.layers, padding=padding, causal=True)
                )
            else:
                self.down_blocks.append(Downsample(width, block, padding=padding))
                width *= block.multiplier
        self.conv_out = TimeConv3d(width, config.out_channels, padding=padding, causal=True)

    def forward(self, pixels: Tensor, state: StreamState | None) -> Tensor:
        if state is not None and state.offload:
            x = self._in_pieces(pixels, state)
        else:
            x = self._at_full_rate(pixels, state)
        for block in self.down_blocks[self.full_rate_blocks :]:
            x = block(x, state)
        return cast("Tensor", self.conv_out(activate(x), state))

    def _in_pieces(self, pixels: Tensor, state: StreamState) -> Tensor:
        is_last, done = state.last, []
        for start in range(0, pixels.shape[2], _PIECE):
            state.last = is_last and start + _PIECE >= pixels.shape[2]
            done.append(self._at_full_rate(pixels[:, :, start : start + _PIECE], state))
        state.last = is_last
        return torch.cat(done, dim=2)

    def _at_full_rate(self, pixels: Tensor, state: StreamState | None) -> Tensor:
        x = self.conv_in(patchify(pixels, self.patch_size), state)
        for block in self.down_blocks[: self.full_rate_blocks]:
            x = block(x, state)
        return cast("Tensor", x)


class _DecoderLayers(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        padding, causal, width = config.padding, config.causal, config.first_width
        self.conv_in = TimeConv3d(config.latent_channels, width, padding=padding, causal=causal)
        self.up_blocks = nn.ModuleList()
        for block in config.blocks:
            if block.name == "res_x":
                self.up_blocks.append(
                    ResidualBlocks(width, block.layers, padding=padding, causal=causal)
                )
            else:
                self.up_blocks.append(Upsample(width, block, padding=padding, causal=causal))
                width //= block.multiplier
        self.conv_out = TimeConv3d(
            width, config.out_channels * config.patch_size**2, padding=padding, causal=causal
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.up_blocks:
            x = block(x)
        return unpatchify(self.conv_out(activate(x)), self.patch_size)


def load_video_encoder(
    checkpoint: Checkpoint,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
) -> VideoEncoder:
    """Build the encoder that a checkpoint describes, and load its weights.

    Raises:
        ModelError: There is no video VAE, or config and weights do not fit one another.
    """
    with torch.device("meta"):
        model = VideoEncoder(encoder_config(checkpoint.section("vae"), checkpoint.path))
    _load(model, checkpoint, "decoder.", device, dtype)
    return model


def load_video_decoder(
    checkpoint: Checkpoint,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
) -> VideoDecoder:
    """Build the decoder that a checkpoint describes, and load its weights.

    Raises:
        ModelError: As `load_video_encoder`.
    """
    with torch.device("meta"):
        model = VideoDecoder(decoder_config(checkpoint.section("vae"), checkpoint.path))
    _load(model, checkpoint, "encoder.", device, dtype)
    return model


def _load(
    model: nn.Module,
    checkpoint: Checkpoint,
    other_half: str,
    device: torch.device | str,
    dtype: torch.dtype,
) -> None:
    def own(name: str) -> str | None:
        # Files may carry more statistics than the two that normalise.
        unused = name.startswith("per_channel_statistics.") and name not in _STATISTICS
        return None if unused or name.startswith(other_half) else name

    load_into(
        model, checkpoint, checkpoint.video_vae_prefix, device=device, dtype=dtype, rename=own
    )
