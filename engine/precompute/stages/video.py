"""Video latents, of clips and of their references."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import UsageError
from engine.media.hardware import HardwareDecoding
from engine.media.hardware_decoder import decoder_of
from engine.media.source_frames import Scaling
from engine.media.video_frames import Source
from engine.memory.calibration import GPU_EXTRA, Calibration
from engine.memory.forecast import VideoShape, exceeds_index_limit, video_weights
from engine.memory.rungs import Rung, on_cpu, video_ladder
from engine.memory.ways import CancelledError, Meter, Way
from engine.models.streaming import stream_encode
from engine.models.tiling import tiled_encode
from engine.models.tuning import Tuner, can_tune
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
from engine.precompute.stages.pixels import Pixels, Prepared, scaling_of, tensor_of
from engine.precompute.steps import VideoStep

_TILES = "feathered tiles (approximate)"
# The chunk after which streaming has taken as much memory as it ever will.
_SETTLED = 2


_Clip = tuple[VideoStep, Prepared]
_Place = tuple[Home[VideoEncoder], Rung]


class VideoStage(StageRunner[VideoStep, Prepared, VideoEncoder]):
    """Encodes clips with the video VAE, exactly, in the fastest way that fits the memory."""

    def read_headers(self) -> None:
        """Read the encoder's config, and what is known of its memory."""
        self.batch = self.setup.batch_size
        self._config = encoder_config(self.checkpoint.section("vae"), self.checkpoint.path)
        usual = 1.0 if self.device.type == "cpu" else GPU_EXTRA
        itemsize = self._dtype.itemsize
        self._calibration = Calibration(self._config, itemsize, self.peaks, usual=usual)
        self._pixels = Pixels(self.setup, self.device)
        self._tuner = Tuner(self.report.remark)
        decoder = self.setup.hardware_decoding
        # Where clips are encoded on the CPU, the first GPU can still decode them.
        self._decoding = HardwareDecoding(
            None if decoder == "off" else decoder_of(decoder, self.device.index),
            self.report.remark,
        )

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

    def prepare(self, step: VideoStep) -> Prepared:
        """Read the kept frames; see `Pixels.read`."""

        def read(source: Source | None) -> Prepared:
            return self._pixels.read(step, source)

        return self._decoding.read(Path(step.media), step.probe, read)

    def host_bytes(self, step: VideoStep) -> int:
        """Return the bytes of host memory that reading the kept frames takes."""
        return self._pixels.host_bytes(step)

    def close(self) -> None:
        """Free the models, and the memory that clips were read into."""
        super().close()
        self._pixels.close()
        self._tuner.close()

    def begins_with(self, steps: Sequence[VideoStep], lower: int = 0) -> str:
        """Return the first rung that fits the first clip and those like it."""
        if self.setup.vae_tiling:
            return ""
        (width, height), frames = steps[0].size, steps[0].window.frames
        like = [step.size == (width, height) and step.window.frames == frames for step in steps]
        shape = VideoShape(width=width, height=height, frames=frames)
        places = self._ladder(shape, len(list(itertools.takewhile(bool, like))))
        scalings = {self._pixels.scaling(step) for step in steps}
        ways = [self._way(place, shape, [], scalings, lambda: False) for place in places]
        return self.guard.begins(str(shape), ways, lower)

    def make(
        self,
        steps: Sequence[VideoStep],
        prepared: Sequence[Prepared],
        cancelled: Cancelled,
        lower: int = 0,
    ) -> list[Made]:
        """Encode clips, those of one shape together where the memory allows."""
        self._pixels.try_out(prepared)
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
        scalings = {scaling_of(clip) for clip in pixels}
        ways = [self._way(place, shape, pixels, scalings, cancelled) for place in places]
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
            pixels = [one for _, one in clips]
            meter.ignore(map(tensor_of, pixels))
            frames = pixels[0].shape[1]
            (whole,) = self._pixels.parts(pixels, frames, frames, home.device)
            latents = tiled_encode(model, whole)
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
        self,
        place: _Place,
        shape: VideoShape,
        pixels: Sequence[Prepared],
        scalings: Iterable[Scaling | None],
        cancelled: Cancelled,
    ) -> Way[Tensor]:
        home, rung = place

        def learn(size: int, fits: bool) -> None:
            self._calibration.learn(shape, rung, size, fits=fits)

        def run(encoder: VideoEncoder, device: torch.device, meter: Meter) -> Tensor:
            meter.ignore(map(tensor_of, pixels))
            clips = pixels[: rung.batch]
            parts = functools.partial(self._pixels.parts, clips, device=device, ahead=rung.ahead)

            def settled() -> None:
                self.guard.note(str(shape), way, meter.peak)

            encode = self._encoding(home, encoder, rung, meter)
            return encode_rung(encoder, rung, shape.frames, parts, cancelled, settled, encode)

        # A measured peak holds them too, and they then count twice: too much, never too little.
        extra = self._pixels.extra_bytes(shape, scalings, rung, home.device)
        need = self._calibration.peak(shape, rung) + extra
        way = self.way(home, rung.name, run, need=need, learn=learn)
        return way

    def _encoding(
        self, home: Home[VideoEncoder], encoder: VideoEncoder, rung: Rung, meter: Meter
    ) -> Callable[[Tensor], Tensor]:
        """Return what encodes whole clips: in the fastest form, on an NVIDIA GPU."""
        if not self.setup.tune or not can_tune(home.device):
            return encoder.encode
        if rung.kind != "whole":
            # Chunks are held to the very latents of the plain way.
            self._tuner.restore(encoder)
            return encoder.encode
        return lambda whole: self._tuner.encode(encoder, whole, meter, home.memory.release)

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
    frames: int,
    parts: Callable[[int, int], Iterator[Tensor]],
    cancelled: Cancelled,
    settled: Callable[[], None],
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Encode clips in one way; all ways give the same latents.

    Args:
        encoder: On its device.
        rung: The way.
        frames: F of each clip.
        parts: Gives as many clips as the rung takes at a time, part by part on that device, each
            [B, 3, f, H, W]: told f of the first part and of the others.
        cancelled: Asked between two chunks.
        settled: Called once streaming has taken as much memory as it ever will.
        encode: Encodes clips that are whole; by default the encoder does.

    Returns:
        Latents [B, 128, F', H / 32, W / 32] on that device.

    Raises:
        CancelledError: `cancelled` said so.
    """
    if rung.kind == "whole":
        (whole,) = parts(frames, frames)
        return (encode or encoder.encode)(whole)
    lean, offload = rung.kind == "lean", rung.kind == "offload"

    def watched() -> Iterator[Tensor]:
        first = 1 if offload else 1 + rung.chunk
        for number, part in enumerate(parts(first, rung.chunk)):
            if cancelled():
                raise CancelledError
            if number == _SETTLED:
                settled()
            yield part

    return stream_encode(encoder, watched(), rung.chunk, frames=frames, lean=lean, offload=offload)


def _fps(step: VideoStep) -> float:
    return 1.0 if step.probe.kind == "image" else float(step.window.rate)
