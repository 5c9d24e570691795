"""Frame-by-frame reading against the whole clip in float32 at source size.

Run it: python tests/benchmarks/bench_frames.py [--size 1920x1080] [--frames 121]

Each way runs in its own process, in turns, on the same generated clip; the memory is the peak of
the process less what it had after its imports. The pixels of both are compared by hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

ROUNDS = 3


def naive(path: Path, width: int, height: int, frames: int) -> bytes:
    """Decode everything, make it float, resize the clip, crop it, normalise it."""
    import av
    import torch

    with av.open(str(path)) as container:
        arrays = []
        for frame in container.decode(video=0):
            arrays.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(arrays) == frames:
                break
    video = torch.stack(arrays).permute(0, 3, 1, 2).float() / 255
    rows, columns = video.shape[2:]
    size = (height, int(columns * height / rows))
    if columns / rows <= width / height:
        size = (int(rows * width / columns), width)
    video = torch.nn.functional.interpolate(video, size, mode="bicubic", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    video = video[:, :, top : top + height, left : left + width].clamp(0, 1)
    clip = ((video - 0.5) / 0.5).permute(1, 0, 2, 3).contiguous()
    return hashlib.sha256(clip.numpy()).digest()


def ours(path: Path, width: int, height: int, frames: int) -> bytes:
    """Read the same clip with engine.media, probing it first."""
    from engine.media.frames import FrameRequest, read_frames
    from engine.media.probe import probe

    wanted = FrameRequest(width=width, height=height, frames=frames)
    return hashlib.sha256(read_frames(path, probe(path), wanted).numpy()).digest()


WAYS: dict[str, Callable[[Path, int, int, int], bytes]] = {"naive": naive, "ours": ours}


def peak() -> float:
    """Return the peak resident memory of this process in MiB (Linux).

    Not getrusage's figure, which a child inherits from the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(way: str, path: str, width: str, height: str, frames: str) -> None:
    """Run one way and print its figures."""
    import torch

    import engine.media.frames  # noqa: F401

    torch.set_num_threads(1)  # more would measure how busy the machine is
    before = peak()
    started = time.perf_counter()
    digest = WAYS[way](Path(path), int(width), int(height), int(frames))
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, peak() - before, digest.hex()]))


def make_clip(path: Path, width: int, height: int, frames: int) -> None:
    """Write a clip with detail and motion."""
    from engine.media.write import write_video

    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    base = base.repeat(8, axis=0).repeat(8, axis=1)
    write_video(path, (np.roll(base, 4 * k, axis=1) for k in range(frames)), Fraction(24))


def main() -> None:
    """Print time and memory of both ways, side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080", help="of the source")
    parser.add_argument("--bucket", default="960x544")
    parser.add_argument("--frames", type=int, default=49)
    options = parser.parse_args()
    source = [int(side) for side in options.size.split("x")]
    bucket = options.bucket.split("x")
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path, source[0], source[1], options.frames)
        for _ in range(ROUNDS):
            for way in WAYS:
                command = [sys.executable, __file__, way, str(path), *bucket, str(options.frames)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                seconds, memory, digest = json.loads(out)
                results[way].append((seconds, memory))
                digests.add(digest)
    result = 3 * options.frames * int(bucket[0]) * int(bucket[1]) * 4 / 2**20
    print(f"{options.size}, {options.frames} frames to {options.bucket}, best of {ROUNDS}")
    print(f"the result alone is {result:.0f} MiB in float32")
    best = {
        way: [min(column) for column in zip(*runs, strict=True)] for way, runs in results.items()
    }
    for way, (seconds, memory) in best.items():
        print(f"{way:>6}  {seconds:7.2f} s  {memory:8.0f} MiB over the imports")
    faster, smaller = (a / b for a, b in zip(best["naive"], best["ours"], strict=True))
    print(f" ratio  {faster:6.2f}x faster, {smaller:.1f}x less memory")
    print(f"pixels  {'equal to the bit' if len(digests) == 1 else 'DIFFERENT'}")


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in WAYS else main()
