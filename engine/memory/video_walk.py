"""What the video encoder holds at once, found by walking its config without a tensor.

The walk makes and drops what the layers of `engine.models.video_blocks` make and drop, in their
order; sizes are counted in elements. The tests hold the two together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from engine.memory.rungs import Rung
from engine.models.video_config import Block, EncoderConfig, Padding

# As in `engine.models`: frames that a convolution keeps, and those of an offloaded piece.
_KEPT = 2
_PIECE = 2


class Walk:
    """One clip or batch through the encoder.

    Attributes:
        peak: The most elements that were held at once.
        largest: Elements of the largest tensor.
    """

    def __init__(
        self, config: EncoderConfig, rung: Rung, *, width: int, height: int, frames: int
    ) -> None:
        self.peak = 0
        self.largest = 0
        self._config = config
        self._rung = rung
        self._size = (height, width)
        self._live = 0
        self._streams = rung.kind != "whole"
        self._lean = rung.kind in ("lean", "offload")
        self._offload = rung.kind == "offload"
        self._first = self._last = True
        self._run(frames)

    def _run(self, frames: int) -> None:
        space, time = self._config.scale_factors
        height, width = self._size
        area = self._rung.batch * height * width
        latent = self._config.latent_channels * (area // space**2)
        if not self._streams:
            self._encode(frames, self._config.in_channels * area * frames)
            return
        self._hold(latent * (1 + (frames - 1) // time))
        before = 0
        for number, (chunk, arrived, last) in enumerate(_chunks(frames, self._rung)):
            self._first, self._last = number == 0, last
            self._encode(chunk, self._config.in_channels * area * arrived)
            # A chunk's latents are there until the next ones are.
            self._free(before)
            before = latent * (1 + (chunk - 1) // time if self._first else chunk // time)

    def _encode(self, frames: int, pixels: int) -> None:
        """One chunk; its latents stay."""
        self._hold(pixels)
        config, area = self._config, self._rung.batch
        shape = _Shape(
            frames,
            config.latent_channels,
            area,
            self._size[0] // config.patch_size,
            self._size[1] // config.patch_size,
        )
        full = list(itertools.takewhile(lambda block: block.stride[0] == 1, config.blocks))
        shape = self._in_pieces(full, shape) if self._offload else self._at_full_rate(full, shape)
        shape = self._blocks(config.blocks[len(full) :], shape)
        self._activate(shape)
        self._conv(shape, config.out_channels)
        self._free(2 * shape.elements)
        latents = shape.elements // shape.channels * config.latent_channels
        self._hold(latents)
        self._hold(latents)
        self._free(latents + shape.elements // shape.channels * config.out_channels + pixels)

    def _in_pieces(self, blocks: list[Block], shape: _Shape) -> _Shape:
        first, last = self._first, self._last
        sizes = []
        for start in range(0, shape.frames, _PIECE):
            self._last = last and start + _PIECE >= shape.frames
            piece = shape.like(frames=min(_PIECE, shape.frames - start))
            out = self._at_full_rate(blocks, piece)
            sizes.append(out.elements)
            self._first = False
        self._first, self._last = first, last
        self._hold(sum(sizes))
        self._free(sum(sizes))
        return out.like(frames=shape.frames)

    def _at_full_rate(self, blocks: list[Block], shape: _Shape) -> _Shape:
        config = self._config
        patches = shape.like(channels=config.in_channels * config.patch_size**2)
        self._hold(patches.elements)
        self._conv(patches, config.latent_channels)
        self._free(patches.elements)
        return self._blocks(blocks, shape)

    def _blocks(self, blocks: list[Block] | tuple[Block, ...], shape: _Shape) -> _Shape:
        for block in blocks:
            if block.name == "res_x":
                self._residual_blocks(block.layers, shape)
            else:
                shape = self._downsample(block, shape)
        return shape

    def _residual_blocks(self, layers: int, shape: _Shape) -> None:
        size = shape.elements
        if self._lean:
            for _ in range(layers):
                self._lean_block(shape)
            return
        for number in range(layers):
            self._activate(shape)
            self._conv(shape, shape.channels)
            self._free(size)
            self._activate(shape)
            self._free(size)
            self._conv(shape, shape.channels)
            self._free(size)
            self._hold(size)
            self._free(size)
            # The input of the first one is held by the caller until the last one is done.
            if number:
                self._free(size)
        if layers:
            self._free(size)

    def _lean_block(self, shape: _Shape) -> None:
        size = shape.elements
        for number in range(2):
            self._scale(shape)
            padded = shape.like(frames=shape.frames + _KEPT)
            self._hold(padded.elements)
            self._take(shape)
            self._free_taken(shape)
            self._keep(shape)
            self._free(shape.pixels)
            if number:
                self._free(size)
            self._convolve(padded, size)
            self._free(padded.elements)
        self._free(size)

    def _downsample(self, block: Block, shape: _Shape) -> _Shape:
        (t, h, w), given = block.stride, shape
        if t == 2 and self._first:
            shape = shape.like(frames=shape.frames + 1)
            self._hold(shape.elements)
        out = _Shape(
            shape.frames // t,
            shape.channels * block.multiplier,
            shape.clips,
            shape.height // h,
            shape.width // w,
        )
        # Folded, averaged; then convolved, folded, added.
        self._hold(shape.elements)
        self._hold(out.elements)
        self._free(shape.elements)
        self._conv(shape, out.channels // math.prod(block.stride))
        self._hold(out.elements)
        self._free(out.elements)
        self._hold(out.elements)
        self._free(2 * out.elements)
        self._free(given.elements + (shape.elements if shape is not given else 0))
        return out

    def _activate(self, shape: _Shape) -> None:
        """Norm, then SiLU, whose result stays."""
        self._scale(shape)
        self._hold(shape.elements)
        self._free(shape.pixels)
        self._hold(shape.elements)
        self._free(shape.elements)

    def _scale(self, shape: _Shape) -> None:
        """Root mean square over the channels, which stays."""
        self._hold(shape.elements)
        self._hold(shape.pixels)
        self._free(shape.elements)
        self._hold(shape.pixels)
        self._free(shape.pixels)

    def _conv(self, shape: _Shape, channels: int) -> None:
        """Put the history in front, convolve; the result stays."""
        self._take(shape)
        padded = shape.like(frames=shape.frames + _KEPT)
        self._hold(padded.elements)
        self._keep(shape)
        self._free_taken(shape)
        self._convolve(padded, shape.pixels * channels)
        self._free(padded.elements)

    def _convolve(self, padded: _Shape, out: int) -> None:
        border = padded.bordered if _copies_border(self._config.padding) else 0
        self._hold(border)
        self._hold(out)
        self._free(border)

    def _take(self, shape: _Shape) -> None:
        # On the device it is there already.
        if self._offload and not self._first:
            self._hold(shape.kept)

    def _free_taken(self, shape: _Shape) -> None:
        if self._streams and not self._first:
            self._free(shape.kept)

    def _keep(self, shape: _Shape) -> None:
        if self._streams and not self._last:
            self._hold(shape.kept)
            if self._offload:
                self._free(shape.kept)

    def _hold(self, elements: int) -> None:
        self._live += elements
        self.peak = max(self.peak, self._live)
        self.largest = max(self.largest, elements)

    def _free(self, elements: int) -> None:
        self._live -= elements


class _Shape:
    """A tensor [B, C, F, H, W]."""

    def __init__(self, frames: int, channels: int, clips: int, height: int, width: int) -> None:
        self.frames = frames
        self.channels = channels
        self.clips = clips
        self.height = height
        self.width = width

    def like(self, *, frames: int = 0, channels: int = 0) -> _Shape:
        return _Shape(
            frames or self.frames, channels or self.channels, self.clips, self.height, self.width
        )

    @property
    def pixels(self) -> int:
        """Elements of one channel."""
        return self.clips * self.frames * self.height * self.width

    @property
    def elements(self) -> int:
        return self.channels * self.pixels

    @property
    def kept(self) -> int:
        """Elements of the frames that a convolution keeps."""
        return self.channels * self.clips * _KEPT * self.height * self.width

    @property
    def bordered(self) -> int:
        """Elements with one more row and column on each side."""
        return self.channels * self.clips * self.frames * (self.height + 2) * (self.width + 2)


def _copies_border(padding: Padding) -> bool:
    # Zeros are made by the convolution itself.
    return padding != "zeros"


def _chunks(frames: int, rung: Rung) -> Iterator[tuple[int, int, bool]]:
    """Yield (frames of the chunk, frames of the part that it is cut from, is it the last).

    Of those in the middle, which are alike, only the first. Parts are taken to arrive as 1 + c
    frames, then c: an offloaded encode takes the first frame by itself and holds the rest.
    """
    first = 1 if rung.kind == "offload" else min(frames, 1 + rung.chunk)
    yield first, min(frames, 1 + rung.chunk), first == frames
    left = frames - first
    if left > rung.chunk:
        yield rung.chunk, rung.chunk + (rung.kind == "offload"), False
    if left:
        tail = (left - 1) % rung.chunk + 1
        alone = left <= rung.chunk and rung.kind == "offload"
        yield tail, tail + alone, True
