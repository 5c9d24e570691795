"""Audio latents of the kept frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch

from engine.errors import MediaError
from engine.media.audio import Waveform, read_audio, sample_count, silence
from engine.models.audio_config import audio_config
from engine.models.audio_vae import AudioEncoder, load_audio_encoder
from engine.precompute.outputs import Expected, Payload, audio_payload, expect_audio
from engine.precompute.stages.base import Cancelled, Home, Made, StageRunner
from engine.precompute.steps import AudioStep

# Samples a second, all channels together: stereo at a rate that few files exceed.
_MOST_SAMPLES = 2 * 96_000


class AudioStage(StageRunner[AudioStep, Waveform, AudioEncoder]):
    """Encodes the sound of clips with the audio VAE, in float32."""

    def read_headers(self) -> None:
        """Read the audio VAE's config."""
        self._config = audio_config(self.checkpoint.section("audio_vae"), self.checkpoint.path)

    def load(self, home: Home[AudioEncoder]) -> AudioEncoder:
        """Load the audio encoder."""
        self.loading("audio VAE encoder", str(home.device))
        return load_audio_encoder(self.checkpoint, home.device)

    def prepare(self, step: AudioStep) -> Waveform:
        """Read the sound of exactly the kept frames, or make silence."""
        duration = step.window.duration
        if step.silence:
            return silence(duration, self._config.sample_rate)
        found = read_audio(Path(step.media), step.probe, start=step.window.start, duration=duration)
        if found is None:
            raise MediaError("its sound has gone since it was probed", remedy="run again")
        return found

    def host_bytes(self, step: AudioStep) -> int:
        """Return the bytes of the sound's samples in float32."""
        return math.ceil(step.window.duration * _MOST_SAMPLES) * 4

    def make(
        self,
        steps: Sequence[AudioStep],
        prepared: Sequence[Waveform],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Encode each sound."""
        return [
            self._encode(step, sound, cancelled, lower)
            for step, sound in zip(steps, prepared, strict=True)
        ]

    def _encode(self, step: AudioStep, sound: Waveform, cancelled: Cancelled, lower: int) -> Made:
        seconds = sound.samples.shape[1] / sound.rate

        def run(model: AudioEncoder, device: torch.device) -> Payload:
            latents = model.encode(sound.samples.to(device), sound.rate)
            return audio_payload(latents, seconds)

        return self.guarded(f"{math.ceil(seconds)} s of sound", run, step, cancelled, lower)

    def expected(self, step: AudioStep) -> Expected:
        """Return the latents' shape: see `AudioEncoder.encode` for the number of steps."""
        config, duration = self._config, step.window.duration
        rate = config.sample_rate if step.silence else step.probe.audio[0].rate
        heard = sample_count(duration, rate)
        samples = math.ceil(Fraction(heard * config.sample_rate, rate))
        steps = math.ceil((1 + samples // config.hop_length) / config.compression)
        shape = (config.layout.z_channels, steps, config.frequency_bins)
        return expect_audio(shape, heard / rate)
