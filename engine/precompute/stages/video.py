"""Video latents, of clips and of their references."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import UsageError
from engine.media.cores import SCALERS
from engine.media.frames import FrameRequest, read_frames
from engine.memory.calibration import GPU_EXTRA, Calibration
from engine.memory.forecast import VideoShape, exceeds_index_limit, video_weights
from engine.memory.rungs import Rung, on_cpu, video_ladder
from engine.memory.ways import CancelledError, Meter, Way
from engine.models.streaming import stream_encode
from engine.models.tiling import tiled_encode
from engine.models.video_config import encoder_config
from engine.models.video_vae import VideoEncoder, load_video_encoder
from engine.precompute.outputs import Expected, expect_latents, latents_payload
from engine.precompute.stages.base import (
    Cancelled,
    Home,
    Made,
    StageRunner,
    resolve_dtype,
)
from engine.precompute.steps import VideoStep

_TILES = "feathered tiles (approximate)"
# The chunk after which streaming has taken as much memory as it ever will.
_SETTLED = 2


_Clip = tuple[VideoStep, Tensor]
_Place = tuple[Home[VideoEncoder], Rung]


class VideoStage(StageRunner[VideoStep, Tensor, VideoEncoder]):
    """Encodes clips with the video VAE, exactly, in the fastest way that fits the memory."""

    def read_headers(self) -> None:
        """Read the encoder's config, and what is known of its memory."""
        self.batch = self.setup.batch_size
        self._config = encoder_config(self.checkpoint.section("vae"), self.checkpoint.path)
        usual = 1.0 if self.device.type == "cpu" else GPU_EXTRA
        itemsize = self._dtype.itemsize
        self._calibration = Calibration(self._config, itemsize, self.peaks, usual=usual)

    def load(self, home: Home[VideoEncoder]) -> VideoEncoder:
        """Load the video encoder."""
        self.loading("video VAE encoder", str(home.device))
        return load_video_encoder(self.checkpoint, home.device, self._dtype)

    def weights(self, home: Home[VideoEncoder]) -> int:  # noqa: ARG002 (the same everywhere)
        """Return the bytes of the encoder's weights."""
        return video_weights(self.checkpoint, self._dtype.itemsize)

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

    def host_bytes(self, step: VideoStep) -> int:
        """Return the bytes of the kept frames, and of one of the source in float32 a scaler."""
        width, height = step.size
        kept = 3 * step.window.frames * width * height * self._dtype.itemsize
        frame = 3 * step.probe.width * step.probe.height * torch.float32.itemsize
        return kept + SCALERS * frame

    def begins_with(self, steps: Sequence[VideoStep], lower: int = 0) -> str:
        """Return the first rung that fits the first clip and those like it."""
        if self.setup.vae_tiling:
            return ""
        (width, height), frames = steps[0].size, steps[0].window.frames
        like = [step.size == (width, height) and step.window.frames == frames for step in steps]
        shape = VideoShape(width=width, height=height, frames=frames)
        places = self._ladder(shape, len(list(itertools.takewhile(bool, like))))
        ways = [self._way(place, shape, [], lambda: False) for place in places]
        return self.guard.begins(str(shape), ways, lower)

    def make(
        self,
        steps: Sequence[VideoStep],
        prepared: Sequence[Tensor],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Encode clips, those of one shape together where the memory allows."""
        made: list[Made] = []
        pairs = zip(steps, prepared, strict=True)
        for _, group in itertools.groupby(pairs, key=lambda pair: pair[1].shape):
            left = list(group)
            while left:
                if cancelled():
                    raise CancelledError
                encode = self._encode_tiled if self.setup.vae_tiling else self._encode
                done = encode(left, cancelled, lower)
                made += done
                left = left[len(done) :]
        return made

    def _encode(self, clips: Sequence[_Clip], cancelled: Cancelled, lower: int) -> list[Made]:
        """Encode as many clips of one shape as fit at once, at least the first one."""
        step, first = clips[0]
        _, frames, height, width = first.shape
        shape = VideoShape(width=width, height=height, frames=frames)
        places = self._ladder(shape, len(clips))
        pixels = [pixels for _, pixels in clips]
        ways = [self._way(place, shape, pixels, cancelled) for place in places]
        done = self.guard.run(str(shape), ways, step=step.id, lower=lower, cancelled=cancelled)
        name = ways[done.at].name
        return [
            Made(payload=latents_payload(one, _fps(step)), detail=name, rung=name, peak=done.peak)
            for one, (step, _) in zip(done.result, clips, strict=False)
        ]

    def _encode_tiled(
        self, clips: Sequence[_Clip], _cancelled: Cancelled, _lower: int
    ) -> list[Made]:
        """Encode all clips of one shape in the approximate way that was asked for by name."""
        model, home = self.model, self.homes[0]
        with home.memory.measure() as meter:
            meter.ignore([pixels for _, pixels in clips])
            latents = tiled_encode(model, torch.stack([p for _, p in clips]).to(home.device))
        return [
            Made(payload=latents_payload(one, _fps(step)), detail=_TILES, peak=meter.peak)
            for one, (step, _) in zip(latents, clips, strict=True)
        ]

    def _ladder(self, shape: VideoShape, batch: int) -> list[_Place]:
        """Return the rungs that are possible at all, each with its home.

        Raises:
            UsageError: None is.
        """
        # A chunk that is as long as the clip is a one-shot encode.
        first = self.setup.chunk if self.setup.chunk < shape.frames - 1 else 0
        places: list[_Place] = []
        for home in self.homes:
            ladder = video_ladder(shape.frames, batch=batch, first=first)
            places += [(home, rung) for rung in (on_cpu(ladder) if home.spare else ladder)]
        config = self._config
        possible = [one for one in places if not exceeds_index_limit(shape, one[1], config)]
        if not possible:
            raise UsageError(f"{shape} is too large to encode", remedy="use a smaller bucket")
        return possible

    def _way(
        self, place: _Place, shape: VideoShape, pixels: Sequence[Tensor], cancelled: Cancelled
    ) -> Way[Tensor]:
        home, rung = place

        def learn(size: int, fits: bool) -> None:
            self._calibration.learn(shape, rung, size, fits=fits)

        def run(encoder: VideoEncoder, device: torch.device, meter: Meter) -> Tensor:
            meter.ignore(pixels)
            clips = pixels[: rung.batch]

            def settled() -> None:
                self.guard.note(str(shape), way, meter.peak)

            return encode_rung(encoder, rung, clips, device, cancelled, settled)

        need = self._calibration.peak(shape, rung)
        way = self.way(home, rung.name, run, need=need, learn=learn)
        return way

    def expected(self, step: VideoStep) -> Expected:
        """Return the latents' shape, from the bucket and the VAE's compression."""
        spatial, temporal = self._config.scale_factors
        width, height = step.size
        frames = (step.window.frames - 1) // temporal + 1
        shape = (self._config.latent_channels, frames, height // spatial, width // spatial)
        return expect_latents(shape, _fps(step), self._dtype)


def encode_rung(
    encoder: VideoEncoder,
    rung: Rung,
    clips: Sequence[Tensor],
    device: torch.device,
    cancelled: Cancelled,
    settled: Callable[[], None],
) -> Tensor:
    """Encode clips in one way; all ways give the same latents.

    Args:
        encoder: On `device`.
        rung: The way.
        clips: As many as the rung takes at a time: [3, F, H, W] each, alike, on the CPU.
        device: Where to.
        cancelled: Asked between two chunks.
        settled: Called once streaming has taken as much memory as it ever will.

    Returns:
        Latents [B, 128, F', H / 32, W / 32] on `device`.

    Raises:
        CancelledError: `cancelled` said so.
    """
    frames = clips[0].shape[1]
    if rung.kind == "whole":
        (whole,) = _parts(clips, frames, frames, device)
        return encoder.encode(whole)
    lean, offload = rung.kind == "lean", rung.kind == "offload"

    def parts() -> Iterator[Tensor]:
        first = 1 if offload else 1 + rung.chunk
        for number, part in enumerate(_parts(clips, first, rung.chunk, device)):
            if cancelled():
                raise CancelledError
            if number == _SETTLED:
                settled()
            yield part

    return stream_encode(encoder, parts(), rung.chunk, frames=frames, lean=lean, offload=offload)


def _parts(
    clips: Sequence[Tensor], first: int, chunk: int, device: torch.device
) -> Iterator[Tensor]:
    """Move clips to the device, `first` frames and then `chunk` at a time: [B, 3, f, H, W]."""
    start, end = 0, first
    while start < clips[0].shape[1]:
        pieces = [clip[:, start:end] for clip in clips]
        yield (pieces[0][None] if len(pieces) == 1 else torch.stack(pieces)).to(device)
        start, end = end, end + chunk


def _fps(step: VideoStep) -> float:
    return 1.0 if step.probe.kind == "image" else float(step.window.rate)
