"""Finding scenes against PySceneDetect's own command line, on the same file in the same run.

Run it: python tests/benchmarks/bench_scenes.py [--size 1920x1080] [--seconds 60] [--rounds 3]
        [--detector content|adaptive|histogram|hash] [--videos 1] [FILE]

Whole commands are timed, from their start to their end, in turns: `python -m scenedetect -i FILE
-m 15 detect-… list-scenes` and `ltx-tui split-scenes FILE OUT --detector … --dry-run`. The least of
the rounds counts. Processor time is that of the command and its children. With --videos, so many
copies are looked at: by PySceneDetect one after the other, since it takes one at a time.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

COMMANDS = {
    "content": "detect-content",
    "adaptive": "detect-adaptive",
    "histogram": "detect-hist",
    "hash": "detect-hash",
}
FPS = Fraction(24)


class Run(NamedTuple):
    """A command that ended."""

    wall: float
    processor: float
    cuts: list[list[int]]


def make_film(path: Path, size: tuple[int, int], seconds: int) -> None:
    """Write shots of one to five seconds in which a grainy texture moves, with sound-free H.264."""
    width, height = size
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        options = {"crf": "20", "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        left = int(seconds * FPS)
        while left > 0:
            length = min(left, int(rng.integers(24, 120)))
            left -= length
            coarse = rng.integers(0, 255, (34, 60, 3)).astype(np.uint8)
            wide = (width + 400, height + 200)
            texture = cv2.resize(coarse, wide, interpolation=cv2.INTER_CUBIC).astype(np.int16)
            texture += rng.normal(0, 6, texture.shape).astype(np.int16)
            texture = texture.clip(0, 255).astype(np.uint8)
            dx, dy = rng.uniform(0.2, 3), rng.uniform(0, 1.5)
            for step in range(length):
                x, y = int(step * dx) % 400, int(step * dy) % 200
                part = np.ascontiguousarray(texture[y : y + height, x : x + width])
                container.mux(stream.encode(VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode(None))


def timed(work: Callable[[], list[list[int]]]) -> Run:
    """Call something that runs commands."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    cuts = work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, used, cuts)


def theirs(films: list[Path], detector: str, folder: Path) -> list[list[int]]:
    """Have PySceneDetect's command line look at each video, and return the cuts."""
    cuts = []
    for film in films:
        command = [sys.executable, "-m", "scenedetect", "-q", "-o", str(folder), "-i", str(film)]
        command += ["-m", "15", COMMANDS[detector], "list-scenes", "-s"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with (folder / f"{film.stem}-Scenes.csv").open() as file:
            cuts.append([int(row["Start Frame"]) - 1 for row in csv.DictReader(file)][1:])
    return cuts


def ours(films: list[Path], detector: str, folder: Path) -> list[list[int]]:
    """Have `ltx-tui split-scenes` look at all videos, and return the cuts."""
    source = films[0] if len(films) == 1 else films[0].parent
    command = [sys.executable, "-m", "ltx_tui", "split-scenes", str(source), str(folder / "out")]
    command += ["--detector", detector, "--dry-run", "--json"]
    done = subprocess.run(command, check=True, capture_output=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    found = {tell["video"]: tell["cuts"] for tell in told if tell["tell"] == "scenes"}
    return [found[video] for video in sorted(found)]


def main() -> None:
    """Time both, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detector", choices=sorted(COMMANDS), default="content")
    parser.add_argument("--videos", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [folder / "films" / f"film{n}.mp4" for n in range(given.videos)]
        films[0].parent.mkdir()
        if given.file:
            films = [film.with_suffix(given.file.suffix) for film in films]
            shutil.copy(given.file, films[0])
        else:
            size = given.size.split("x")
            make_film(films[0], (int(size[0]), int(size[1])), given.seconds)
        for film in films[1:]:
            shutil.copy(films[0], film)
        runs: dict[str, list[Run]] = {"PySceneDetect": [], "ltx-tui": []}
        for _ in range(given.rounds):
            for label, way in (("PySceneDetect", theirs), ("ltx-tui", ours)):
                runs[label].append(timed(lambda way=way: way(films, given.detector, folder)))
        report(runs, given.detector, films)


def report(runs: dict[str, list[Run]], detector: str, films: list[Path]) -> None:
    """Print a line for each program, and how they compare."""
    with av.open(str(films[0])) as container:
        stream = container.streams.video[0]
        frames, size = stream.frames, f"{stream.width}x{stream.height}"
    cores = len(os.sched_getaffinity(0))
    print(f"{len(films)} x {frames} frames of {size}, {detector}, {cores} cores")
    for label, all_runs in runs.items():
        best = min(run.wall for run in all_runs)
        used = min(run.processor for run in all_runs)
        rate = len(films) * frames / best
        walls = ", ".join(f"{run.wall:.2f}" for run in all_runs)
        print(f"{label:14} {best:6.2f} s  {rate:5.0f} frames/s  {used:6.2f} s processor  ({walls})")
    own, other = runs["ltx-tui"], runs["PySceneDetect"]
    wall = min(run.wall for run in own) / min(run.wall for run in other)
    used = min(run.processor for run in own) / min(run.processor for run in other)
    same = own[0].cuts == other[0].cuts
    count = len(own[0].cuts[0])
    print(f"ratio of wall time {wall:.2f}, of processor time {used:.2f}")
    print(f"cuts: {count} each, {'the same' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
