"""Latents back into videos, images and sounds, to look at and listen to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import LtxError
from engine.media.audio import Waveform
from engine.media.selection import exact_rate
from engine.media.write import write_png, write_video, write_wav
from engine.models.audio_vae import AudioDecoder, load_audio_decoder
from engine.models.tiling import tiled_decode
from engine.models.video_vae import VideoDecoder, load_video_decoder
from engine.models.vocoder import Vocoder, load_vocoder
from engine.precompute.outputs import Payload, load, tensor
from engine.precompute.stages.base import (
    Cancelled,
    CancelledError,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import DecodeStep


class VideoDecodeStage(StageRunner[DecodeStep, Payload, VideoDecoder]):
    """Decodes video latents into MP4, or PNG for one frame."""

    def load(self) -> VideoDecoder:
        """Load the video decoder."""
        self.loading("video VAE decoder", str(self.device))
        dtype = resolve_dtype(self.setup.dtype)
        return load_video_decoder(self.checkpoint, self.device, dtype)

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
            decoder = self.model
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


class AudioDecodeStage(StageRunner[DecodeStep, Payload, tuple[AudioDecoder, Vocoder]]):
    """Decodes audio latents into WAV, cut to the length that they were encoded from."""

    def load(self) -> tuple[AudioDecoder, Vocoder]:
        """Load the audio decoder and the vocoder."""
        self.loading("audio VAE decoder and vocoder", str(self.device))
        return (
            load_audio_decoder(self.checkpoint, self.device),
            load_vocoder(self.checkpoint, self.device),
        )

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
            decoder, vocoder = self.model
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


def _read(step: DecodeStep, number: str) -> Payload:
    payload = load(Path(step.source))
    if not isinstance(payload.get("latents"), Tensor) or number not in payload:
        raise LtxError(f"holds no latents with {number}", file=step.source)
    return payload
