"""Exact streaming: a clip goes through the encoder in chunks, in memory that does not grow.

The encoder is causal in time and has only convolutions and per-pixel norms. Feeding 1 + 8k
frames, then 8k at a time, gives the latents of the whole clip if each convolution remembers its
last two input frames, and if the frame that a stride-2 block puts in front is put there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from engine.models.stream_state import StreamState
from engine.models.video_vae import VideoEncoder


def stream_encode(
    encoder: VideoEncoder,
    clip: Tensor | Iterable[Tensor],
    chunk: int = 16,
    *,
    frames: int | None = None,
    state: StreamState | None = None,
    lean: bool = False,
    offload: bool = False,
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
        lean: Use buffers again in place, which takes less memory.
        offload: Lean, and hold between chunks in host memory what is kept of the frames so far;
            takes least memory. The clip's first frame is then a step of its own.

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
    state.choose(lean=lean, offload=offload)
    out: Tensor | None = None
    done = arrived = 0
    try:
        for pixels in _chunks(clip, chunk, encoder.config.scale_factors[1], alone=state.offload):
            if out is None:
                whole = torch.Size((*pixels.shape[:2], frames, *pixels.shape[3:]))
                shape = encoder.latent_shape(whole)
                out = torch.empty(shape, dtype=encoder.dtype, device=encoder.device)
            arrived += pixels.shape[2]
            state.last = arrived >= frames
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


def _chunks(
    clip: Tensor | Iterable[Tensor], chunk: int, factor: int, *, alone: bool
) -> Iterator[Tensor]:
    """Yield 1 + chunk frames, then chunk frames at a time; the last part may be shorter.

    With `alone` the first part is a single frame.
    """
    if chunk < factor or chunk % factor:
        raise ValueError(f"chunk is {chunk}; a positive multiple of {factor} is expected")
    first = 1 if alone else chunk + 1
    if isinstance(clip, Tensor):
        yield clip[:, :, :first]
        for start in range(first, clip.shape[2], chunk):
            yield clip[:, :, start : start + chunk]
        return
    waiting: list[Tensor] = []
    missing = first
    for arrived in clip:
        part = arrived
        while part.shape[2]:
            piece, part = part[:, :, :missing], part[:, :, missing:]
            waiting.append(piece)
            missing -= piece.shape[2]
            if not missing:
                ready, waiting = _joined(waiting), []
                yield ready
                # Or it would stay until there is the next one.
                del ready
                missing = chunk
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
