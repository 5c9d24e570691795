"""What the video VAE is made of: convolutions in time and space, residual blocks, re-samplers.

Tensors are [B, C, F, H, W] throughout. The modules' attributes are named as in the checkpoints.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.stream_state import StreamState
from engine.models.video_config import Block, Padding

_EPS = 1e-8
_KERNEL = 3


class TimeConv3d(nn.Module):
    """A 3×3×3 convolution that keeps the size, by repeating frames at the ends of the clip.

    Causal: two copies of the first frame in front, or while streaming the two frames that came
    before. Otherwise: one copy of the first frame in front, one of the last behind. In space the
    border is zeros or a reflection.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, padding: Padding, causal: bool
    ) -> None:
        super().__init__()
        self.causal = causal
        self.conv = nn.Conv3d(
            in_channels, out_channels, _KERNEL, padding=(0, 1, 1), padding_mode=padding
        )

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        """Return [B, out_channels, F, H, W]; `state` serves causal convolutions only."""
        padded = self._with_history(x, state) if self.causal else _with_both_ends(x)
        return cast("Tensor", self.conv(padded))

    def active_behind_history(self, x: Tensor, state: StreamState) -> Tensor:
        """Return what the convolution takes while streaming, for the input `activate(x)`.

        Norm and SiLU are written straight behind the two frames that came before, in steps that
        round as those of `activate` do.

        Returns:
            [B, C, F + 2, H, W]; `x` is not changed.
        """
        kept = _KERNEL - 1
        # Before there is a buffer, since this takes as much memory for a moment.
        scale = _root_mean_square(x)
        padded = x.new_empty(*x.shape[:2], kept + x.shape[2], *x.shape[3:])
        torch.div(x, scale, out=padded[:, :, kept:])
        # In one piece, whatever there is in front: SiLU rounds otherwise at the ends of pieces.
        functional.silu(padded, inplace=True)
        before = state.take(self, x.device)
        padded[:, :, :kept] = padded[:, :, kept : kept + 1] if before is None else before
        del before
        state.keep(self, padded[:, :, -kept:])
        return padded

    def _with_history(self, x: Tensor, state: StreamState | None) -> Tensor:
        before = state.take(self, x.device) if state is not None else None
        # One by one, since frames that share their memory would make torch forget channels-last.
        front = [x[:, :, :1]] * (_KERNEL - 1) if before is None else [before]
        padded = torch.cat((*front, x), dim=2)
        if state is not None:
            state.keep(self, padded[:, :, 1 - _KERNEL :])
        return padded


class ResidualBlock(nn.Module):
    """Twice norm → SiLU → convolution, plus the input."""

    def __init__(self, channels: int, *, padding: Padding, causal: bool) -> None:
        super().__init__()
        self.conv1 = TimeConv3d(channels, channels, padding=padding, causal=causal)
        self.conv2 = TimeConv3d(channels, channels, padding=padding, causal=causal)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        """Return a tensor like `x`; while streaming leanly, `x` itself with other values."""
        if state is not None and state.lean:
            return self._added_to(x, state)
        # No names for what comes between: each tensor is freed as soon as the next one is there.
        hidden = self.conv2(activate(self.conv1(activate(x), state)), state)
        return x + cast("Tensor", hidden)

    def _added_to(self, x: Tensor, state: StreamState) -> Tensor:
        hidden = x
        for conv in (self.conv1, self.conv2):
            padded = conv.active_behind_history(hidden, state)
            del hidden
            hidden = conv.conv(padded)
            del padded
        return x.add_(hidden)


class ResidualBlocks(nn.Module):
    """`res_x`: some residual blocks in a row."""

    def __init__(self, channels: int, layers: int, *, padding: Padding, causal: bool) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            ResidualBlock(channels, padding=padding, causal=causal) for _ in range(layers)
        )

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        """Return a tensor like `x`."""
        for block in self.res_blocks:
            x = block(x, state)
        return x


