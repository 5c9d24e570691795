"""The vocoder: mel spectrogram to waveform, at 24 kHz (LTX-2.0) or 48 kHz (2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.audio_config import (
    AudioConfig,
    ExtensionConfig,
    VocoderConfig,
    audio_config,
    vocoder_config,
)
from engine.models.checkpoint import Checkpoint
from engine.models.vocoder_blocks import (
    SLOPE,
    PeriodicBlock,
    ResBlock,
    SincUpsample,
    SmoothActivation,
)
from engine.models.weights import load_into

_FLOOR = 1e-5
_CHANNELS = 2


class Generator(nn.Module):
    """Transposed convolutions that raise the rate, each followed by parallel residual blocks."""

    def __init__(self, config: VocoderConfig, mel_bins: int) -> None:
        super().__init__()
        self.config = config
        width = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(_CHANNELS * mel_bins, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        block = PeriodicBlock if config.resblock == "AMP1" else ResBlock
        shapes = list(
            zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        )
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(
                    width, width // 2, kernel, stride=rate, padding=(kernel - rate) // 2
                )
            )
            width //= 2
            self.resblocks.extend(block(width, size, dilations) for size, dilations in shapes)
        # Not `SLOPE`: the last leaky ReLU has torch's default of 0.01.
        periodic = config.resblock == "AMP1"
        self.act_post = SmoothActivation(width) if periodic else nn.LeakyReLU()
        self.conv_post = nn.Conv1d(width, _CHANNELS, 7, padding=3, bias=config.use_bias_at_final)

    def forward(self, mel: Tensor) -> Tensor:
        """Turn [B, 2, frames, bins] into [B, 2, samples]."""
        x: Tensor = self.conv_pre(mel.transpose(2, 3).flatten(1, 2))
        parallel = len(self.config.resblock_kernel_sizes)
        for i, up in enumerate(self.ups):
            x = up(x if self.config.resblock == "AMP1" else functional.leaky_relu(x, SLOPE))
            blocks = self.resblocks[i * parallel : (i + 1) * parallel]
            x = torch.stack([block(x) for block in blocks]).mean(dim=0)
        x = self.conv_post(self.act_post(x))
        if not self.config.apply_final_activation:
            return x
        return torch.tanh(x) if self.config.use_tanh_at_final else x.clamp(-1, 1)


class CausalMel(nn.Module):
    """Log-mel spectrogram of the first stage, with the Fourier basis that the file brings.

    The basis is windowed and rounded as in training, so it is read and not computed.
    """

    def __init__(self, config: ExtensionConfig) -> None:
        super().__init__()
        rows = config.n_fft // 2 + 1
        self.hop_length = config.hop_length
        self.history = max(0, config.n_fft - config.hop_length)
        self.register_buffer("mel_basis", torch.zeros(config.num_mels, rows))
        self.stft_fn = nn.Module()
        for name in ("forward_basis", "inverse_basis"):
            self.stft_fn.register_buffer(name, torch.zeros(2 * rows, 1, config.n_fft))

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn [B, C, samples], a multiple of the hop, into [B, C, samples / hop, bins]."""
        batch, channels, _ = waveform.shape
        x = functional.pad(waveform.flatten(0, 1)[:, None], (self.history, 0))
        basis = self.stft_fn.get_buffer("forward_basis")
        real, imaginary = functional.conv1d(x, basis, stride=self.hop_length).chunk(2, dim=1)
        magnitude = torch.sqrt(real**2 + imaginary**2)
        mel = torch.log(torch.clamp(self.get_buffer("mel_basis") @ magnitude, min=_FLOOR))
        return mel.view(batch, channels, *mel.shape[1:]).transpose(2, 3)


class Vocoder(nn.Module):
    """A vocoder of either generation.

    Attributes:
        sample_rate: Hz of what comes out.
    """

    sample_rate: int

    @torch.inference_mode()
    def synthesise(self, mel: Tensor) -> Tensor:
        """Turn a log-mel spectrogram into sound.

        Args:
            mel: [2, frames, bins] or [B, 2, frames, bins], as the audio decoder gives it.

        Returns:
            float32 [2, samples] or [B, 2, samples] at `sample_rate`, -1 … 1.
        """
        batch = mel if mel.dim() == 4 else mel[None]
        sound: Tensor = self(batch.to(next(self.parameters()))).float()
        return sound if mel.dim() == 4 else sound[0]


class PlainVocoder(Generator, Vocoder):
    """LTX-2.0: one HiFi-GAN generator."""

    def __init__(self, config: VocoderConfig, mel_bins: int) -> None:
        super().__init__(config, mel_bins)
        self.sample_rate = config.output_sampling_rate


class ExtendedVocoder(Vocoder):
    """LTX-2.3: a generator, and a second one that adds what lies above the first one's band."""

    def __init__(self, first: VocoderConfig, second: ExtensionConfig, mel_bins: int) -> None:
        super().__init__()
        self.sample_rate = second.output_sampling_rate
        self.vocoder = Generator(first, mel_bins)
        self.bwe_generator = Generator(second, second.num_mels)
        self.mel_stft = CausalMel(second)
        self.hop_length = second.hop_length
        self.ratio = second.output_sampling_rate // second.input_sampling_rate
        self._resample = SincUpsample(self.ratio)

    def forward(self, mel: Tensor) -> Tensor:
        """Turn [B, 2, frames, bins] into [B, 2, samples]."""
        low = self.vocoder(mel)
        samples = low.shape[-1] * self.ratio
        low = functional.pad(low, (0, -low.shape[-1] % self.hop_length))
        high: Tensor = self.bwe_generator(self.mel_stft(low)) + self._resample(low)
        return high.clamp(-1, 1)[..., :samples]


def build_vocoder(
    first: VocoderConfig, second: ExtensionConfig | None, mel_bins: int
) -> PlainVocoder | ExtendedVocoder:
    """Build a vocoder with random weights, on the current default device."""
    if second is None:
        return PlainVocoder(first, mel_bins)
    return ExtendedVocoder(first, second, mel_bins)


def load_vocoder(
    checkpoint: Checkpoint, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> PlainVocoder | ExtendedVocoder:
    """Build the vocoder of a checkpoint and load its weights.

    Raises:
        ModelError: The checkpoint has none, or its weights do not fit its config.
    """
    audio: AudioConfig = audio_config(checkpoint.section("audio_vae"), checkpoint.path)
    configs = vocoder_config(checkpoint.section("vocoder"), checkpoint.path)
    with torch.device("meta"):
        model = build_vocoder(*configs, audio.mel_bins)
    load_into(model, checkpoint, checkpoint.vocoder_prefix, device=device, dtype=dtype)
    return model
