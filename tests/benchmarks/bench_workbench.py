"""What the workbench costs: start, memory, keys and bytes, on pseudo-terminals of its own.

Each project is of empty files whose probes are in the journal already, so that everything but the
decoding of media is as it is in earnest: the child that looks at the dataset again runs as well. A
bare program of the same toolkit is started in the same run. The job is one of an encoder without
models, which takes a while for each clip.

python -m tests.benchmarks.bench_workbench --clips 10000 100000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from engine.client import Engine
from engine.files.identity import stat_identity
from engine.media.probe import PROBE_VERSION, AudioTrack, Probe
from engine.models.toy import make_toy_models
from engine.precompute.layout import Stage
from engine.precompute.ledger import Ledger
from engine.project import Project, load_project, write_project
from engine.worker.spec import encode
from tests.benchmarks.workbench_terminal import Screen
from tests.workers import ENCODER, end_worker

HELLO = (
    "from textual.app import App\n"
    "from textual.widgets import Static\n"
    "class Hello(App):\n"
    "    def compose(self):\n"
    "        yield Static('Hello, world')\n"
    "Hello().run()\n"
)
HEAVY = ("torch", "torchaudio", "transformers", "cv2", "av", "numpy", "tokenizers")
CAPTION = "[VISUAL]: " + "A white rabbit stands in a meadow at dawn while a red car drives by. " * 8
PAUSE = 0.15  # seconds between two keys
IN_JOB = 400  # clips of the job


def make_project(root: Path, clips: int, models: tuple[Path, Path]) -> Project:
    """Make a project whose media were probed before, with its overview."""
    (root / "clips").mkdir(parents=True)
    names = [f"clips/scene-{number:06}.mp4" for number in range(clips)]
    rows = [
        # What the encoder without models does with it.
        {"media_path": name, "caption": "slow 0.2" if number < IN_JOB else f"{CAPTION}{number}"}
        for number, name in enumerate(names)
    ]
    (root / "dataset.json").write_text(json.dumps(rows))
    values = {
        "dataset.path": "dataset.json",
        "models.checkpoint": str(models[0]),
        "models.text_encoder": str(models[1]),
        "run.device": "cpu",
        "text.batch_size": 1,
        "video.buckets": "64x64x9;96x64x9",
    }
    write_project(root / "project.toml", values)
    project = load_project(root / "project.toml")
    sound = AudioTrack(
        codec="aac", rate=48_000, channels=2, layout="stereo", start=0.0, duration=2.0
    )
    with Ledger(project.state_dir) as ledger, ledger.database.transaction(durable=False):
        for number, name in enumerate(names):
            (root / name).touch()
            _keep_probe(ledger, root / name, number, sound)
    _make_overview(project)
    return project


def _make_overview(project: Project) -> None:
    command = [sys.executable, "-m", "engine.worker.make_overview"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(encode(project) + b"\n")
        child.stdin.flush()  # and stay: it ends when nobody waits any more
        print(f"{project.root.name}: {child.stdout.read().splitlines()[-1].decode()}", flush=True)


def _keep_probe(ledger: Ledger, path: Path, number: int, sound: AudioTrack) -> None:
    frames = 24 + number % 200
    probe = Probe(
        kind="video",
        codec="h264",
        pixel_format="yuv420p",
        width=1920 if number % 3 else 1080,
        height=1080 if number % 3 else 1920,
        frames=frames,
        declared_frames=frames,
        fps_num=24,
        duration=frames / 24,
        audio=(sound,),
    )
    assert stat_identity(path).size == 0
    ledger.probe_bytes(path, PROBE_VERSION, lambda _: msgspec.json.encode(probe))


def hello(folder: Path, size: tuple[int, int]) -> float:
    """Return the seconds that the bare program takes to its first picture."""
    file = folder / "hello.py"
    file.write_text(HELLO)
    screen = Screen([str(file)], folder, size)
    try:
        return screen.until(b"Hello")
    finally:
        screen.close()


def workbench(project: Project, size: tuple[int, int]) -> Screen:
    """Start the workbench as the user does."""
    return Screen(["-m", "ltx_tui", str(project.root)], Path(__file__).parents[2], size)


def start(project: Project, size: tuple[int, int]) -> float:
    """Return the seconds that the workbench takes until clips can be seen."""
    screen = workbench(project, size)
    try:
        return screen.until(b"scene-000000")
    finally:
        screen.close()


def latencies(screen: Screen, keys: int) -> list[tuple[float, float]]:
    """Return how long it takes until the cursor is drawn, and until all is, in ms."""
    found = []
    for number in range(keys):
        # To the end of the window and beyond, so that most keys scroll.
        first, last = screen.key(b"j" if number % 10 else b"\x04", "▸".encode())
        found.append((1000 * first, 1000 * last))
        time.sleep(PAUSE)
    return found


def begin_job(project: Project) -> int:
    """Have the worker encode some captions; return when the first is in hand."""

    async def begin() -> int:
        names = [f"clips/scene-{number:06}.mp4" for number in range(IN_JOB)]
        async with Engine(project) as engine:
            job = await engine.start(engine.encoding([Stage.CONDITIONS], only=names))
            async for event in engine.follow(job.id):
                if type(event).__name__ == "ClipDone":
                    break
            return job.id

    return asyncio.run(begin())


def run(project: Project, options: argparse.Namespace) -> dict[str, str]:
    """Measure everything with one project; return what to print."""
    size = (options.width, options.height)
    bare, own = [], []
    for _ in range(options.rounds):  # in turns
        bare.append(hello(project.root, size))
        own.append(start(project, size))
    found = {
        "bare hello-world, s": f"{statistics.median(bare):.2f}",
        "start to clips, s": f"{statistics.median(own):.2f} ({min(own):.2f}–{max(own):.2f})",
        "  of the bare program": f"{statistics.median(own) / statistics.median(bare):.2f} times",
    }
    screen = workbench(project, size)
    try:
        screen.until(b"scene-000000")
        screen.count(2)
        found["bytes/s, looking at media"] = f"{screen.count(5) / 5:.0f}"
        screen.until_no_child("make_overview")
        found["looked at media again after, s"] = f"{time.perf_counter() - screen.began:.1f}"
        screen.settle(3)
        found["memory at rest, MB"] = f"{screen.megabytes:.0f}"
        found["bytes in 5 s, idle"] = str(screen.count(5))
        found["native code loaded"] = ", ".join(screen.libraries(HEAVY)) or "none of it"
        found |= _keys(screen, options.keys, "idle")
        screen.key(b"/", b"/")
        for key in b"red text:12":
            screen.key(bytes([key]), b"")
        screen.settle(1)
        screen.key(b"\r", b"")
        found["memory after a search, MB"] = f"{screen.megabytes:.0f}"
        screen.key(b"\x1b", b"")
        if options.job:
            found |= _with_job(screen, project, options.keys)
    finally:
        screen.close()
        end_worker(project)
    return found


def _keys(screen: Screen, keys: int, when: str) -> dict[str, str]:
    times = latencies(screen, keys)
    lines = {}
    for name, column in (("cursor drawn", 0), ("all drawn", 1)):
        found = sorted(one[column] for one in times)
        middle, late = found[len(found) // 2], found[int(len(found) * 0.95)]
        lines[f"key to {name}, {when}, ms"] = f"p50 {middle:.0f}  p95 {late:.0f}"
    return lines


def _with_job(screen: Screen, project: Project, keys: int) -> dict[str, str]:
    begin_job(project)
    screen.settle(0.5, 10)
    found = {"bytes/s, watching a job": f"{screen.count(10) / 10:.0f}"}
    found |= _keys(screen, keys, "job")
    found["memory with a job, MB"] = f"{screen.megabytes:.0f}"
    return found


def modules() -> str:
    """Return how many modules the workbench imports until its first picture."""
    code = (
        "import sys, ltx_tui.app, ltx_tui.screens.workbench;"
        f"print(len(sys.modules), [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    return done.stdout.strip()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--width", type=int, default=120)
    parser.add_argument("--height", type=int, default=40)
    parser.add_argument("--no-job", dest="job", action="store_false")
    options = parser.parse_args()
    os.environ |= ENCODER
    os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
    table: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        toy = make_toy_models(Path(name) / "models")
        for clips in options.clips:
            root = Path(name) / f"set-{clips}"
            project = make_project(root, clips, (toy.checkpoint, toy.text_encoder))
            for what, value in run(project, options).items():
                table.setdefault(what, []).append(value)
    print(f"{options.width}x{options.height}, {os.cpu_count()} cores, median of {options.rounds}")
    print(f"{'':36}" + "".join(f"{f'{clips:,} clips':>26}" for clips in options.clips))
    for what, values in table.items():
        print(f"{what:36}" + "".join(f"{value:>26}" for value in values))
    print(f"modules until the first picture: {modules()}")


if __name__ == "__main__":
    main()
