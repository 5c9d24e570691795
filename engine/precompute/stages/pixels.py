"""The pixels of a video stage: read ahead of the encode, and brought to the device part by part.

Frames are scaled while they are read, or kept as they are in the source and scaled where they are
encoded: with `run.scale_on = "device"`, and on a GPU wherever nothing has to be scaled at all. The
latents are the same to the bit.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.media.cores import SCALERS
from engine.media.frames import FrameRequest, read_frames
from engine.media.geometry import fit
from engine.media.on_device import OnDevice, plan
from engine.media.source_frames import Scaling, SourceFrames, read_source
from engine.media.video_frames import Source
from engine.memory.devices import is_out_of_memory
from engine.memory.forecast import VideoShape, part_ahead
from engine.memory.host import host_room
from engine.memory.rungs import Rung
from engine.models.pinned import HostMemory
from engine.models.upload import Uploader
from engine.precompute.stages.base import resolve_dtype
from engine.precompute.steps import StageSetup, VideoStep

log = logging.getLogger("ltx_tui.encoder")

# A source is kept as it is up to so many times the bytes of its scaled frames.
_LARGER = 4
# Pinned memory cannot be swapped out: at most this share of the machine's.
_PINNED = 0.25

Prepared = Tensor | SourceFrames


class Pixels:
    """Reads clips for one stage, and gives their parts to an encoder."""

    def __init__(self, setup: StageSetup, device: torch.device) -> None:
        """Look at nothing yet.

        Args:
            setup: The stage's.
            device: Where most clips are encoded.
        """
        self._on_device = setup.scale_on == "device"
        self._dtype = resolve_dtype(setup.dtype)
        self._device = device
        self._host = HostMemory(device, round(_PINNED * host_room().total))
        self._uploaders: dict[torch.device, Uploader] = {}
        self._scalers: dict[torch.device, OnDevice] = {}

    def read(self, step: VideoStep, source: Source | None = None) -> Prepared:
        """Read the kept frames of a clip; usable from several threads.

        Args:
            step: Names the clip.
            source: What decodes a video; see `engine.media.frames.read_frames`.

        Returns:
            [3, F, H, W] in the encoder's dtype, or the frames that become that.

        Raises:
            MediaError: It cannot be read.
        """
        path, probe, request = Path(step.media), step.probe, _request(step)
        how = self.scaling(step)
        if how is not None:
            found = read_source(path, probe, request, how, self._dtype, self._host.empty, source)
            if found is not None:
                return found
        return read_frames(path, probe, request, self._dtype, source, self._host.empty)

    def scaling(self, step: VideoStep) -> Scaling | None:
        """Return how a clip is scaled on the device; None where it is scaled while it is read.

        One that proves to hold other frames than its probe says is scaled while it is read, too.
        """
        probe, (width, height) = step.probe, step.size
        if probe.hdr or not (self._on_device or self._device.type == "cuda"):
            return None
        place = fit(
            *(probe.width, probe.height, width, height, step.reshape),
            seed=step.seed,
            crop_key=step.crop_key,
        )
        how = plan(probe.width, probe.height, place)
        if how is None or not (self._on_device or how.is_copy):
            return None
        if how.frame_bytes * step.window.frames > _LARGER * self._scaled_bytes(step):
            return None
        return None if self._scaler(self._device).verdict(how) == "no" else how

    def host_bytes(self, step: VideoStep) -> int:
        """Return the bytes of host memory that `read` takes, with a source frame for each scaler.

        A frame is there in float32 to be scaled, and as bytes to be kept.
        """
        how, frame = self.scaling(step), 3 * step.probe.width * step.probe.height
        if how is not None:
            kept = step.window.frames * how.frame_bytes
        else:
            kept, frame = self._scaled_bytes(step), frame * torch.float32.itemsize
        return self._host.bytes_for(kept) + SCALERS * frame

    def try_out(self, clips: Sequence[Prepared]) -> None:
        """Find out whether the device scales these clips as the CPU does, before it is busy."""
        for how in {clip.scaling for clip in clips if isinstance(clip, SourceFrames)}:
            try:
                self._scaler(self._device).can(how)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("%s: no memory to try out scaling there", self._device)

    def extra_bytes(
        self,
        shape: VideoShape,
        scalings: Iterable[Scaling | None],
        rung: Rung,
        device: torch.device,
    ) -> int:
        """Return the bytes on the device that parts take beside the one that is encoded.

        Args:
            shape: Of each clip.
            scalings: How each clip that is encoded together, or some like them, is scaled there.
            rung: How they are encoded.
            device: Where.
        """
        most = 0
        # The next part, as a whole or by some of its frames: on the CPU they are where they were.
        ahead = part_ahead(shape, rung, self._dtype.itemsize)
        for how in scalings:
            scaler = self._scaler(device)
            if how is None:
                most = max(most, ahead if device.type == "cuda" else 0)
            else:
                pieces = 0 if device.type == "cpu" else 1 + rung.ahead
                piece = scaler.frames(how) * how.frame_bytes
                most = max(most, pieces * piece + scaler.most_bytes(how))
        return most

    def parts(
        self,
        clips: Sequence[Prepared],
        first: int,
        chunk: int,
        device: torch.device,
        *,
        ahead: bool = True,
    ) -> Iterator[Tensor]:
        """Yield the clips' frames on the device, `first` and then `chunk` at a time.

        Args:
            clips: Of one shape.
            first: Frames of the first part.
            chunk: Of the others; the last one may be shorter.
            device: Where to.
            ahead: Whether something of the next part travels while a part is encoded.

        Yields:
            [B, 3, f, H, W] in the encoder's dtype.
        """
        uploader, bounds = self._uploader(device), _bounds(clips[0].shape[1], first, chunk)
        tensors = [clip for clip in clips if isinstance(clip, Tensor)]
        if len(tensors) == len(clips):
            plain = ([clip[:, at:end] for clip in tensors] for at, end in bounds)
            yield from uploader.pieces(plain, ahead=ahead)
            return
        journeys = [_Journey(clip, self._able(clip, device)) for clip in clips]
        arriving = uploader.pieces(_pieces(journeys, bounds), ahead=ahead)
        colours, _, height, width = clips[0].shape
        for at, end in bounds:
            shape = (len(clips), colours, end - at, height, width)
            yield _put_together(journeys, arriving, shape, self._dtype, device)

    def close(self) -> None:
        """Give back what is kept for the next clip."""
        self._host.release()

    def _scaled_bytes(self, step: VideoStep) -> int:
        width, height = step.size
        return 3 * step.window.frames * width * height * self._dtype.itemsize

    def _able(self, clip: Prepared, device: torch.device) -> OnDevice | None:
        """Return what scales a clip on a device; None where it arrives as it shall be."""
        scaler = self._scaler(device)
        if isinstance(clip, SourceFrames) and scaler.can(clip.scaling):
            return scaler
        return None

    def _uploader(self, device: torch.device) -> Uploader:
        if device not in self._uploaders:
            self._uploaders[device] = Uploader(device)
        return self._uploaders[device]

    def _scaler(self, device: torch.device) -> OnDevice:
        # In one go, as threads that read ask for it as well.
        return self._scalers.setdefault(device, OnDevice(device))


def tensor_of(clip: Prepared) -> Tensor:
    """Return what holds a clip's pixels."""
    return clip if isinstance(clip, Tensor) else clip.frames


