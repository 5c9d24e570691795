"""The blocks of the audio VAE: convolutions over [batch, channels, time, frequency].

Time runs only forward: a convolution sees the present frame and the ones before it. In
frequency the padding is symmetric. Parameters are named as in Lightricks' checkpoints.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-6


def pixel_norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square over the channels (axis 1)."""
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + _EPSILON)


class CausalConv(nn.Module):
    """A convolution that keeps the size, padded with zeros before the first frame."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        side = (kernel - 1) // 2
        self.padding = (side, side, kernel - 1, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, T, F]."""
        out: Tensor = self.conv(functional.pad(x, self.padding))
        return out


class ResBlock(nn.Module):
    """Twice norm, SiLU, convolution; plus the input, through a 1×1 where the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = CausalConv(inputs, outputs)
        self.conv2 = CausalConv(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = CausalConv(inputs, outputs, kernel=1)
        self.widens = inputs != outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, T, F]."""
        h = self.conv1(functional.silu(pixel_norm(x)))
        h = self.conv2(functional.silu(pixel_norm(h)))
        out: Tensor = (self.nin_shortcut(x) if self.widens else x) + h
        return out


class Downsample(nn.Module):
    """Halve time (rounded up) and frequency."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, ceil(T / 2), F / 2]."""
        out: Tensor = self.conv(functional.pad(x, (0, 1, 2, 0)))
        return out


class Upsample(nn.Module):
    """Double frequency, and time but for one frame: the inverse of `Downsample`'s rounding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, 2 T - 1, 2 F]."""
        x = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x[:, :, 1:]


class Middle(nn.Module):
    """Two residual blocks at the lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels)
        self.block_2 = ResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        out: Tensor = self.block_2(self.block_1(x))
        return out


class Level(nn.Module):
    """The residual blocks of one resolution, and the way to the next one."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int,
        *,
        down: bool = False,
        up: bool = False,
    ) -> None:
        super().__init__()
        widths = [inputs, *[outputs] * blocks]
        self.block = nn.ModuleList(ResBlock(a, b) for a, b in pairwise(widths))
        if down:
            self.downsample = Downsample(outputs)
        if up:
            self.upsample = Upsample(outputs)
        self.down, self.up = down, up

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, …] at the next level's resolution."""
        for block in self.block:
            x = block(x)
        if self.down:
            x = self.downsample(x)
        return self.upsample(x) if self.up else x


class ChannelStatistics(nn.Module):
    """Mean and deviation of each of the z × frequency values of a latent frame."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.shape = (channels, 1, bins)
        self.register_buffer("mean-of-means", torch.zeros(channels * bins))
        self.register_buffer("std-of-means", torch.ones(channels * bins))

    def normalise(self, x: Tensor) -> Tensor:
        """Return (x - mean) / deviation of [B, channels, T, bins]."""
        return (x - self._get("mean-of-means", x)) / self._get("std-of-means", x)

    def restore(self, x: Tensor) -> Tensor:
        """Undo `normalise`."""
        return x * self._get("std-of-means", x) + self._get("mean-of-means", x)

    def _get(self, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(name).to(like).view(self.shape)
