"""The audio VAE: waveform to latents, latents to mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import MediaError
from engine.models.audio_blocks import CausalConv, ChannelStatistics, Level, Middle, pixel_norm
from engine.models.audio_config import AudioConfig, audio_config
from engine.models.checkpoint import Checkpoint
from engine.models.mel import MelFrontEnd
from engine.models.weights import load_into


class _Encoder(nn.Module):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        layout = config.layout
        widths = [layout.ch * m for m in layout.ch_mult]
        last = len(widths) - 1
        self.conv_in = CausalConv(layout.in_channels, layout.ch)
        self.down = nn.ModuleList(
            Level(before, width, layout.num_res_blocks, down=i < last)
            for i, (before, width) in enumerate(zip([layout.ch, *widths], widths, strict=False))
        )
        self.mid = Middle(widths[-1])
        self.conv_out = CausalConv(widths[-1], layout.z_channels * (2 if layout.double_z else 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(pixel_norm(self.mid(x))))
        return out


class _Decoder(nn.Module):
    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        layout = config.layout
        widths = [layout.ch * m for m in layout.ch_mult]
        self.conv_in = CausalConv(layout.z_channels, widths[-1])
        self.mid = Middle(widths[-1])
        # Level 0 is the full resolution and runs last.
        self.up = nn.ModuleList(
            Level(before, width, layout.num_res_blocks + 1, up=i > 0)
            for i, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))
        )
        self.conv_out = CausalConv(widths[0], layout.out_ch)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(pixel_norm(x)))
        return out


class AudioEncoder(nn.Module):
    """From a stereo waveform to normalised latents; the means, nothing is drawn at random.

    Attributes:
        config: The figures that it was built from.
    """

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.per_channel_statistics = ChannelStatistics(
            config.layout.z_channels, config.frequency_bins
        )
        self._front_end: MelFrontEnd | None = None

    def forward(self, mel: Tensor) -> Tensor:
        """Encode log-mel spectrograms [B, 2, frames, bins] into [B, z, T, bins / 4]."""
        means = self.encoder(mel)[:, : self.config.layout.z_channels]
        return self.per_channel_statistics.normalise(means)

    @torch.inference_mode()
    def encode(self, waveform: Tensor, rate: int) -> Tensor:
        """Encode a sound.

        Args:
            waveform: float32 [2, N], or a batch [B, 2, N]; -1 … 1.
            rate: Its sample rate in Hz.

        Returns:
            float32 [8, T, 16], or [B, 8, T, 16], on the encoder's device;
            T = ceil((1 + samples // hop) / 4) with the samples at the VAE's rate.

        Raises:
            MediaError: No samples, or another number of channels.
        """
        channels = self.config.layout.in_channels
        if waveform.dim() not in (2, 3) or waveform.shape[-2] != channels:
            raise MediaError(
                f"the audio VAE takes {channels} channels, not a waveform of shape "
                f"{tuple(waveform.shape)}"
            )
        if not waveform.shape[-1]:
            raise MediaError("the sound has no samples")
        batch = waveform if waveform.dim() == 3 else waveform[None]
        weight = self.encoder.conv_in.conv.weight
        if self._front_end is None or self._front_end.device != weight.device:
            self._front_end = MelFrontEnd(self.config, weight.device)
        mel = self._front_end(batch, rate)
        latents: Tensor = self(mel.to(weight.dtype)).float()
        return latents if waveform.dim() == 3 else latents[0]


class AudioDecoder(nn.Module):
    """From normalised latents to the log-mel spectrogram that the vocoder takes."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = _Decoder(config)
        self.per_channel_statistics = ChannelStatistics(
            config.layout.z_channels, config.frequency_bins
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Decode [B, z, T, bins / 4] into [B, 2, 4 T - 3, bins]."""
        out: Tensor = self.decoder(self.per_channel_statistics.restore(latents))
        return out

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode [8, T, 16], or a batch of it, into float32 [2, 4 T - 3, 64], or a batch."""
        batch = latents if latents.dim() == 4 else latents[None]
        mel: Tensor = self(batch.to(self.decoder.conv_in.conv.weight)).float()
        return mel if latents.dim() == 4 else mel[0]


def load_audio_encoder(
    checkpoint: Checkpoint, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> AudioEncoder:
    """Build the audio encoder of a checkpoint and load its weights.

    Raises:
        ModelError: The checkpoint has none, or its weights do not fit its config.
    """
    config = audio_config(checkpoint.section("audio_vae"), checkpoint.path)
    with torch.device("meta"):
        model = AudioEncoder(config)
    _load(model, checkpoint, "decoder.", device, dtype)
    return model


def load_audio_decoder(
    checkpoint: Checkpoint, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> AudioDecoder:
    """Build the audio decoder of a checkpoint and load its weights; raises likewise."""
    config = audio_config(checkpoint.section("audio_vae"), checkpoint.path)
    with torch.device("meta"):
        model = AudioDecoder(config)
    _load(model, checkpoint, "encoder.", device, dtype)
    return model


def _load(
    model: nn.Module,
    checkpoint: Checkpoint,
    other: str,
    device: torch.device | str,
    dtype: torch.dtype,
) -> None:
    """Load everything of the audio VAE but the tensors under `other`."""

    def own(name: str) -> str | None:
        # Files may carry more statistics than the two that normalise.
        unused = name.startswith("per_channel_statistics.") and not name.endswith("-of-means")
        return None if unused or name.startswith(other) else name

    load_into(
        model, checkpoint, checkpoint.audio_vae_prefix, device=device, dtype=dtype, rename=own
    )
