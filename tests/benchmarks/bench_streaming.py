"""One-shot against streaming: seconds, and the peak of live tensors beside the weights.

python -m tests.benchmarks.bench_streaming --size 256x160x49 --chunks 8,16
python -m tests.benchmarks.bench_streaming --full-width --size 960x544x49
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch

from engine.models.streaming import stream_encode
from engine.models.video_vae import VideoEncoder
from tests.memory import peak_live_bytes
from tests.video_models import CONFIGS, FULL_20, random_clip, random_encoder

MIB = 1 << 20


def measure(
    run: Callable[[], torch.Tensor], clip: torch.Tensor
) -> tuple[float, float, torch.Tensor]:
    """Return seconds, MiB and latents of one run."""
    seconds, latents = 0.0, clip

    def timed() -> None:
        nonlocal seconds, latents
        synchronise(clip)
        start = time.perf_counter()
        latents = run()
        synchronise(clip)
        seconds = time.perf_counter() - start

    # Counting costs next to nothing beside the convolutions.
    peak = peak_live_bytes(timed, [clip])
    return seconds, peak / MIB, latents


def synchronise(clip: torch.Tensor) -> None:
    if clip.is_cuda:
        torch.cuda.synchronize()


def report(encoder: VideoEncoder, clip: torch.Tensor, chunks: list[int], repeat: int) -> None:
    """Print a line for each way; the best of `repeat` runs counts."""
    ways: dict[str, Callable[[], torch.Tensor]] = {"one-shot": lambda: encoder.encode(clip)}
    for chunk in chunks:
        ways[f"chunks of {chunk}"] = lambda chunk=chunk: stream_encode(encoder, clip, chunk)
    first: tuple[float, float, torch.Tensor] | None = None
    print(f"{'':14}{'seconds':>9}{'ratio':>7}{'MiB':>9}{'ratio':>7}  same latents")
    for name, run in ways.items():
        best = min((measure(run, clip) for _ in range(repeat)), key=lambda found: found[0])
        seconds, peak, latents = best
        first = first or best
        print(
            f"{name:14}{seconds:9.2f}{seconds / first[0]:7.2f}"
            f"{peak:9.1f}{peak / first[1]:7.2f}  {torch.equal(latents, first[2])}"
        )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak of the process: {most:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="256x160x49", help="WxHxF of the clip")
    parser.add_argument("--chunks", default="8,16,24", help="frames a step, by comma")
    parser.add_argument("--full-width", action="store_true", help="LTX-2.0's real width")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--repeat", type=int, default=2, help="runs of each")
    options = parser.parse_args()
    width, height, frames = map(int, options.size.split("x"))
    dtype = getattr(torch, options.dtype)
    encoder = random_encoder(FULL_20 if options.full_width else CONFIGS["2.0"], dtype)
    encoder.to(options.device)
    weights = sum(p.nbytes for p in encoder.parameters()) / MIB
    clip = random_clip(1, 3, frames, height, width, dtype=dtype).to(options.device)
    print(f"{options.size} in {options.dtype} on {options.device}, weights {weights:.0f} MiB")
    report(encoder, clip, [int(n) for n in options.chunks.split(",")], options.repeat)


if __name__ == "__main__":
    main()
