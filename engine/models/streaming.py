"""Exact streaming: a clip goes through the encoder in chunks, in memory that does not grow.

The encoder is causal in time and has only convolutions and per-pixel norms. Feeding 1 + 8k
frames, then 8k at a time, gives the latents of the whole clip if each convolution remembers its
last two input frames, and if the frame that a stride-2 block puts in front is put there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from engine.models.video_blocks import StreamState
from engine.models.video_vae import VideoEncoder


def stream_encode(
    encoder: VideoEncoder,
    clip: Tensor | Iterable[Tensor],
    chunk: int = 16,
    *,
    frames: int | None = None,
    state: StreamState | None = None,
) -> Tensor:
    """Encode a clip chunk by chunk; the latents are those of `encoder.encode(clip)`.

    Args:
        encoder: The video encoder.
        clip: [B, 3, F, H, W] in −1 … 1, or its frames as they arrive, in parts of any length
            that follow one another on axis 2.
        chunk: Frames a step, a multiple of the encoder's temporal factor (8); the first step
            takes one more.
        frames: F, needed where `clip` is not a tensor.
        state: Reused if given; it is cleared before and after.

    Returns:
        Latents [B, 128, 1 + (F − 1) / 8, H / 32, W / 32] on the encoder's device, in its dtype.

    Raises:
        ValueError: A size does not fit, or other than F frames arrived.
    """
    if isinstance(clip, Tensor):
        frames = clip.shape[2]
    elif frames is None:
        raise ValueError("the number of frames must be given for a clip that arrives in parts")
    state = state or StreamState()
    state.clear()
    out: Tensor | None = None
    done = 0
    try:
        for pixels in _chunks(clip, chunk, encoder.config.scale_factors[1]):
            if out is None:
                whole = torch.Size((*pixels.shape[:2], frames, *pixels.shape[3:]))
                shape = encoder.latent_shape(whole)
                out = torch.empty(shape, dtype=encoder.dtype, device=encoder.device)
            latents = encoder.encode(pixels, state)
            if done + latents.shape[2] > out.shape[2]:
                raise ValueError(f"more than the {frames} frames announced arrived")
            out[:, :, done : done + latents.shape[2]] = latents
            done += latents.shape[2]
    finally:
        state.clear()
    if out is None or done < out.shape[2]:
        raise ValueError(f"fewer than the {frames} frames announced arrived")
    return out


def _chunks(clip: Tensor | Iterable[Tensor], chunk: int, factor: int) -> Iterator[Tensor]:
    """Yield 1 + chunk frames, then chunk frames at a time; the last part may be shorter."""
    if chunk < factor or chunk % factor:
        raise ValueError(f"chunk is {chunk}; a positive multiple of {factor} is expected")
    if isinstance(clip, Tensor):
        yield clip[:, :, : chunk + 1]
        for start in range(chunk + 1, clip.shape[2], chunk):
            yield clip[:, :, start : start + chunk]
        return
    waiting: list[Tensor] = []
    missing = chunk + 1
    for arrived in clip:
        part = arrived
        while part.shape[2]:
            piece, part = part[:, :, :missing], part[:, :, missing:]
            waiting.append(piece)
            missing -= piece.shape[2]
            if not missing:
                ready, waiting = _joined(waiting), []
                yield ready
                missing = chunk
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
