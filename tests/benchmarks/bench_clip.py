"""A 1080p clip into a bucket with LTX-2.0's full-width video encoder, weights random.

Each way runs in a process of its own, one after another: reading, encoding and writing as a job
does them. Prints seconds, the peak of live tensors beside weights and clip, and the process's peak.

python -m tests.benchmarks.bench_clip --size 960x544x49
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.files.identity import file_identity
from engine.media.probe import probe
from engine.media.write import write_video
from engine.precompute.layout import Stage
from engine.precompute.stages.base import Made
from engine.precompute.stages.video import VideoStage
from engine.precompute.steps import StageSetup, VideoStep, Window
from tests.memory import peak_live_bytes
from tests.small_set import frames
from tests.video_models import CONFIGS, FULL_20, random_encoder

MIB = 1 << 20


def prepare(folder: Path, count: int, *, narrow: bool) -> None:
    """Write the clip and the checkpoint."""
    write_video(folder / "clip.mp4", iter(frames(count, 1920, 1080)), Fraction(24), None)
    config = CONFIGS["2.0"] if narrow else FULL_20
    encoder = random_encoder(config, torch.bfloat16)
    tensors = {f"vae.{name}": tensor for name, tensor in encoder.state_dict().items()}
    metadata = {"config": json.dumps({"vae": config})}
    save_file(tensors, folder / "vae.safetensors", metadata)


def encode(folder: Path, size: str, chunk: int) -> None:
    """Encode the clip in this process and print what it took, as JSON."""
    width, height, count = map(int, size.split("x"))
    stage = VideoStage(
        StageSetup(
            stage=Stage.LATENTS,
            checkpoint=str(folder / "vae.safetensors"),
            device="cpu",
            chunk=chunk or count - 1,
        ),
        lambda _model, _device: None,
    )
    clip = folder / "clip.mp4"
    step = VideoStep(
        id=0,
        clip="clip.mp4",
        row=0,
        output=str(folder / f"{chunk}.pt"),
        media=str(clip),
        probe=probe(clip),
        window=Window(start=0.0, frames=count, fps=(24, 1), resample=False),
        size=(width, height),
        reshape="center",
        seed=0,
        crop_key="",
        hdr="refuse",
    )
    began = time.perf_counter()
    _ = stage.model
    loaded = time.perf_counter()
    pixels = stage.prepare(step)
    read = time.perf_counter()
    made: list[Made] = []
    live = peak_live_bytes(
        lambda: made.extend(stage.make([step], [pixels], lambda: False)), [pixels]
    )
    encoded = time.perf_counter()
    path = stage.write(step, made[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "load": loaded - began,
                "read": read - loaded,
                "encode": encoded - read,
                "peak": peak / 1024,
                "live": live / MIB,
                "digest": file_identity(path).digest,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="960x544x49", help="WxHxF of the bucket")
    parser.add_argument("--chunks", default="0,16", help="frames a step; 0 is one-shot")
    parser.add_argument("--narrow", action="store_true", help="a small encoder, to try this out")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--chunk", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        encode(options.folder, options.size, options.chunk)
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), int(options.size.split("x")[2]), narrow=options.narrow)
        results = {}
        for chunk in map(int, options.chunks.split(",")):
            command = [sys.executable, "-m", "tests.benchmarks.bench_clip", "--size", options.size]
            command += ["--folder", name, "--chunk", str(chunk)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[chunk] = json.loads(found)
    first = next(iter(results.values()))
    print(f"{'1080p → ' + options.size:20}{'read s':>8}{'encode s':>10}{'ratio':>7}", end="")
    print(f"{'live MiB':>10}{'ratio':>7}{'process MiB':>13}{'ratio':>7}  same file")
    for chunk, found in results.items():
        print(f"{f'chunks of {chunk}' if chunk else 'one-shot':20}{found['read']:8.1f}", end="")
        print(f"{found['encode']:10.1f}{found['encode'] / first['encode']:7.2f}", end="")
        print(f"{found['live']:10.0f}{found['live'] / first['live']:7.2f}", end="")
        print(f"{found['peak']:13.0f}{found['peak'] / first['peak']:7.2f}", end="")
        print(f"  {found['digest'] == first['digest']}")


if __name__ == "__main__":
    main()
