"""Approximate tiles with feathered seams, for those who ask for `--vae-tiling` by name.

A tile does not see beyond its border, so the result differs from a whole encode (some per cent);
streaming keeps memory low without that. The sizes are those that the LTX-2 trainer uses, so that
users get what they got there: tiles of 512 pixels that overlap by 128, and when decoding also
128 frames that overlap by 24.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import msgspec
import torch
from torch import Tensor

from engine.models.video_vae import VideoDecoder, VideoEncoder


class Tiling(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in pixels and frames: multiples of the VAE's factors, overlaps below sizes."""

    size: int = 512
    overlap: int = 128
    frames: int = 128
    frame_overlap: int = 24


class _Tile(msgspec.Struct, frozen=True):
    """One tile on one axis.

    Attributes:
        start: First latent cell.
        stop: One past the last.
        target: Where its output goes, in cells or in pixels or frames.
        weight: [length of target], fading in and out; those of all tiles add up to 1.
    """

    start: int
    stop: int
    target: slice
    weight: Tensor


def tiled_encode(encoder: VideoEncoder, pixels: Tensor, tiling: Tiling | None = None) -> Tensor:
    """Encode in tiles of height and width; time is not cut.

    Args:
        encoder: The video encoder.
        pixels: [B, 3, F, H, W] in −1 … 1.
        tiling: Sizes; the trainer's if None.

    Returns:
        Latents as `VideoEncoder.encode`, approximately.

    Raises:
        ValueError: The shape or the sizes do not fit.
    """
    tiling = tiling or Tiling()
    space = encoder.config.scale_factors[0]
    shape = encoder.latent_shape(pixels.shape)
    size, overlap = _cells(tiling.size, space), _cells(tiling.overlap, space)
    rows, columns = (_in_space(n, size, overlap, zoom=1) for n in shape[3:])
    if len(rows) == len(columns) == 1:
        return encoder.encode(pixels)
    out = torch.zeros(shape, device=encoder.device)
    for row, column in product(rows, columns):
        tile = encoder.encode(
            pixels[
                ...,
                row.start * space : row.stop * space,
                column.start * space : column.stop * space,
            ]
        )
        weight = (row.weight[:, None] * column.weight).to(out.device)
        out[..., row.target, column.target] += tile * weight
    return out.to(encoder.dtype)


@torch.no_grad()
def tiled_decode(decoder: VideoDecoder, latents: Tensor, tiling: Tiling | None = None) -> Tensor:
    """Decode in tiles of time, height and width.

    Args:
        decoder: The video decoder.
        latents: [B, 128, F', H', W'], normalised.
        tiling: Sizes; the trainer's if None.

    Returns:
        Pixels as `VideoDecoder.decode`, approximately.

    Raises:
        ValueError: The shape or the sizes do not fit.
    """
    tiling = tiling or Tiling()
    space, time = decoder.config.scale_factors
    batch, _, frames, height, width = latents.shape
    times = _in_time(frames, _cells(tiling.frames, time), _cells(tiling.frame_overlap, time), time)
    # The shorter side is cut into tiles of the picture's own aspect.
    size, overlap = _cells(tiling.size, space), _cells(tiling.overlap, space)
    rows, columns = (
        _in_space(n, max(overlap + 1, round(size * n / max(height, width))), overlap, zoom=space)
        for n in (height, width)
    )
    if len(times) == len(rows) == len(columns) == 1:
        return decoder.decode(latents)
    out = torch.zeros(
        (
            batch,
            decoder.config.out_channels,
            1 + (frames - 1) * time,
            height * space,
            width * space,
        ),
        dtype=decoder.dtype,
        device=decoder.device,
    )
    for when, row, column in product(times, rows, columns):
        tile = decoder.decode(
            latents[:, :, when.start : when.stop, row.start : row.stop, column.start : column.stop]
        )
        weight = when.weight[:, None, None] * row.weight[:, None] * column.weight
        out[:, :, when.target, row.target, column.target] += tile * weight.to(out)
    return out


def _in_space(cells: int, size: int, overlap: int, *, zoom: int) -> list[_Tile]:
    """Cut `cells` latent cells; targets and weights are `zoom` times as fine."""
    ramp = overlap * zoom
    tiles = []
    for start, stop in _spans(cells, size, overlap):
        weight = torch.ones((stop - start) * zoom)
        if start:
            weight[:ramp] *= torch.linspace(0, 1, ramp + 2)[1:-1]
        if stop < cells:
            weight[-ramp:] *= torch.linspace(1, 0, ramp + 2)[1:-1]
        tiles.append(_Tile(start, stop, slice(start * zoom, stop * zoom), weight))
    return _normalised(tiles, cells * zoom)


def _in_time(cells: int, size: int, overlap: int, factor: int) -> list[_Tile]:
    """Cut `cells` latent frames; n of them from any start decode to 1 + (n − 1) · factor frames.

    A later tile begins one cell early, since the first frame of a tile is not like the others:
    it fades in from nothing.
    """
    ramp = overlap * factor
    tiles = []
    for start, stop in _spans(cells, size, overlap):
        begin = max(start - 1, 0)
        target = slice(begin * factor, 1 + (stop - 1) * factor)
        weight = torch.ones(target.stop - target.start)
        if start:
            weight[: ramp + 1] *= torch.linspace(0, 1, ramp + 2)[:-1]
        if stop < cells:
            weight[-ramp:] *= torch.linspace(1, 0, ramp + 2)[1:-1]
        tiles.append(_Tile(begin, stop, target, weight))
    return _normalised(tiles, 1 + (cells - 1) * factor)


def _spans(cells: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    if not 0 < overlap < size:
        raise ValueError(f"tiles of {size} latent cells cannot overlap by {overlap}")
    for start in range(0, max(1, cells - overlap), size - overlap):
        yield start, min(start + size, cells)


def _normalised(tiles: list[_Tile], length: int) -> list[_Tile]:
    # Weights are products over the axes, so it is enough that they add up to 1 on each.
    total = torch.zeros(length)
    for tile in tiles:
        total[tile.target] += tile.weight
    for tile in tiles:
        tile.weight.div_(total[tile.target])
    return tiles


def _cells(length: int, factor: int) -> int:
    if length % factor:
        raise ValueError(f"a tile or an overlap of {length} is no multiple of {factor}")
    return length // factor