def scaled(clip: Prepared) -> Tensor:
    """Return a clip as [3, F, H, W] on the CPU, scaled there where it is not yet."""
    return clip if isinstance(clip, Tensor) else clip.scaled(0, clip.shape[1])


def scaling_of(clip: Prepared) -> Scaling | None:
    """Return how a clip is still to be scaled; None where it is."""
    return None if isinstance(clip, Tensor) else clip.scaling


class _Journey:
    """How the frames of a clip get to a device."""

    def __init__(self, clip: Prepared, scaler: OnDevice | None) -> None:
        """Take a clip, and what scales it there, if anything does."""
        self._clip = clip
        self._scaler = scaler
        # Frames at a time: scaled ones as many as a part has.
        self._step = clip.shape[1]
        if isinstance(clip, SourceFrames):
            self._step = OnDevice.frames(clip.scaling)

    def steps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return (start, end) of what travels at a time."""
        return [(at, min(at + self._step, end)) for at in range(start, end, self._step)]

    def leaving(self, start: int, end: int) -> Tensor:
        """Return what travels of some frames."""
        clip = self._clip
        if isinstance(clip, Tensor):
            return clip[:, start:end]
        return clip.scaled(start, end) if self._scaler is None else clip.frames[start:end]

    def arrived(self, piece: Tensor, out: Tensor) -> None:
        """Write what has travelled to [3, n, H, W]."""
        if isinstance(self._clip, Tensor) or self._scaler is None:
            out.copy_(piece)
        else:
            self._scaler.scale(piece, self._clip.scaling, out)


def _pieces(
    journeys: Sequence[_Journey], bounds: Sequence[tuple[int, int]]
) -> Iterator[list[Tensor]]:
    """Yield what travels, one after the other: of each part, of each clip, some frames."""
    for start, end in bounds:
        for journey in journeys:
            for at, until in journey.steps(start, end):
                yield [journey.leaving(at, until)]


def _put_together(
    journeys: Sequence[_Journey],
    arriving: Iterator[Tensor],
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Return a part of the clips, made of the pieces that arrive for it."""
    part = torch.empty(shape, dtype=dtype, device=device)
    for journey, out in zip(journeys, part, strict=True):
        for start, end in journey.steps(0, shape[2]):
            journey.arrived(next(arriving)[0], out[:, start:end])
    return part


def _bounds(frames: int, first: int, chunk: int) -> list[tuple[int, int]]:
    """Return (start, end) of each part."""
    return list(itertools.pairwise([0, *range(first, frames, max(1, chunk)), frames]))


def _request(step: VideoStep) -> FrameRequest:
    width, height = step.size
    return FrameRequest(
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
