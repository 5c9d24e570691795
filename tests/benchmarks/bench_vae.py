"""The video VAE at full width, weights and pixels random: streaming against one-shot.

On the CPU one core does each encode in turns, and what counts is the seconds of that core. How
the peak grows with the clip is counted tensor by tensor. Where there is an NVIDIA GPU, batches,
channels-last, the compiler and CUDA graphs are held against the plain one-shot encode.

python -m tests.benchmarks.bench_vae [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from engine.models.streaming import stream_encode
from engine.models.video_vae import VideoEncoder
from tests.benchmarks.rows import Row, in_turns, main, ratio_of, spread
from tests.memory import peak_live_bytes
from tests.video_models import FULL_20, random_clip, random_encoder, relative_error

GOAL, FLAT, GPU_GOAL = 1.05, 1.02, 1.3
CHUNKS = (24, 16)
BF16 = 0.016  # twice what bf16 itself costs against float32
GPU_SIZE, GPU_BATCH, GPU_ROUNDS = (960, 544, 49), 4, 3
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


def on_gpu(encoder: VideoEncoder) -> Row:
    """Hold ways to use a GPU against the plain one; says so where there is none."""
    row = Row(
        what="video VAE on a GPU: best of batch, channels-last, compile, CUDA graphs",
        against="one-shot eager, batch 1",
        goal=GPU_GOAL,
        detail="no GPU here",
    )
    if not torch.cuda.is_available():
        return row
    encoder = encoder.to("cuda")
    clips = torch.cat([clip_of(GPU_SIZE)] * GPU_BATCH).to("cuda")
    one = clips[:1]
    expected = encoder.encode(one)
    ways: dict[str, tuple[Encode, int]] = {
        "eager": (lambda: encoder.encode(one), 1),
        f"batch {GPU_BATCH}": (lambda: encoder.encode(clips), GPU_BATCH),
    }
    for mode in ("default", "reduce-overhead"):  # the second one is CUDA graphs
        compiled = torch.compile(encoder.encode, mode=mode)
        name = "compile" if mode == "default" else "compile, CUDA graphs"
        ways[name] = (lambda compiled=compiled: compiled(one).clone(), 1)
    found = _timed_on_gpu(ways, expected)
    encoder = encoder.to(memory_format=torch.channels_last_3d)
    last = one.to(memory_format=torch.channels_last_3d)
    found |= _timed_on_gpu({"channels-last": (lambda: encoder.encode(last), 1)}, expected)
    eager = found.pop("eager")[0]
    right = {name: took for name, (took, error) in found.items() if error <= BF16}
    figures = "; ".join(f"{n} {eager / s:.2f} × ({e:.1e} off)" for n, (s, e) in found.items())
    return Row(
        what=row.what,
        against=row.against,
        goal=GPU_GOAL,
        ratio=eager / min(right.values()) if right else None,
        detail=f"{torch.cuda.get_device_name()}, {'x'.join(map(str, GPU_SIZE))}, bf16, eager "
        f"{1000 * eager:.0f} ms a clip; {figures}",
    )


def _timed_on_gpu(
    ways: dict[str, tuple[Encode, int]], expected: torch.Tensor
) -> dict[str, tuple[float, float]]:
    """Return the seconds a clip of each way, and how far its latents are off."""
    found = {}
    for name, (encode, clips) in ways.items():
        for _ in range(3):  # compiling and recording, too
            latents = encode()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(GPU_ROUNDS):
            encode()
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / GPU_ROUNDS / clips
        found[name] = (seconds, relative_error(latents[:1].cpu(), expected.cpu()))
    return found


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
