"""Latents back into videos, images and sounds, to look at and listen to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

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
from engine.precompute.stages.base import Cancelled, Home, Made, StageRunner, resolve_dtype
from engine.precompute.steps import DecodeStep

# Bytes that come of a byte of latents in bfloat16, about: 128 values become 8 × 32 × 32 pixels in
# three colours; 128 float32 values of sound become 1/25 s of stereo at 48 kHz.
_FRAMES_PER_LATENTS = 96
_SAMPLES_PER_LATENTS = 30


_Model = TypeVar("_Model")


class _Decoding(StageRunner[DecodeStep, Payload, _Model]):
    """What both have in common: latents are read, and decoded one clip at a time."""

    # What stands beside the latents in their file, and the bytes that come of one of theirs.
    number: ClassVar[str]
    grows: ClassVar[int]

    def prepare(self, step: DecodeStep) -> Payload:
        """Read the latents."""
        return _read(step, self.number)

    def host_bytes(self, step: DecodeStep) -> int:
        """Return the bytes of the latents, and of what is decoded and waits to be written."""
        return _size(step) * self.grows

    def make(
        self,
        steps: Sequence[DecodeStep],
        prepared: Sequence[Payload],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Decode each clip."""
        return [
            self._decode(step, payload, cancelled, lower)
            for step, payload in zip(steps, prepared, strict=True)
        ]

    @abstractmethod
    def _decode(self, step: DecodeStep, payload: Payload, cancelled: Cancelled, lower: int) -> Made:
        """Decode one clip."""


class VideoDecodeStage(_Decoding[VideoDecoder]):
    """Decodes video latents into MP4, or PNG for one frame; frames are uint8 [F, H, W, 3]."""

    number = "fps"
    grows = _FRAMES_PER_LATENTS

    def load(self, home: Home[VideoDecoder]) -> VideoDecoder:
        """Load the video decoder."""
        self.loading("video VAE decoder", str(home.device))
        dtype = resolve_dtype(self.setup.dtype)
        return load_video_decoder(self.checkpoint, home.device, dtype)

    def _decode(self, step: DecodeStep, payload: Payload, cancelled: Cancelled, lower: int) -> Made:
        latents = tensor(payload, "latents")[None]
        tiled = self.setup.vae_tiling

        def run(decoder: VideoDecoder, device: torch.device) -> Payload:
            moved = latents.to(device)
            pixels = tiled_decode(decoder, moved) if tiled else decoder.decode(moved)
            return {"frames": to_frames(pixels[0]), "fps": payload["fps"]}

        return self.guarded(_shape(latents), run, step, cancelled, lower)

    def write(self, step: DecodeStep, made: Made) -> Path:
        """Write an MP4 at the exact rate, or a PNG."""
        frames, path = tensor(made.payload, "frames"), Path(step.output)
        if frames.shape[0] == 1:
            path = path.with_suffix(".png")
            write_png(path, frames[0].numpy())
        else:
            write_video(path, iter(frames.numpy()), exact_rate(float(made.payload["fps"])))
        return path


class AudioDecodeStage(_Decoding[tuple[AudioDecoder, Vocoder]]):
    """Decodes audio latents into WAV, cut to the length that they were encoded from."""

    number = "duration"
    grows = _SAMPLES_PER_LATENTS

    def load(self, home: Home[tuple[AudioDecoder, Vocoder]]) -> tuple[AudioDecoder, Vocoder]:
        """Load the audio decoder and the vocoder."""
        self.loading("audio VAE decoder and vocoder", str(home.device))
        return (
            load_audio_decoder(self.checkpoint, home.device),
            load_vocoder(self.checkpoint, home.device),
        )

    def _decode(self, step: DecodeStep, payload: Payload, cancelled: Cancelled, lower: int) -> Made:
        latents = tensor(payload, "latents")

        def run(models: tuple[AudioDecoder, Vocoder], device: torch.device) -> Payload:
            decoder, vocoder = models
            samples = vocoder.synthesise(decoder.decode(latents.to(device)))
            length = round(float(payload["duration"]) * vocoder.sample_rate)
            return {"samples": samples[:, :length].cpu(), "rate": vocoder.sample_rate}

        return self.guarded(_shape(latents), run, step, cancelled, lower)

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


def _size(step: DecodeStep) -> int:
    try:
        return Path(step.source).stat().st_size
    except OSError:
        return 0


def _shape(latents: Tensor) -> str:
    return f"latents {'x'.join(map(str, latents.shape))}"
