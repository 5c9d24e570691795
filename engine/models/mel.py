"""From a waveform to the log-mel spectrogram that the audio VAE takes."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

from engine.models.audio_config import AudioConfig

_FLOOR = 1e-5


class MelFrontEnd:
    """Resample, then take the logarithm of the mel spectrogram.

    It is no module: its window and filters are no weights, and stay in float32.

    Attributes:
        sample_rate: Hz that it works at.
        least: Samples at that rate below which it pads.
        device: Where it works.
    """

    def __init__(self, config: AudioConfig, device: torch.device | str = "cpu") -> None:
        self.sample_rate = config.sample_rate
        # Reflect padding by half a window needs more samples than that.
        self.least = config.n_fft // 2 + 1
        self.device = torch.device(device)
        self._transform = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            win_length=config.n_fft,
            hop_length=config.hop_length,
            f_min=0.0,
            f_max=config.sample_rate / 2,
            n_mels=config.mel_bins,
            window_fn=torch.hann_window,
            center=True,
            pad_mode="reflect",
            power=1.0,
            norm="slaney",
            mel_scale="slaney",
        ).to(self.device)

    def __call__(self, waveform: Tensor, rate: int) -> Tensor:
        """Return the log-mel spectrogram, float32 [B, C, T, bins].

        T = 1 + samples // hop at the front end's rate. A sound shorter than half a window is
        padded with zeros at its end.

        Args:
            waveform: [B, C, samples], at least one sample.
            rate: Its sample rate in Hz.
        """
        waveform = waveform.to(self.device, torch.float32)
        if rate != self.sample_rate:
            waveform = torchaudio.functional.resample(waveform, rate, self.sample_rate)
        if waveform.shape[-1] < self.least:
            waveform = functional.pad(waveform, (0, self.least - waveform.shape[-1]))
        mel: Tensor = self._transform(waveform)
        return torch.log(torch.clamp(mel, min=_FLOOR)).transpose(-1, -2).contiguous()
