"""Every rung of the ladder with LTX-2.0's full-width video encoder, weights and pixels random.

Each rung runs in a process of its own, one after another, on the CPU. Prints seconds, the peak of
live tensors beside weights and clip, what the forecast says of it, and whether the latents are
those of the one-shot encode, to the bit.

python -m tests.benchmarks.bench_rungs --size 960x544x49
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from engine.memory.forecast import VideoShape, video_peak
from engine.memory.rungs import Rung, rung_named, video_ladder
from engine.models.streaming import stream_encode
from engine.models.video_vae import VideoEncoder
from tests.memory import peak_live_bytes
from tests.video_models import CONFIGS, FULL_20, random_clip, random_encoder

MIB = 1 << 20


def encode(folder: Path, shape: VideoShape, rung: Rung, *, narrow: bool) -> None:
    """Encode in this process and print what it took, as JSON."""
    encoder = random_encoder(CONFIGS["2.0"] if narrow else FULL_20, torch.bfloat16)
    size = (rung.batch, 3, shape.frames, shape.height, shape.width)
    clip = random_clip(*size, dtype=torch.bfloat16)
    latents: list[torch.Tensor] = []
    began = time.perf_counter()
    peak = peak_live_bytes(
        lambda: latents.append(run(encoder, clip, rung)), [clip, *encoder.parameters()]
    )
    seconds = time.perf_counter() - began
    torch.save(latents[0], folder / f"{rung.name}.pt")
    forecast = video_peak(encoder.config, shape, rung, 2)
    print(json.dumps({"seconds": seconds, "peak": peak / MIB, "forecast": forecast / MIB}))


def run(encoder: VideoEncoder, clip: torch.Tensor, rung: Rung) -> torch.Tensor:
    """Encode as the rung says, from pixels that arrive on the device as they are needed."""
    if rung.kind == "whole":
        return encoder.encode(clip.clone())
    frames = clip.shape[2]

    def arriving() -> Iterator[torch.Tensor]:
        yield clip[:, :, : rung.chunk + 1].clone()
        for start in range(rung.chunk + 1, frames, rung.chunk):
            yield clip[:, :, start : start + rung.chunk].clone()

    return stream_encode(
        encoder,
        arriving(),
        rung.chunk,
        frames=frames,
        lean=rung.kind == "lean",
        offload=rung.kind == "offload",
    )


def table(shape: VideoShape, results: dict[str, dict[str, float]], folder: Path) -> None:
    """Print a line for each rung, and compare the latents."""
    first_name, first = next(iter(results.items()))
    expected = torch.load(folder / f"{first_name}.pt", weights_only=True)
    print(f"{shape!s:16}{'s':>8}{'ratio':>7}{'peak MiB':>10}{'ratio':>7}", end="")
    print(f"{'forecast MiB':>14}{'of peak':>9}  same latents")
    for name, found in results.items():
        latents = torch.load(folder / f"{name}.pt", weights_only=True)
        print(f"{name:16}{found['seconds']:8.1f}{found['seconds'] / first['seconds']:7.2f}", end="")
        print(f"{found['peak']:10.1f}{found['peak'] / first['peak']:7.3f}", end="")
        print(f"{found['forecast']:14.1f}{found['forecast'] / found['peak']:9.4f}", end="")
        print(f"  {'yes' if torch.equal(latents, expected) else 'no'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="960x544x49", help="WxHxF of the clip")
    parser.add_argument("--narrow", action="store_true", help="a small encoder, to try this out")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rung", default="one-shot", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape, rung = VideoShape.parse(options.size), rung_named(options.rung)
    if shape is None or rung is None:
        parser.error(f"--size {options.size} is not of the form 960x544x49")
    if options.folder:
        encode(options.folder, shape, rung, narrow=options.narrow)
        return
    with tempfile.TemporaryDirectory() as name:
        results = {}
        for one in video_ladder(shape.frames):
            command = [sys.executable, "-m", "tests.benchmarks.bench_rungs", "--size", options.size]
            command += ["--folder", name, "--rung", one.name, *["--narrow"] * options.narrow]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[one.name] = json.loads(found)
        table(shape, results, Path(name))


if __name__ == "__main__":
    main()
