"""Video latents, of clips and of their references."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.media.frames import FrameRequest, read_frames
from engine.models.streaming import stream_encode
from engine.models.tiling import tiled_encode
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder, load_video_encoder
from engine.precompute.outputs import Expected, expect_latents, latents_payload
from engine.precompute.stages.base import (
    Cancelled,
    CancelledError,
    Loading,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import StageSetup, VideoStep

# Below this many frames a one-shot encode takes no more memory than streaming does.
_STREAM_FROM = 25
_CHUNK = 16


class VideoStage(StageRunner[VideoStep, Tensor, VideoEncoder]):
    """Encodes clips with the video VAE, exactly, in chunks where that saves memory."""

    def __init__(self, setup: StageSetup, loading: Loading) -> None:
        super().__init__(setup, loading)
        self.batch = setup.batch_size
        self._config = encoder_config(self.checkpoint.section("vae"), setup.checkpoint_path)

    def load(self) -> VideoEncoder:
        """Load the video encoder."""
        self.loading("video VAE encoder", str(self.device))
        return load_video_encoder(self.checkpoint, self.device, self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return resolve_dtype(self.setup.dtype)

    def prepare(self, step: VideoStep) -> Tensor:
        """Read the kept frames: [3, F, H, W] in the encoder's dtype, on the CPU."""
        width, height = step.size
        request = FrameRequest(
            width=width,
            height=height,
            frames=step.window.frames,
            start=step.window.start,
            fps=step.window.rate if step.window.resample else None,
            reshape=step.reshape,
            seed=step.seed,
            crop_key=step.crop_key,
            hdr=step.hdr,
        )
        return read_frames(Path(step.media), step.probe, request, dtype=self._dtype)

    def make(
        self, steps: Sequence[VideoStep], prepared: Sequence[Tensor], cancelled: Cancelled
    ) -> list[Made]:
        """Encode clips, those of one shape together."""
        made = []
        pairs = zip(steps, prepared, strict=True)
        for _, group in itertools.groupby(pairs, key=lambda pair: pair[1].shape):
            alike = list(group)
            latents, detail = self._encode(torch.stack([pixels for _, pixels in alike]), cancelled)
            made += [
                Made(payload=latents_payload(one, _fps(step)), detail=detail)
                for one, (step, _) in zip(latents, alike, strict=True)
            ]
        return made

    def _encode(self, pixels: Tensor, cancelled: Cancelled) -> tuple[Tensor, str]:
        """Encode in the first way that fits the memory; all of them give the same latents."""
        encoder = self.model
        if self.setup.vae_tiling:
            return tiled_encode(encoder, pixels.to(self.device)), "feathered tiles (approximate)"
        frames = pixels.shape[2]
        for chunk in self._chunk_sizes(frames):
            detail = f"stream {chunk}" if chunk < frames else "one-shot"
            try:
                parts = _parts(pixels, chunk, self.device, cancelled)
                return stream_encode(encoder, parts, chunk, frames=frames), detail
            except torch.OutOfMemoryError as error:
                problem = str(error)
            torch.cuda.empty_cache()
        raise torch.OutOfMemoryError(problem)

    def _chunk_sizes(self, frames: int) -> Sequence[int]:
        """Return the chunks to try, in frames; one as long as the clip is a one-shot encode."""
        temporal = self._config.scale_factors[1]
        whole = max(temporal, frames - 1)
        first = self.setup.chunk or (_CHUNK if frames >= _STREAM_FROM else whole)
        return sorted({first, *(chunk for chunk in (_CHUNK, temporal) if chunk < first)})[::-1]

    def expected(self, step: VideoStep) -> Expected:
        """Return the latents' shape, from the bucket and the VAE's compression."""
        spatial, temporal = self._config.scale_factors
        width, height = step.size
        frames = (step.window.frames - 1) // temporal + 1
        shape = (self._config.latent_channels, frames, height // spatial, width // spatial)
        return expect_latents(shape, _fps(step), self._dtype)


def _fps(step: VideoStep) -> float:
    return 1.0 if step.probe.kind == "image" else float(step.window.rate)


def _parts(
    pixels: Tensor, chunk: int, device: torch.device, cancelled: Cancelled
) -> Iterator[Tensor]:
    """Move a clip to the device chunk by chunk, looking out for a cancel between two of them."""
    start, frames = 0, pixels.shape[2]
    while start < frames:
        if cancelled():
            raise CancelledError
        end = min(frames, start + chunk + (start == 0))
        yield pixels[:, :, start:end].to(device)
        start = end
