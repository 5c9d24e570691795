"""Audio latents of the kept frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from engine.errors import MediaError
from engine.media.audio import Waveform, read_audio, sample_count, silence
from engine.models.audio_config import audio_config
from engine.models.audio_vae import AudioEncoder, load_audio_encoder
from engine.precompute.outputs import Expected, audio_payload, expect_audio
from engine.precompute.stages.base import Cancelled, CancelledError, Loading, Made, StageRunner
from engine.precompute.steps import AudioStep, StageSetup


class AudioStage(StageRunner[AudioStep, Waveform, AudioEncoder]):
    """Encodes the sound of clips with the audio VAE, in float32."""

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        super().__init__(setup, loading)
        self._config = audio_config(self.checkpoint.section("audio_vae"), setup.checkpoint_path)

    def load(self) -> AudioEncoder:
        """Load the audio encoder."""
        self.loading("audio VAE encoder", str(self.device))
        return load_audio_encoder(self.checkpoint, self.device)

    def prepare(self, step: AudioStep) -> Waveform:
        """Read the sound of exactly the kept frames, or make silence."""
        duration = step.window.duration
        if step.silence:
            return silence(duration, self._config.sample_rate)
        found = read_audio(Path(step.media), step.probe, start=step.window.start, duration=duration)
        if found is None:
            raise MediaError("its sound has gone since it was probed", remedy="run again")
        return found

    def make(
        self, steps: Sequence[AudioStep], prepared: Sequence[Waveform], cancelled: Cancelled
    ) -> list[Made]:
        """Encode each sound."""
        made = []
        for _, sound in zip(steps, prepared, strict=True):
            if cancelled():
                raise CancelledError
            samples = sound.samples.to(self.device)
            latents = self.model.encode(samples, sound.rate)
            made.append(Made(payload=audio_payload(latents, sound.samples.shape[1] / sound.rate)))
        return made

    def expected(self, step: AudioStep) -> Expected:
        """Return the latents' shape: see `AudioEncoder.encode` for the number of steps."""
        config, duration = self._config, step.window.duration
        rate = config.sample_rate if step.silence else step.probe.audio[0].rate
        heard = sample_count(duration, rate)
        samples = math.ceil(Fraction(heard * config.sample_rate, rate))
        steps = math.ceil((1 + samples // config.hop_length) / config.compression)
        shape = (config.layout.z_channels, steps, config.frequency_bins)
        return expect_audio(shape, heard / rate)
