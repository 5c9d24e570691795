"""The video VAE at full width, weights and pixels random: streaming against one-shot.

On the CPU one core does each encode in turns, and what counts is the seconds of that core. How
the peak grows with the clip is counted tensor by tensor. What a GPU makes of it is measured by
`tests.benchmarks.vae_on_gpu`.

python -m tests.benchmarks.bench_vae [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from engine.models.streaming import stream_encode
from engine.models.video_vae import VideoEncoder
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread
from tests.benchmarks.vae_on_gpu import on_gpu
from tests.memory import peak_live_bytes
from tests.video_models import FULL_20, random_clip, random_encoder

GOAL, FLAT = 1.05, 1.02
CHUNKS = (24, 16)
MIB = 1 << 20

Encode = Callable[[], torch.Tensor]


def clip_of(size: tuple[int, int, int]) -> torch.Tensor:
    """Return a clip of W×H×F."""
    width, height, frames = size
    return random_clip(1, 3, frames, height, width, dtype=torch.bfloat16)


def streaming(encoder: VideoEncoder, size: tuple[int, int, int], rounds: int) -> list[Row]:
    """Encode a clip at once and in chunks."""
    clip = clip_of(size)
    latents: dict[str, torch.Tensor] = {}
    wall: dict[str, list[float]] = {}

    def way(name: str, encode: Encode) -> float:
        began, before = time.perf_counter(), time.process_time()
        latents[name] = encode()
        wall.setdefault(name, []).append(time.perf_counter() - began)
        return time.process_time() - before

    ways: dict[str, Encode] = {"one-shot": lambda: encoder.encode(clip)}
    for chunk in CHUNKS:
        ways[f"chunks of {chunk}"] = lambda chunk=chunk: stream_encode(encoder, clip, chunk)
    small = clip_of((64, 64, 9))
    encoder.encode(small)  # the libraries' own preparations
    seconds = in_turns(
        {name: (lambda name=name, run=run: way(name, run)) for name, run in ways.items()}, rounds
    )
    first, *others = ways
    return [
        Row(
            what=f"video VAE, streaming in {name}, {'x'.join(map(str, size))}",
            against="one-shot, batch 1",
            goal=GOAL,
            ratio=ratio_of(seconds[name], seconds[first]),
            most=True,
            equal=torch.equal(latents[name], latents[first]),
            detail=f"LTX-2.0's full width, bf16, seconds of one core: {spread(seconds[first])} "
            f"against {spread(seconds[name])}, on the wall "
            f"{ratio_of(wall[name], wall[first]):.3f} ×; latents held to the bit",
        )
        for name in others
    ]


def flatness(encoder: VideoEncoder, side: int, frames: tuple[int, int]) -> Row:
    """Count the peak of live tensors of two lengths."""
    chunk = CHUNKS[-1]
    peaks: dict[str, list[float]] = {"one-shot": [], "streaming": []}
    for count in frames:
        clip = clip_of((side, side, count))
        whole = peak_live_bytes(lambda clip=clip: encoder.encode(clip), [clip])
        parts = peak_live_bytes(lambda clip=clip: stream_encode(encoder, clip, chunk), [clip])
        peaks["one-shot"].append(whole / MIB)
        peaks["streaming"].append(parts / MIB)
    grown = {name: found[1] / found[0] for name, found in peaks.items()}
    figures = "; ".join(
        f"{name} {found[0]:.1f} → {found[1]:.1f} MiB ({grown[name]:.2f} ×)"
        for name, found in peaks.items()
    )
    return Row(
        what=f"video VAE, streaming: peak at {frames[1]} frames",
        against=f"its peak at {frames[0]} frames",
        goal=FLAT,
        ratio=grown["streaming"],
        most=True,
        detail=f"live tensors beside weights and clip, {side}x{side}, chunks of {chunk}: {figures}",
    )


def measure(quick: bool) -> Sequence[Row]:
    """Measure on the CPU, and on a GPU where there is one."""
    torch.set_num_threads(1)  # more would measure how busy the machine is
    encoder = random_encoder(FULL_20, torch.bfloat16)
    size, rounds = (256, 160, 49), 1 if quick else 2
    return [
        *streaming(encoder, size, rounds),
        flatness(encoder, 64, (49, 97)),
        on_gpu(encoder),
    ]


if __name__ == "__main__":
    main("vae", __doc__, measure)
