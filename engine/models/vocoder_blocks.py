"""The blocks of the vocoders, over [batch, channels, samples].

HiFi-GAN (Kong et al., 2020) for LTX-2.0; BigVGAN's anti-aliased periodic activations (Lee et al.,
2022) for LTX-2.3. Parameters and buffers are named as in Lightricks' checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1
_EPSILON = 1e-9
_TAPS = 12


class ResBlock(nn.Module):
    """HiFi-GAN's block: for each dilation leaky ReLU, dilated convolution, the same undilated."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_conv(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_conv(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(functional.leaky_relu(first(functional.leaky_relu(x, SLOPE)), SLOPE)) + x
        return x


class PeriodicBlock(nn.Module):
    """BigVGAN's AMP block: as `ResBlock`, with anti-aliased snake-beta for the leaky ReLU."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_conv(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_conv(channels, kernel, 1) for _ in dilations)
        self.acts1 = nn.ModuleList(SmoothActivation(channels) for _ in dilations)
        self.acts2 = nn.ModuleList(SmoothActivation(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        for a1, c1, a2, c2 in zip(self.acts1, self.convs1, self.acts2, self.convs2, strict=True):
            x = x + c2(a2(c1(a1(x))))
        return x


class SnakeBeta(nn.Module):
    """x + sin²(x · e^alpha) / e^beta, with both learnt for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        alpha, beta = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return x + (1.0 / (beta + _EPSILON)) * torch.sin(x * alpha).pow(2)


class SmoothActivation(nn.Module):
    """Snake-beta at twice the rate, so that the harmonics it makes do not fold back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = _Upsample()
        self.downsample = _Downsample()

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        out: Tensor = self.downsample(self.act(self.upsample(x)))
        return out


class _Upsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", lowpass())

    def forward(self, x: Tensor) -> Tensor:
        # Five samples of context on either side; what they add to the ends is cut off again.
        edge = _TAPS // 2 - 1
        cut = 2 * edge + (_TAPS - 2) // 2
        return _interpolate(x, self.get_buffer("filter"), 2, edge, (cut, cut))


class _Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # The file calls the filter `downsample.lowpass.filter`.
        self.lowpass = nn.Module()
        self.lowpass.register_buffer("filter", lowpass())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = functional.pad(x, (_TAPS // 2 - 1, _TAPS // 2), mode="replicate")
        taps = self.lowpass.get_buffer("filter").expand(channels, -1, -1)
        return functional.conv1d(x, taps, stride=2, groups=channels)


class SincUpsample:
    """Raise the sampling rate by a whole factor with a Hann-windowed sinc.

    The filter is torchaudio's default for resampling (rolloff 0.99, six zero crossings).
    """

    def __init__(self, ratio: int) -> None:
        rolloff, crossings = 0.99, 6
        self.ratio = ratio
        self.width = math.ceil(crossings / rolloff)
        size = 2 * self.width * ratio + 1
        # On the CPU even where modules are being built on "meta": no checkpoint holds it.
        time = (torch.arange(size, device="cpu") / ratio - self.width) * rolloff
        window = torch.cos(time.clamp(-crossings, crossings) * math.pi / crossings / 2) ** 2
        self.filter = (torch.sinc(time) * window * rolloff / ratio).view(1, 1, -1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [B, C, ratio · N]."""
        cut = 2 * self.width * self.ratio
        return _interpolate(
            x, self.filter.to(x), self.ratio, self.width, (cut, cut + 1 - self.ratio)
        )


def lowpass() -> Tensor:
    """Return the 12-tap Kaiser-windowed sinc that halves the band, float32 [1, 1, 12].

    Cutoff a quarter of the rate, transition 0.3 of it on either side; Kaiser's formulas for the
    window's beta, as in Oppenheim and Schafer, Discrete-Time Signal Processing.
    """
    cutoff, transition = 0.25, 4 * 0.3
    attenuation = 2.285 * (_TAPS // 2 - 1) * math.pi * transition + 7.95
    beta = (
        0.1102 * (attenuation - 8.7)
        if attenuation > 50
        else 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    )
    window = torch.kaiser_window(_TAPS, periodic=False, beta=beta)
    time = 2 * cutoff * (torch.arange(-_TAPS // 2, _TAPS // 2) + 0.5)
    taps = 2 * cutoff * window * torch.sinc(time)
    return (taps / taps.sum()).view(1, 1, _TAPS)


def _interpolate(x: Tensor, taps: Tensor, ratio: int, edge: int, cut: tuple[int, int]) -> Tensor:
    """Spread `x` by `ratio` through a filter, with its ends repeated `edge` times before."""
    channels = x.shape[1]
    x = functional.pad(x, (edge, edge), mode="replicate")
    x = functional.conv_transpose1d(x, taps.expand(channels, -1, -1), stride=ratio, groups=channels)
    return (ratio * x)[..., cut[0] : x.shape[-1] - cut[1]]


def _conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding="same")
