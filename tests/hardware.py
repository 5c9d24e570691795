"""A stand-in for hardware that decodes: software that gives nv12 or p010, and can go wrong."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame

from engine.media.containers import opened
from engine.media.frames import FrameRequest, read_frames
from engine.media.hardware import HardwareDecoding
from engine.media.hardware_decoder import Decoder
from engine.media.probe import Probe
from engine.media.video_frames import Source

# Gets what software decoded, and its number since the file was opened.
Change = Callable[[VideoFrame, int], VideoFrame]


def arranged(frame: VideoFrame) -> VideoFrame:
    """Return a frame as a decoder in hardware arranges it."""
    deep = frame.format.components[0].bits > 8
    # Made by FFmpeg, so that it has what there is beside the pixels.
    given = frame.reformat(format="p010le" if deep else "nv12")
    kind, up = (np.uint16, 6) if deep else (np.uint8, 0)
    rows = [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
    luma, both = (np.frombuffer(p, kind).reshape(p.height, -1) for p in given.planes)
    luma[:, : frame.width] = rows[0] << up
    both[:, 0 : 2 * rows[1].shape[1] : 2] = rows[1] << up
    both[:, 1 : 2 * rows[2].shape[1] : 2] = rows[2] << up
    given.colorspace, given.color_range = frame.colorspace, frame.color_range
    return given


class _Packet:
    def __init__(self, packet: Any, container: StandIn) -> None:
        self._packet, self._container = packet, container
        self.is_corrupt = packet.is_corrupt

    def decode(self) -> list[VideoFrame]:
        return [self._container.given(frame) for frame in self._packet.decode()]


class StandIn:
    """A container whose frames come as from hardware."""

    def __init__(self, container: InputContainer, change: Change) -> None:
        self._container, self._change, self._count = container, change, 0
        self.streams = container.streams

    def seek(self, *arguments: Any, **more: Any) -> None:
        self._container.seek(*arguments, **more)

    def demux(self, stream: Any) -> Iterator[_Packet]:
        return (_Packet(packet, self) for packet in self._container.demux(stream))

    def given(self, frame: VideoFrame) -> VideoFrame:
        self._count += 1
        return self._change(arranged(frame), self._count - 1)


@dataclasses.dataclass
class Hardware:
    """A stand-in, and how it was used.

    Attributes:
        change: What it does to its frames.
        opens: How often a file was opened with it.
        given: Frames that it gave.
    """

    change: Change = lambda frame, _: frame
    why: str = ""
    opens: int = 0
    given: int = 0
    told: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.decoder = Decoder(self.opening, lambda: self.why)
        self.decoding = HardwareDecoding(self.decoder, self.told.append)

    @contextlib.contextmanager
    def opening(self, path: Path) -> Iterator[InputContainer]:
        self.opens += 1

        def change(frame: VideoFrame, number: int) -> VideoFrame:
            self.given += 1
            return self.change(frame, number)

        with opened(path) as container:
            yield cast("InputContainer", StandIn(container, change))

    def read(self, path: Path, found: Probe, request: FrameRequest) -> torch.Tensor:
        def read(source: Source | None) -> torch.Tensor:
            return read_frames(path, found, request, source=source)

        return self.decoding.read(path, found, read)


def moving(count: int, width: int = 160, height: int = 90) -> Iterator[VideoFrame]:
    """Yield frames of noise that moves, in all three planes."""
    rng = np.random.default_rng(3)
    base = rng.integers(16, 235, (2, height, width), dtype=np.uint8)
    for number in range(count):
        frame = VideoFrame(width, height, "yuv420p")
        for plane, noise in zip(frame.planes, (base[0], base[1], base[1][::-1]), strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
            shifted = np.roll(noise, 3 * number, axis=1)
            rows[:, : plane.width] = shifted[: plane.height, : plane.width]
        yield frame


def off_by_one(at: int) -> Change:
    def change(frame: VideoFrame, number: int) -> VideoFrame:
        if number == at:
            np.frombuffer(frame.planes[1], np.uint8)[5] ^= 1
        return frame

    return change
