"""Looking at 1,000 clips for the first time: our scan against PyAV in one thread.

The plain way opens each clip once and decodes it to its end in one thread, which is the simplest
one that gets the number of frames right. Ours keeps what it finds; for the cold scan it knows
nothing, and for the warm one everything. What the operating system has of the files in memory is
the same for all. Opening each clip for its header alone, which believes what the header says, is
measured as well, for comparison.

The clips are small and of four kinds: one group of pictures or several, with and without sound.
No two have the same bytes. Each way runs in a process of its own, in turns; the seconds begin after
its imports.

python -m tests.benchmarks.bench_scan [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from engine.errors import LtxError
from engine.precompute.ledger import Ledger
from engine.precompute.survey import probe_files
from tests.benchmarks.bench_frames import processor
from tests.benchmarks.rows import ROOT, Row, main, python, ratio_of, spread
from tests.media_clips import Sound, Video, make_video, tone

CLIPS, QUICK_CLIPS = 1000, 200
ROUNDS = 3
COLD, WARM = 1.8, 0.3
SIZE, LENGTHS = (640, 360), (49, 73, 97, 121)


def make_clips(folder: Path, count: int) -> list[Path]:
    """Write some clips, and enough copies, each with a box of its own that players skip."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    kinds = []
    for number, length in enumerate(LENGTHS):
        base = rng.integers(16, 235, (SIZE[1] // 8, SIZE[0] // 8), dtype=np.uint8)
        base = base.repeat(8, axis=0).repeat(8, axis=1)
        kinds.append(
            make_video(
                folder.parent / f"kind{number}.mp4",
                (np.roll(base, 3 * k, axis=1) for k in range(length)),
                Video(gop=24 if number % 2 else 250, options={"qp": "26", "preset": "medium"}),
                Sound(samples=tone(length / 24)) if number < 2 else None,
            )
        )
    clips = []
    for number in range(count):
        clip = folder / f"{number:04d}.mp4"
        shutil.copyfile(kinds[number % len(kinds)], clip)
        with clip.open("ab") as file:
            file.write(struct.pack(">I4sI", 12, b"free", number))
        clips.append(clip)
    return clips


def opened_once(clips: Sequence[Path], _: Path) -> list[int]:
    """Open each clip once and count what decodes, in one thread."""
    found = []
    for clip in clips:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            found.append(sum(1 for _ in container.decode(stream)))
    return found


def headers(clips: Sequence[Path], _: Path) -> list[int]:
    """Open each clip and believe its header."""
    found = []
    for clip in clips:
        with av.open(str(clip)) as container:
            found.append(container.streams.video[0].frames)
    return found


def scan(clips: Sequence[Path], state: Path) -> list[int]:
    """Look at all clips as a plan does, and keep what was found in `state`."""
    with Ledger(state) as ledger:
        probes = probe_files(clips, ledger)
    found = []
    for clip in clips:
        one = probes[clip]
        if isinstance(one, LtxError):
            raise one
        found.append(one.frames)
    return found


WAYS: dict[str, Callable[[Sequence[Path], Path], list[int]]] = {
    "opened": opened_once,
    "headers": headers,
    "scan": scan,
}


def child(way: str, folder: str, state: str) -> None:
    """Run one way, in a process of its own, and print its figures."""
    clips = sorted(Path(folder).iterdir())
    if way == "scan":
        import engine.media.probe  # noqa: F401
    used, started = processor(), time.perf_counter()
    found = WAYS[way](clips, Path(state))
    print(json.dumps([time.perf_counter() - started, processor() - used, found]))


def run(way: str, folder: Path, state: Path) -> tuple[float, float, list[int]]:
    """Run one way; return its seconds on the wall, those of the processor, and the counts."""
    command = python("tests.benchmarks.bench_scan", way, str(folder), str(state))
    out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    wall, cpu, found = json.loads(out)
    return wall, cpu, found


def measure(quick: bool) -> Sequence[Row]:
    """Scan in turns, cold each time, and warm after it."""
    count = QUICK_CLIPS if quick else CLIPS
    wall: dict[str, list[float]] = {name: [] for name in ("opened", "headers", "cold", "warm")}
    cpu: dict[str, list[float]] = {name: [] for name in wall}
    counts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clips"
        make_clips(folder, count)
        headers(sorted(folder.iterdir()), folder)  # so that all find the files in memory
        for number in range(ROUNDS):
            state = Path(name) / f"state{number}"
            order = [("opened", "opened"), ("headers", "headers"), ("cold", "scan")]
            for kind, way in [*order[:: 1 if number % 2 == 0 else -1], ("warm", "scan")]:
                seconds, used, found = run(way, folder, state)
                wall[kind].append(seconds)
                cpu[kind].append(used)
                counts.append(tuple(found))
    effort = ratio_of(cpu["opened"], cpu["cold"])
    return [
        Row(
            what=f"scan of {count:,} clips, cold",
            against="PyAV opened once for each, one thread",
            goal=COLD,
            ratio=ratio_of(wall["opened"], wall["cold"]),
            equal=len(set(counts)) == 1,
            detail=f"{spread(wall['opened'])} against {spread(wall['cold'])} on the wall; "
            f"{spread(cpu['opened'])} against {spread(cpu['cold'])} of processor time "
            f"({effort:.2f} ×); for the headers alone {spread(cpu['headers'])}",
        ),
        Row(
            what=f"scan of {count:,} clips, warm",
            goal=WARM,
            ratio=statistics.median(wall["warm"]),
            unit="s",
            most=True,
            equal=len(set(counts)) == 1,
            detail=f"{spread(cpu['warm'])} of processor time",
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        child(*sys.argv[1:])
    else:
        main("scan", __doc__, measure)
