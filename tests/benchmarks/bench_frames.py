"""Frames for the encoder: our way against the whole clip in float32 at source size.

Decode, scale, crop and normalise 49 frames of 1080p and of 4K for a bucket of 960x544. Each way
runs in a process of its own, in turns, on the same generated clip. Speed is held against the
processor seconds that a clip takes, which is what decides how many clips a second the same cores
do, whatever else they do; the wall's seconds stand beside them. The plain way gets one thread of
torch, so that it spends none on waiting. Memory is the peak of the process less what it had after
its imports. The pixels of both are compared in bfloat16, by hash. Each process scales a few pixels
both ways before its seconds begin.

python -m tests.benchmarks.bench_frames [--quick] [--json FILE]
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import psutil
import torch

from engine.media.bicubic import axis
from engine.media.frames import FrameRequest, read_frames
from engine.media.probe import Probe, probe
from engine.media.write import write_video
from engine.memory.allocator import keep_freed_memory
from tests.benchmarks.plain_frames import plain_frames
from tests.benchmarks.rows import ROOT, Row, main, python, ratio_of, spread

FASTER, SMALLER = 4.0, 10.0
SOURCES = {"1080p30": (1920, 1080), "4K": (3840, 2160)}
BUCKET = (960, 544)
FRAMES = 49
ROUNDS, QUICK_ROUNDS = 3, 1
# Bytes that the plain way takes for each byte of a source frame, and some for its result.
PLAIN_BYTES = 10


class Run(NamedTuple):
    """What one way took for one clip: seconds, GiB, and the hash of the pixels."""

    wall: float
    cpu: float
    memory: float
    digest: str


def naive(path: Path, _: Probe, frames: int) -> torch.Tensor:
    """Read it the straightforward way."""
    return plain_frames(path, *BUCKET, frames)


def ours(path: Path, found: Probe, frames: int) -> torch.Tensor:
    """Read the same clip with engine.media; it was probed when the dataset was scanned."""
    wanted = FrameRequest(width=BUCKET[0], height=BUCKET[1], frames=frames)
    return read_frames(path, found, wanted, dtype=torch.bfloat16)


WAYS: dict[str, Callable[[Path, Probe, int], torch.Tensor]] = {"naive": naive, "ours": ours}


def peak() -> float:
    """Return the peak resident memory of this process in GiB (Linux).

    Not getrusage's figure, which a child inherits from the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def child(way: str, path: str, frames: str) -> None:
    """Run one way, in a process of its own, and print its figures."""
    if way == "naive":
        torch.set_num_threads(1)
    else:
        keep_freed_memory()  # as the encoder's process does
    found = msgspec.json.decode(sys.stdin.buffer.read(), type=Probe)
    axis(64, 32, 0, 32, 96)  # what a process does once is no clip's
    before, used, started = peak(), processor(), time.perf_counter()
    clip = WAYS[way](Path(path), found, int(frames))
    wall, cpu, memory = time.perf_counter() - started, processor() - used, peak() - before
    digest = hashlib.sha256(clip.bfloat16().view(torch.int16).numpy().tobytes()).hexdigest()
    print(json.dumps([wall, cpu, memory, digest]))


def processor() -> float:
    """Return the processor seconds of this process, all threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run(way: str, path: Path, frames: int) -> Run:
    """Run one way in a process of its own."""
    command = python("tests.benchmarks.bench_frames", way, str(path), str(frames))
    told = msgspec.json.encode(probe(path))
    out = subprocess.run(command, cwd=ROOT, input=told, stdout=subprocess.PIPE, check=True).stdout
    return Run(*json.loads(out))


def make_clip(path: Path, width: int, height: int, frames: int) -> None:
    """Write a clip with detail and motion."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    base = base.repeat(8, axis=0).repeat(8, axis=1)
    write_video(path, (np.roll(base, 4 * k, axis=1) for k in range(frames)), Fraction(30))


def that_fit(size: tuple[int, int], frames: int) -> int:
    """Return how many frames the plain way has memory for, at most `frames`."""
    a_frame = PLAIN_BYTES * 3 * size[0] * size[1]
    fit = int(psutil.virtual_memory().available * 0.8) // a_frame
    return min(frames, max(1, (fit - 1) // 8 * 8 + 1))


def rows_of(name: str, folder: Path, rounds: int) -> list[Row]:
    """Measure one source."""
    size = SOURCES[name]
    frames = that_fit(size, FRAMES)
    path = folder / f"{name}.mp4"
    make_clip(path, *size, frames)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in list(WAYS)[:: 1 if number % 2 == 0 else -1]:
            runs[way].append(run(way, path, frames))
    cpu, wall, memory = (
        {way: [float(one[at]) for one in each] for way, each in runs.items()} for at in (1, 0, 2)
    )
    equal = len({one.digest for each in runs.values() for one in each}) == 1
    what = f"{name} → {BUCKET[0]}x{BUCKET[1]}x{frames}"
    against = "whole clip in float32"
    on_wall = ratio_of(wall["naive"], wall["ours"])
    return [
        Row(
            what=f"{what}, clips a second",
            against=against,
            goal=FASTER,
            ratio=ratio_of(cpu["naive"], cpu["ours"]),
            equal=equal,
            detail=f"{spread(cpu['naive'])} against {spread(cpu['ours'])} of processor time; "
            f"{spread(wall['naive'])} against {spread(wall['ours'])} on the wall ({on_wall:.1f} ×)",
        ),
        Row(
            what=f"{what}, peak memory",
            against=against,
            goal=SMALLER,
            ratio=ratio_of(memory["naive"], memory["ours"]),
            equal=equal,
            detail=f"{spread(memory['naive'], 'GiB')} against {spread(memory['ours'], 'GiB')}, "
            "each over its imports",
        ),
    ]


def measure(quick: bool) -> Sequence[Row]:
    """Measure all sources."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        return [row for name in SOURCES for row in rows_of(name, Path(folder), rounds)]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        child(*sys.argv[1:])
    else:
        main("frames", __doc__, measure)