class Downsample(nn.Module):
    """`compress_*_res`: a convolution folded into channels, plus the folded input averaged.

    Where time is halved, the clip's first frame is put in front once more: 1 + 2n frames give
    1 + n. While streaming this happens in the first chunk only.
    """

    def __init__(self, channels: int, block: Block, *, padding: Padding) -> None:
        super().__init__()
        self.stride = block.stride
        cells = math.prod(block.stride)
        self.out_channels = channels * block.multiplier
        self.conv = TimeConv3d(channels, self.out_channels // cells, padding=padding, causal=True)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        """Return [B, out_channels, F/s, H/s, W/s], s being the stride of each axis."""
        if self.stride[0] == 2 and not (state is not None and state.started):
            x = torch.cat((x[:, :, :1], x), dim=2)
        folded = fold(x, self.stride)
        skip = folded.view(x.shape[0], self.out_channels, -1, *folded.shape[2:]).mean(dim=2)
        del folded
        return fold(self.conv(x, state), self.stride) + skip


class Upsample(nn.Module):
    """`compress_*` of a decoder: a convolution unfolded from channels, maybe plus the input.

    Where time is doubled, the first frame is dropped: 1 + n frames give 1 + 2n.
    """

    def __init__(self, channels: int, block: Block, *, padding: Padding, causal: bool) -> None:
        super().__init__()
        self.stride = block.stride
        cells = math.prod(block.stride)
        # How often the unfolded input is repeated to have as many channels as the output.
        self.repeats = cells // block.multiplier if block.residual else 0
        self.conv = TimeConv3d(
            channels, channels * cells // block.multiplier, padding=padding, causal=causal
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels / multiplier, F·s, H·s, W·s] with s as in the stride."""
        first = self.stride[0] - 1
        out = unfold(self.conv(x), self.stride)[:, :, first:]
        if not self.repeats:
            return out
        skip = unfold(x, self.stride)[:, :, first:]
        return out + skip.repeat(1, self.repeats, 1, 1, 1)


class ChannelStatistics(nn.Module):
    """Mean and deviation of each latent channel, which normalise the latents."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean-of-means", torch.empty(channels))
        self.register_buffer("std-of-means", torch.empty(channels))

    def normalise(self, latents: Tensor) -> Tensor:
        """Return (latents − mean) / deviation, in the dtype of `latents`."""
        return (latents - self._like("mean-of-means", latents)) / self._like(
            "std-of-means", latents
        )

    def restore(self, latents: Tensor) -> Tensor:
        """Undo `normalise`."""
        return latents * self._like("std-of-means", latents) + self._like("mean-of-means", latents)

    def _like(self, name: str, latents: Tensor) -> Tensor:
        return self.get_buffer(name).view(1, -1, 1, 1, 1).to(latents)


def activate(x: Tensor) -> Tensor:
    """Norm, then SiLU."""
    return functional.silu(pixel_norm(x))


def pixel_norm(x: Tensor) -> Tensor:
    """Return x / sqrt(mean over channels of x² + 1e−8)."""
    return x / _root_mean_square(x)


def fold(x: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """Move cells of `stride` (time, height, width) into channels; the channel stays outermost.

    What is channels-last in memory stays so.
    """
    (t, h, w), (b, _, frames, height, width) = stride, x.shape
    cells = x.reshape(b, -1, frames // t, t, height // h, h, width // w, w)
    return _gathered(cells, (1, 3, 5, 7), (2, 4, 6), like=x)


def unfold(x: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """Undo `fold`."""
    (t, h, w), (b, _, frames, height, width) = stride, x.shape
    cells = x.reshape(b, -1, t, h, w, frames, height, width).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cells.reshape(b, -1, frames * t, height * h, width * w)


def patchify(pixels: Tensor, size: int) -> Tensor:
    """Move patches of size × size pixels into channels, ordered channel, column, row.

    What is channels-last in memory stays so.
    """
    b, c, frames, height, width = pixels.shape
    patches = pixels.reshape(b, c, frames, height // size, size, width // size, size)
    return _gathered(patches, (1, 6, 4), (2, 3, 5), like=pixels)


def _gathered(
    cells: Tensor, channels: tuple[int, ...], others: tuple[int, ...], *, like: Tensor
) -> Tensor:
    """Return [B, C, F, H, W], C made of the axes `channels`; laid out in memory as `like`."""
    last = torch.channels_last_3d
    if like.is_contiguous(memory_format=last) and not like.is_contiguous():
        return cells.permute(0, *others, *channels).flatten(4).permute(0, 4, 1, 2, 3)
    return cells.permute(0, *channels, *others).flatten(1, len(channels))


def unpatchify(x: Tensor, size: int) -> Tensor:
    """Undo `patchify`."""
    b, _, frames, height, width = x.shape
    patches = x.reshape(b, -1, size, size, frames, height, width).permute(0, 1, 4, 5, 3, 6, 2)
    return patches.reshape(b, -1, frames, height * size, width * size)


def _root_mean_square(x: Tensor) -> Tensor:
    return torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + _EPS)


def _with_both_ends(x: Tensor) -> Tensor:
    return torch.cat((x[:, :, :1], x, x[:, :, -1:]), dim=2)
