"""Latents back into videos, images and sounds, to look at and listen to."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import LtxError
from engine.media.audio import Waveform
from engine.media.write import write_png, write_video, write_wav
from engine.models.audio_vae import AudioDecoder, load_audio_decoder
from engine.models.checkpoint import Checkpoint
from engine.models.tiling import tiled_decode
from engine.models.video_vae import VideoDecoder, load_video_decoder
from engine.models.vocoder import Vocoder, load_vocoder
from engine.precompute.outputs import Payload, load, tensor
from engine.precompute.stages.base import (
    Cancelled,
    CancelledError,
    Loading,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import DecodeStep, StageSetup


class VideoDecodeStage(StageRunner[DecodeStep, Payload]):
    """Decodes video latents into MP4, or PNG for one frame."""

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        super().__init__(setup, loading)
        self._checkpoint = Checkpoint.open(setup.checkpoint_path)
        self._decoder: VideoDecoder | None = None

    def open(self) -> None:
        """Load the video decoder."""
        self._loaded()

    def _loaded(self) -> VideoDecoder:
        if self._decoder is None:
            self.loading("video VAE decoder", str(self.device))
            dtype = resolve_dtype(self.setup.dtype)
            self._decoder = load_video_decoder(self._checkpoint, self.device, dtype)
        return self._decoder

    def close(self) -> None:
        """Free it."""
        self._decoder = None

    def prepare(self, step: DecodeStep) -> Payload:
        """Read the latents."""
        return _read(step, "fps")

    def make(
        self, steps: Sequence[DecodeStep], prepared: Sequence[Payload], cancelled: Cancelled
    ) -> list[Made]:
        """Decode each clip into uint8 frames [F, H, W, 3]."""
        made = []
        for _, payload in zip(steps, prepared, strict=True):
            if cancelled():
                raise CancelledError
            latents = tensor(payload, "latents")[None].to(self.device)
            decoder = self._loaded()
            tiled = self.setup.vae_tiling
            pixels = tiled_decode(decoder, latents) if tiled else decoder.decode(latents)
            made.append(Made(payload={"frames": to_frames(pixels[0]), "fps": payload["fps"]}))
        return made

    def write(self, step: DecodeStep, made: Made) -> Path:
        """Write an MP4 at the exact rate, or a PNG."""
        frames, path = tensor(made.payload, "frames"), Path(step.output)
        if frames.shape[0] == 1:
            path = path.with_suffix(".png")
            write_png(path, frames[0].numpy())
        else:
            write_video(path, iter(frames.numpy()), exact_rate(float(made.payload["fps"])))
        return path


class AudioDecodeStage(StageRunner[DecodeStep, Payload]):
    """Decodes audio latents into WAV, cut to the length that they were encoded from."""

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        super().__init__(setup, loading)
        self._checkpoint = Checkpoint.open(setup.checkpoint_path)
        self._models: tuple[AudioDecoder, Vocoder] | None = None

    def open(self) -> None:
        """Load the audio decoder and the vocoder."""
        self._loaded()

    def _loaded(self) -> tuple[AudioDecoder, Vocoder]:
        if self._models is None:
            self.loading("audio VAE decoder and vocoder", str(self.device))
            self._models = (
                load_audio_decoder(self._checkpoint, self.device),
                load_vocoder(self._checkpoint, self.device),
            )
        return self._models

    def close(self) -> None:
        """Free them."""
        self._models = None

    def prepare(self, step: DecodeStep) -> Payload:
        """Read the latents."""
        return _read(step, "duration")

    def make(
        self, steps: Sequence[DecodeStep], prepared: Sequence[Payload], cancelled: Cancelled
    ) -> list[Made]:
        """Decode each sound."""
        made = []
        for _, payload in zip(steps, prepared, strict=True):
            if cancelled():
                raise CancelledError
            decoder, vocoder = self._loaded()
            samples = vocoder.synthesise(decoder.decode(tensor(payload, "latents").to(self.device)))
            length = round(float(payload["duration"]) * vocoder.sample_rate)
            made.append(
                Made(payload={"samples": samples[:, :length].cpu(), "rate": vocoder.sample_rate})
            )
        return made

    def write(self, step: DecodeStep, made: Made) -> Path:
        """Write a WAV."""
        samples, path = tensor(made.payload, "samples"), Path(step.output)
        write_wav(path, Waveform(samples=samples, rate=int(made.payload["rate"])))
        return path


def to_frames(pixels: Tensor) -> Tensor:
    """Turn [3, F, H, W] in −1 … 1 into uint8 [F, H, W, 3] on the CPU."""
    scaled = (pixels.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(1, 2, 3, 0).contiguous().cpu()


def exact_rate(fps: float) -> Fraction:
    """Return the rational rate behind a float: 23.976… is 24000/1001."""
    film = Fraction(round(fps) * 1000, 1001)
    return film if abs(fps - film) < 1e-4 else Fraction(fps).limit_denominator(100_000)


def _read(step: DecodeStep, number: str) -> Payload:
    payload = load(Path(step.source))
    if not isinstance(payload.get("latents"), Tensor) or number not in payload:
        raise LtxError(f"holds no latents with {number}", file=step.source)
    return payload
